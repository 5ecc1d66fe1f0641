
variable "S" { default = "héllo wörld" }
target "default" { args = {
  a = substr(S, 1, 4)
  b = format("%s/%d/%03d", S, 7, 7)
  c = format("%[2]s-%[1]s", "a", "b")
  d = format("%+d % d %-4d|%e|%g|%#v", 1, 2, 3, 12345.678, 0.5, "x")
  e = jsonencode({ s = S, n = 1.5, l = [true, null], q = "\"<&>" })
  f = jsonencode("a/b")
  g = join(",", [for k in sort(keys({z = 1, a = 2})) : k])
  h = regex("^(v)?([0-9]+)", "12")[1]
  i = replace("a(b)", "(", "[")
  j = join(" ", regexall("(\\w)=(\\d)", "a=1 b=2")[1])
  k = title("éa b-c d.e")
  l = max(1, 2.5, -1)
  m = 7 % 4
  n = 2 * 3 + 4 * (5 - 1)
  o = !(1 > 2) && (3 <= 3 || false)
  p = 1 != 2 ? "ne" : "eq"
  q = length(split(",", "a,b,,"))
  r = contains(["a"], "b")
  s = lookup({ a = "x" }, "a", "d")
  t = element(["a", "b"], 3)
  u = timeadd("2024-02-28T23:00:00Z", "1h")
  v = indent(4, "a\n\nb")
  w = trimspace("\n a \t")
  x = base64encode("")
  y = pow(2, 0.5) > 1.4
  z = range(2, 5)[1]
} }
