# Sourced by the tests that are scripts. Exit status 77 means skipped.
# SPDX-License-Identifier: MIT
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
includes=(-I "$root/include" -I "$root/kernels" -isystem "${TENON_EIGEN:-/usr/include/eigen3}")

fail() { echo "FAILED: $*"; exit 1; }
same() { cmp -s "$1" "$2" || fail "expected $1 and $2 to be the same bytes"; }
skip() { echo "skipped: $*"; exit 77; }
need() { command -v "$1" >/dev/null || skip "no $(basename "$1") here"; }

# check COMPILER SOURCE [FLAG...]: the front end alone, templates instantiated; nvcc has no such mode, so it compiles.
check() {
  local compiler=$1 source=$2
  shift 2
  case "$(basename "$compiler")" in
    nvcc*) "$compiler" -std=c++20 -arch=sm_90 -x cu -c -o /dev/null "${includes[@]}" "$@" "$source" ;;
    *) "$compiler" -std=c++20 -fsyntax-only "${includes[@]}" "$@" "$source" ;;
  esac
}

# A folder of one's own, gone at exit.
workdir() {
  work=$(mktemp -d "${TMPDIR:-/tmp}/tenon-test.XXXXXX")
  trap 'rm -rf "$work"' EXIT
}
