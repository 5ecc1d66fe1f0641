
target "a" {
  tags = ["x/a"]
  labels = { k = "v" }
  cache-from = ["type=registry,ref=c"]
  output = ["type=image"]
  secret = ["id=s,env=HOME"]
  args = { A = "1" }
  no-cache-filter = ["x"]
  annotations = ["a=b"]
}
target "b" {
  inherits = ["a"]
  tags = []
  cache-from = ["type=registry,ref=d", "type=registry,ref=c"]
  secret = ["id=s,env=PATH", "id=t,env=HOME"]
  no-cache-filter = ["y"]
  annotations = ["c=d"]
  output = []
}
target "c" {
  inherits = ["b", "a"]
  platforms = ["linux/amd64"]
}
group "default" {
  targets = ["a", "b", "c"]
  description = "three"
}
