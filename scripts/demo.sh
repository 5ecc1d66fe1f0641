#!/bin/sh
# The main job, end to end: one plain Dockerfile, three architectures, one index, published and run.
# usage: demo.sh ARCHIPEL BASES. Everything it makes lies in one folder, which goes at the end, as does the registry.
set -eu
archipel=$1 bases=$(realpath "$2") example=$(dirname "$0")/../examples/hello-devops
tmp=$(mktemp -d "$(dirname "$bases")/demo.XXXXXX") server=

cleanup() {
  [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true
  chmod -R u+rwX "$tmp" 2>/dev/null || true
  rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

title() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() { printf '\033[2m$ archipel %s\033[0m\n' "$*"; "$archipel" "$@"; }
[ -t 1 ] || { title() { printf '\n== %s\n' "$*"; }; run() { printf '$ archipel %s\n' "$*"; "$archipel" "$@"; }; }

# Nothing of the user's own is read or written: no store, no configuration, no credentials.
export XDG_DATA_HOME="$tmp/data" ARCHIPEL_STORE="$tmp/data/archipel" ARCHIPEL_CONFIG="$tmp/config.toml" DOCKER_CONFIG="$tmp/docker"

title "A registry of our own, on a free loopback port"
"$archipel" registry serve --listen 127.0.0.1:0 --root "$tmp/registry" >"$tmp/registry.log" 2>&1 &
server=$!
registry=
while [ -z "$registry" ]; do
  kill -0 "$server" 2>/dev/null || { cat "$tmp/registry.log" >&2; exit 1; }
  sleep 0.05
  registry=$(sed -n '1s|^listening on http://||p' "$tmp/registry.log")
done
echo "$registry"
printf '[registry."docker.io"]\nmirrors = ["%s"]\n' "$registry" >"$ARCHIPEL_CONFIG"

title "The base images, where FROM looks for them: the registry is the mirror of docker.io"
for image in busybox golang; do run copy "oci:$bases/$image" "$registry/library/$image:latest"; done

title "One Dockerfile, three platforms, one index"
cat "$example/Dockerfile"
platforms="linux/amd64 linux/arm64 linux/arm/v7" hello=$registry/hello:latest
run build --platform "$(echo "$platforms" | tr ' ' ,)" -t "$hello" --push "$example"

title "What the registry holds"
run inspect "$hello"

for platform in $platforms; do
  title "Run for $platform"
  run run --rm --platform "$platform" "$hello" | tee "$tmp/output"
  architecture=$(echo "$platform" | cut -d/ -f2)
  grep -qx 'Hello DevOps!' "$tmp/output" && grep -qx "Architecture: $architecture" "$tmp/output" ||
    { echo "demo: $platform did not say \"Architecture: $architecture\"" >&2; exit 1; }
done
title "Done: built, published and run for $platforms"
