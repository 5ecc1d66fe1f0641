target "default" {
  annotations = ["a=b", "index:c=d", "a=b"]
  attest = ["type=provenance,mode=max", { type = "sbom", generator = "x/y" }]
  cache-from = ["type=registry,ref=u/c", "u/d", { type = "local", src = "c" }, "u/d"]
  cache-to = ["type=local,dest=c,mode=max", { type = "inline" }]
  call = "check"
  context = "."
  contexts = { base = "docker-image://alpine", src = "../src", empty = "" }
  description = "all of it"
  dockerfile = "D"
  entitlements = ["network.host", "security.insecure"]
  labels = { "org.a" = "1", b = "<x>&" }
  network = "host"
  no-cache = true
  no-cache-filter = ["a", "b", "a"]
  output = ["type=image,push=true", "out", "type=tar,dest=o.tar", { type = "oci", dest = "x.tar" }, "-"]
  platforms = ["linux/amd64", "linux/arm64", "linux/amd64"]
  pull = true
  secret = ["id=a,src=docker-bake.hcl", "type=env,id=b,env=HOME", { id = "c", env = "PATH" }, "id=a,env=HOME"]
  shm-size = "128m"
  
  tags = ["u/a", "u/a", ""]
  target = "st"
  ulimits = ["nofile=1024:1024", "nproc=3"]
  extra-hosts = { h = "1.2.3.4" }
}
