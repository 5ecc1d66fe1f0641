
variable "platforms" { default = ["linux/amd64", "linux/arm64"] }
target "app" {
  matrix = { p = platforms, v = [1, 2] }
  name = "app-${replace(p, "/", "-")}-${v}"
  platforms = [p]
  args = { V = v }
}
target "plain" {
  matrix = { v = ["only"] }
  args = { V = v }
}
group "default" { targets = ["app", "plain"] }
