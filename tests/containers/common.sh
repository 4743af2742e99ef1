# Sourced by the tests of the images. `docker` is Docker if an engine answers, otherwise the substitute in this folder.
# SPDX-License-Identifier: MIT
source "$(dirname "${BASH_SOURCE[0]}")/../support/common.sh"
trap 'echo "FAILED: $0:$LINENO: $BASH_COMMAND"' ERR

here=$root/tests/containers
engine=docker
if ! docker info >/dev/null 2>&1 || [ "$(command -v docker)" = "$here/docker" ]; then
  engine="buildah and podman"
  for tool in buildah podman runc; do need "$tool"; done
  [ "$(id -u)" = 0 ] || skip "no Docker engine here, and buildah needs root"
  PATH=$here:$PATH
fi

say() { printf '\n--- %s\n' "$*"; }

# expect_status STATUS PATTERN COMMAND...: checks the exit status and that a line of the output matches.
expect_status() {
  local status=$1 pattern=$2 got=0
  shift 2
  "$@" >"$work/out" 2>&1 || got=$?
  [ "$got" = "$status" ] || fail "expected exit status $status, got $got: $* ($(tail -n 5 "$work/out"))"
  grep -qE "$pattern" "$work/out" || fail "expected '$pattern', got: $(cat "$work/out") ($*)"
}

# argument_of FILE NAME: prints the default of a build argument.
argument_of() { sed -nE "s/^ARG $2=(.*)/\1/p" "$root/docker/$1.dockerfile" | head -n 1; }

# Uses names for this run only, so that nothing of the user is touched, and removes them at the end.
containers() {
  workdir
  prefix=tenon-test-$$
  registry=
  trap '[ -z "$registry" ] || kill "$registry" || true  # it may have ended already
        docker ps -aq --filter "name=$prefix" | xargs -r docker rm -f >/dev/null 2>&1
        docker volume ls -q --filter "name=$prefix" | xargs -r docker volume rm >/dev/null 2>&1
        rm -rf "$work"' EXIT
}
