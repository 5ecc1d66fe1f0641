variable "TAG" { default = "latest" }
variable "REPO" {
  default = "docker.io/u"
  description = "where it goes"
}
variable "DEBUG" { default = false }
variable "N" { default = 3 }
variable "EMPTY" {}
variable "NUL" { default = null }
X = "attr-${TAG}"
target "default" {
  tags = ["${REPO}/app:${TAG}", DEBUG ? "u/debug" : "", notequal("",EMPTY) ? "u/e:${EMPTY}" : ""]
  args = {
    X = X
    N = N + 1
    M = "${N * 2}-${N % 2}"
    NULL = NUL
    HERE = <<EOT
hello ${TAG}
  two
EOT
    IND = <<-EOT
      hello ${TAG}
        two
    EOT
    COND = TAG == "latest" ? "yes" : "no"
    DEBUG = DEBUG
    ESC = "$${HOME} %%{x} \"q\" \t"
    NEG = -N
    NOT = !DEBUG
    CMP = N >= 3 && N < 10 || false
  }
}
