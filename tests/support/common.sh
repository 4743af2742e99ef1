# Sourced by the tests that are scripts. Exit status 77 means skipped.
# SPDX-License-Identifier: MIT
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
launcher=${CMAKE_CXX_COMPILER_LAUNCHER:-}  # a compiler cache, or empty
includes=(-I "$root/include" -I "$root/kernels" -isystem "${TENON_EIGEN:-/usr/include/eigen3}")

fail() { echo "FAILED: $*"; exit 1; }
same() { cmp -s "$1" "$2" || fail "expected $1 and $2 to be the same bytes"; }
skip() { echo "skipped: $*"; exit 77; }
need() { command -v "$1" >/dev/null || skip "no $(basename "$1") here"; }

# check COMPILER SOURCE [FLAG...]: runs the front end, which instantiates templates. If $TENON_PCH names a folder that
# precompile has filled, <tenon/tenon.hpp> is used precompiled; it must be the first header that SOURCE includes. nvcc
# has no mode that runs only the front end: it compiles to an object in $work.
check() {
  local compiler=$1 source=$2 pch=()
  shift 2
  case "$(basename "$compiler")" in
    nvcc*) $launcher "$compiler" -std=c++20 -arch=sm_90 -x cu -c -o "$work/check-$BASHPID.o" "${includes[@]}" "$@" "$source" ;;
    *)
      if [ -n "${TENON_PCH:-}" ] && grep -m 1 '^#include' "$source" | grep -q '<tenon/tenon.hpp>'; then
        case "$(basename "$compiler")" in
          *clang*) pch=(-include-pch "$TENON_PCH/tenon.pch") ;;
          *) pch=(-I "$TENON_PCH") ;;
        esac
      fi
      "$compiler" -std=c++20 -fsyntax-only "${pch[@]}" "${includes[@]}" "$@" "$source" ;;
  esac
}

# precompile COMPILER: fills the folder $TENON_PCH, which check uses.
precompile() {
  local pch=$TENON_PCH/tenon/tenon.hpp.gch
  case "$(basename "$1")" in *clang*) pch=$TENON_PCH/tenon.pch ;; esac
  mkdir -p "$TENON_PCH/tenon"
  echo '#include <tenon/tenon.hpp>' >"$TENON_PCH/header.hpp"
  "$1" -std=c++20 -x c++-header "${includes[@]}" "$TENON_PCH/header.hpp" -o "$pch"
}

# check_fails COMPILER SOURCE [FLAG...]: succeeds if SOURCE does not compile.
check_fails() { ! check "$@"; }

# Makes the temporary folder $work and removes it at exit.
workdir() {
  work=$(mktemp -d "${TMPDIR:-/tmp}/tenon-test.XXXXXX")
  trap 'rm -rf "$work"' EXIT
}

# compile_dir NAME: like workdir, for a test that compiles the files it writes there. A compiler cache identifies a
# source by its path relative to the tree. With a cache, $work is therefore NAME in the current folder, if that is in
# the tree.
compile_dir() {
  if [ -z "$launcher" ] || [[ "$PWD/" != "$root"/?* ]]; then
    workdir
    return
  fi
  work=$PWD/${1//\//-}
  rm -rf "$work"
  mkdir "$work"
  trap 'rm -rf "$work"' EXIT
}
