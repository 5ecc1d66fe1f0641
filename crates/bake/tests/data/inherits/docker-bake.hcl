group "default" { 
  targets = ["db", "app"] 
}
target "_common" { 
  args = { A = "1", B = 2, C = true, F = 1.5, N = null }
  labels = { x = "y" }
}
target "app" {
  inherits = ["_common"]
  dockerfile = "Dockerfile.app"
  context = "./app/"
  tags = ["docker.io/u/app:1", "u/app:latest"]
  args = { A = "over" }
}
target "db" {
  inherits = ["_common", "app"]
  tags = ["u/db"]
}
