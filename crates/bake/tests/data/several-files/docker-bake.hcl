target "default" { args = { A = "1", B = "2" } }
variable "T" { default = "x" }
