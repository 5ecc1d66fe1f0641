#!/bin/sh
# Three GitLab pipelines that were written for Docker-in-Docker, run as they are: without Docker, without the network.
# usage: demo-pipeline.sh ARCHIPEL BASES. Everything it makes lies in one folder, which goes at the end, as do its servers.
set -eu
archipel=$1 bases=$(realpath "$2") examples=$(realpath "$(dirname "$0")/../examples")
tmp=$(mktemp -d "$(dirname "$bases")/demo-pipeline.XXXXXX") servers=

cleanup() {
  for server in $servers; do kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; done
  "$archipel" prune --all --force >/dev/null 2>&1 || true
  chmod -R u+rwX "$tmp" 2>/dev/null || true
  rm -rf "$tmp" ${runroot:+"$runroot"}
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

title() { printf '\n== %s\n' "$*"; }
run() { printf '$ archipel %s\n' "$*"; "$archipel" "$@"; }
die() { echo "demo: $*" >&2; exit 1; }

# Nothing of the user's own is read or written: no store, no configuration, no credentials.
export XDG_DATA_HOME="$tmp/data" ARCHIPEL_STORE="$tmp/data/archipel" ARCHIPEL_CONFIG="$tmp/config.toml" DOCKER_CONFIG="$tmp/docker"

# serve NAME: a registry of our own on a free loopback port; its address is then in $address.
serve() {
  "$archipel" registry serve --listen 127.0.0.1:0 --root "$tmp/$1" >"$tmp/$1.log" 2>&1 &
  servers="$servers $!" address=
  while [ -z "$address" ]; do
    kill -0 "$!" 2>/dev/null || { cat "$tmp/$1.log" >&2; exit 1; }
    sleep 0.05
    address=$(sed -n '1s|^listening on http://||p' "$tmp/$1.log")
  done
}

title "What stands for the world: two registries, and a web server that says it is github.com"
serve registry; registry=$address
serve hub; hub=$address
cat >"$ARCHIPEL_CONFIG" <<TOML
[registry."docker.io"]
mirrors = ["$registry"]
location = "$hub"
[registry."public.ecr.aws"]
mirrors = ["$registry"]
TOML
for image in busybox golang; do run copy "oci:$bases/$image" "$registry/library/$image:latest"; done
# The pipelines' job image is only a shell with wget: what it runs as `docker` is archipel.
run copy "oci:$bases/busybox" "$registry/docker/library/docker:19.03.15"

web="$tmp/web" release=docker/buildx/releases/download/v0.10.3
mkdir -p "$web/$release"
printf '#!/bin/sh\necho "this is the downloaded plugin, which nobody should run"; exit 1\n' \
  >"$web/$release/buildx-v0.10.3.linux-amd64"
# An RSA key: the TLS of busybox's wget knows little else.
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=github.com -addext subjectAltName=DNS:github.com \
  -keyout "$tmp/key.pem" -out "$tmp/cert.pem" 2>/dev/null
# Port 443 belongs to root, and the pipelines name no other.
sudo=; [ "$(id -u)" = 0 ] || [ "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" -le 443 ] || sudo=sudo
(cd "$web" && exec $sudo python3 -c '
import http.server, ssl, sys
server = http.server.ThreadingHTTPServer(("127.0.0.1", 443), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.set_ciphers("DEFAULT:@SECLEVEL=0")
context.load_cert_chain(sys.argv[1] + "/cert.pem", sys.argv[1] + "/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()' "$tmp" >"$tmp/web.log" 2>&1) &
servers="$! $servers"
until grep -qs ready "$tmp/web.log"; do
  kill -0 "$!" 2>/dev/null || { cat "$tmp/web.log" >&2; die "nothing can listen on port 443"; }
  sleep 0.05
done

title "A repository: the Go program, its Dockerfile, and a pipeline"
project="$tmp/hello-devops"
cp -r "$examples/hello-devops" "$project"
git_() { git -C "$project" -c user.name=Demo -c user.email=demo@example.org -c commit.gpgsign=false "$@"; }
git_ init -q -b Feature/Demo_1
umask 077
for secret in DOCKERHUB_TOKEN CI_REGISTRY_PASSWORD; do
  printf '%s=%s\n' "$secret" "$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')"
done >"$tmp/secrets"
token=$(sed -n 's/^DOCKERHUB_TOKEN=//p' "$tmp/secrets")
umask 022

for pipeline in per-arch one-shot dockerhub; do
  title "$pipeline.gitlab-ci.yml, byte for byte"
  cp "$examples/pipelines/$pipeline.gitlab-ci.yml" "$project/.gitlab-ci.yml"
  git_ add -A
  git_ commit -qm "$pipeline"
  for time in first second; do
    printf '\n$ archipel ci run    (%s time)\n' "$time"
    begun=$(date +%s%N)
    (cd "$project" && "$archipel" ci run --registry "$registry" --add-host github.com:127.0.0.1 --ca-file "$tmp/cert.pem" \
      --variable DOCKERHUB_USERNAME=demo --variable CI_REGISTRY_USER=demo --masked-variable-file "$tmp/secrets") >"$tmp/$pipeline.$time.log" 2>&1 || { cat "$tmp/$pipeline.$time.log"; die "$pipeline failed"; }
    [ "$time" = second ] || cat "$tmp/$pipeline.$time.log"
    echo "$(( ($(date +%s%N) - begun) / 1000000 )) ms"
  done
done

title "What the registries hold"
name=$(basename "$project")
image=$(sed -n "s|.*\($registry/[^ ]*$name\):latest-amd64.*|\1|p" "$tmp/per-arch.first.log" | head -n 1)
[ -n "$image" ] || die "the log of per-arch names no image"
for tag in latest feature-demo-1; do
  run inspect "$image:$tag"
  for platform in linux/amd64 linux/arm64 linux/arm/v7; do
    sibling=$image:$tag-$(echo "$platform" | sed 's|linux/||; s|/||')
    child=$("$archipel" inspect "$image:$tag" | awk -v p="$platform" '$1 == p { print $NF }')
    own=$("$archipel" inspect "$sibling" | awk '/^Digest:/ { print $2 }')
    [ -n "$child" ] || die "$image:$tag has no $platform"
    # One pipeline wrote the siblings, the next one the tag anew: the same sources are the same images.
    [ "$child" = "$own" ] || die "$sibling is $own, and $platform of $image:$tag is $child"
  done
done
run inspect "$hub/demo/devops:latest"

if [ -n "${PEERS:-}" ]; then
  title "What others see of it"
  "$archipel" inspect --raw "$image:latest" >"$tmp/ours"
  skopeo inspect --raw --tls-verify=false "docker://$image:latest" >"$tmp/theirs"
  cmp "$tmp/ours" "$tmp/theirs" || die "skopeo reads another index"
  # Not below our folder: podman takes a path of 50 characters at most here.
  runroot=$(mktemp -d)
  podman() { env -u DOCKER_CONFIG podman --root "$tmp/podman" --runroot "$runroot" --storage-driver vfs "$@"; }
  for architecture in amd64 arm64 arm; do
    podman pull -q --tls-verify=false --platform "linux/$architecture" "$image:latest" >/dev/null
    seen=$(podman image inspect --format '{{.Architecture}}' "$image:latest")
    [ "$seen" = "$architecture" ] || die "podman has $seen for linux/$architecture"
    echo "podman: $seen"
  done
fi

title "Run, for each architecture"
for platform in linux/amd64 linux/arm64 linux/arm/v7; do
  run run --rm --platform "$platform" "$image:latest" | tee "$tmp/output"
  grep -qx "Architecture: $(echo "$platform" | cut -d/ -f2)" "$tmp/output" || die "$platform did not say so"
done

title "Nothing is left"
left=$(ls "$tmp/data/archipel/work")
[ -z "$left" ] || die "in the store's work folder: $left"
! grep -q "$tmp" /proc/self/mounts || die "something is still mounted"
if grep -raq -e "$token" "$tmp" --exclude=secrets --exclude-dir=docker; then die "the token was written somewhere"; fi
echo "no work in progress, no mount; the token is not in a log, a layer, a config or a cache"
title "Done"
