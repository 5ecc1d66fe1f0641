target "default" {
  context = "${BAKE_CMD_CONTEXT}"
  args = { P = BAKE_LOCAL_PLATFORM, C = BAKE_CMD_CONTEXT }
  contexts = { src = BAKE_CMD_CONTEXT, s2 = "${BAKE_CMD_CONTEXT}/sub" }
}
