variable "TAG" { default = "latest" }
variable "DEBUG" { default = false }
variable "N" { default = 3 }
variable "EMPTY" {}
target "default" { args = { TAG = TAG, DEBUG = DEBUG, N = N, E = EMPTY } }
