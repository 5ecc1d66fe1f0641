target "base" {
  args = { V = "1", W = "w" }
  tags = ["u/base:1"]
  context = "ctx"
  platforms = ["linux/amd64"]
}
target "default" {
  args = merge(target.base.args, { X = target.base.args.V })
  context = target.base.context
  tags = [for t in target.base.tags : "${t}-x"]
  platforms = target.base.platforms
  dockerfile = target.base.dockerfile == null ? "none" : "some"
}
