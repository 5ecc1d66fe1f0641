target "default" { 
  args = { B = "3", T = T } 
  tags = ["u/o"]
}
T = "overridden"
