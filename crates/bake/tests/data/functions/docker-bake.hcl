function "inc" {
  params = [n]
  result = n + 1
}
function "tag" {
  params = [name]
  variadic_params = rest
  result = [for r in concat(["latest"], rest) : "u/${name}:${r}"]
}
function "nested" {
  params = []
  result = inc(inc(1))
}
target "default" {
  args = { A = inc(1), B = nested() }
  tags = tag("x", "1", "2")
}
