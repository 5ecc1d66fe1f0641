#!/bin/sh
# Runs the black-box cases that lie beside the checkout against a binary.
# usage: conformance.sh ARCHIPEL BASES [ARGUMENTS OF run.py...]
set -eu
archipel=$1 bases=$(realpath "$2") cases=$(realpath -m "$(dirname "$0")/../../shared/conformance")
shift 2
[ -x "$cases/run.py" ] || { echo "no conformance cases: there is no $cases/run.py" >&2; exit 1; }

state=$(dirname "$bases")/conformance
mkdir -p "$state/debs"
# Where setup.sh finds the packages it does not add foreign architectures to the machine's apt.
cp -u "$bases"/apt/debs/busybox-static_* "$state/debs/"
rm -f "$state/registry.pid"

cleanup() {
  [ ! -f "$state/registry.pid" ] || kill "$(cat "$state/registry.pid")" 2>/dev/null || true
  rm -f "$state/registry.pid"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

cd "$cases"
CONF_STATE=$state CONF_DEBIAN=${CONF_DEBIAN:-1} ./setup.sh
./run.py --tool cli --cmd "$archipel build" --env "ARCHIPEL_STORE=$state/home/archipel" \
  --env-template ARCHIPEL_CONFIG=templates/config.toml.in --json "$state/results.json" "$@"
