variable "M" { default = { b = 2, a = 1 } }
variable "L" { default = ["x", "y", "x", ""] }
target "default" {
  args = {
    c01 = coalesce(null, "a", "b")
    c02 = length([1,2,3])
    c03 = contains(L, "y")
    c04 = element(L, 5)
    c05 = join(",", flatten([["a"], [["b"]], "c"]))
    c06 = join(",", keys(M))
    c07 = join(",", values(M))
    c08 = lookup(M, "zz", "def")
    c09 = join(",", distinct(L))
    c10 = jsonencode(merge(M, { c = [1, null, true, "<a>"] }))
    c11 = jsondecode("{\"a\": {\"b\": [1, 2]}}").a.b[1]
    c12 = join(",", compact(L))
    c13 = join(",", concat(["a"], ["b", "c"]))
    c14 = join(",", range(3))
    c15 = join(",", range(5, 1, -2))
    c16 = join(",", reverselist(["a", "b"]))
    c17 = join(",", sort(["b", "a", "C"]))
    c18 = join(",", slice(["a", "b", "c"], 1, 3))
    c19 = jsonencode(zipmap(["a", "b"], [1, "x"]))
    c20 = jsonencode(chunklist(["a", "b", "c"], 2))
    c21 = jsonencode(setproduct(["a", "b"], ["x", "y"]))
    c22 = join(",", setunion(["b"], ["a", "b"]))
    c23 = join(",", setintersection(["b", "c"], ["a", "b"]))
    c24 = join(",", setsubtract(["b", "c"], ["b"]))
    c25 = hasindex(L, 9)
    c27 = indexof(L, "y")
    c28 = join(",", [for k, v in M : "${k}=${v}"])
    c29 = jsonencode({ for i, v in L : i => upper(v) if v != "" })
    c30 = jsonencode({ for v in L : v => v... if v != "" })
    c31 = join(",", L[*])
    c32 = join(",", [{ n = "a" }, { n = "b" }][*].n)
    c33 = M.a
    c34 = M["b"]
    c35 = L[1]
    c36 = try(M.zz, "fallback")
    c37 = can(M.zz)
    c38 = join(",", formatlist("%s-%s", ["a", "b"], "z"))
    c39 = join(",", coalescelist([], ["q"]))
    c40 = jsonencode(csvdecode("a,b\n1,2\n"))
    c41 = convert("5", number) + 1
    c43 = "%{ if length(L) > 2 }many%{ else }few%{ endif }"
    c44 = "%{ for v in ["p", "q"] ~}  <${v}> %{~ endfor }"
    c45 = join(",", setsymmetricdifference(["a","b"],["b","c"]))
    c46 = max([1,5,3]...)
    c47 = jsonencode([for s in ["a"] : { name = s }])
    c48 = join(",", [for i in range(1, 4) : i * i])
    c49 = [{ n = "a" }, { n = "b" }].*.n[1]
  }
}
