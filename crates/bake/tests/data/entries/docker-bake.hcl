
target "default" {
  cache-from = [{ type = "registry", ref = "a" }, "type=registry,ref=a", "b,c"]
  output = [{ type = "local", dest = "d" }, "type=local,dest=d", { type = "image", name = "a,b", push = true }]
  attest = [{ type = "provenance", mode = "max" }, { type = "sbom", disabled = true }, "type=provenance,disabled=true"]
  secret = [{ id = "a", src = "docker-bake.hcl" }, { id = "b" , env = "HOME"}]
}
