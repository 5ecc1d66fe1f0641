variable "A" { 
  type = list(string) 
  default = ["x"]
}
variable "B" {
  type = number
  default = 7
}
variable "C" { 
  type = bool
  default = "true"
}
variable "D" {
  type = map(string)
  default = { k = 1 }
}
variable "E" {
  type = object({ a = string, b = optional(number) })
  default = { a = "x" }
}
variable "S" { type = set(string) }
variable "T" {
  type = string
  default = 5
}
target "default" { args = { A = join(",", A), B = B, C = C, D = D.k, E = jsonencode(E), S = S == null ? "null" : join(",", S), T = T } }
