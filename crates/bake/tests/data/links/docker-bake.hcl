target "base" { dockerfile = "base.Dockerfile" }
target "mid" {
  contexts = { b = "target:base" }
  platforms = ["linux/amd64"]
}
target "app" {
  contexts = { b = "target:base", m = "target:mid" }
  platforms = ["linux/amd64"]
}
group "default" { targets = ["app"] }
