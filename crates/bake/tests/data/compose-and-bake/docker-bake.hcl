target "app" {
  args = { B = "2" }
  platforms = ["linux/arm64"]
}
target "extra" { inherits = ["app"] }
