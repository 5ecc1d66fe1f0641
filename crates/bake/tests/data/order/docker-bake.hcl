
variable "A" { default = upper(B) }
variable "B" { default = "b" }
C = "${A}-${B}"
variable "D" { default = C }
target "t" { args = { X = D } }
target "default" {
  inherits = ["t"]
  args = { Y = target.t.args.X, Z = group.g.targets[0] }
}
group "g" { targets = ["t"] }
