
target "default" {
  args = {
    h1 = <<-EOT
      a
        b ${upper("c")}
      %{ if true }yes%{ else }no%{ endif }
      end
    EOT
    h2 = <<X
  keep
X
    h3 = "a${"b${"c"}"}d"
    h4 = "%{ if false }x%{ endif }"
    h5 = "${[1, 2][0]}${{a = "v"}.a}"
    h6 = "\u00e9\\"
    h7 = "~${~ "x" ~} y"
    h8 = "${true}"
    h9 = "multi ${
      upper("line")
    }"
  }
}
