# Tests .ci/touched in a temporary tree: which tests a change affects, by the compiler's dependency files.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/common.sh"
need python3
need git
workdir
mkdir -p "$work/tree/.ci" && cd "$work/tree"
cp "$root/.ci/touched" .ci/
mkdir -p include kernels tests/{kernels,cuda,programs,simt/engine,golden} docs examples
touch include/view.hpp kernels/{gemm,adam,unused}.hpp tests/kernels/{gemm,adam}.cpp tests/cuda/{gemm.cu,device.sh} \
  tests/programs/train.sh tests/simt/engine/engine.cpp tests/main.cpp tests/golden/x.safetensors examples/train.cpp \
  CMakeLists.txt README.md docs/gpu.md kernels/sgd.hpp
echo '#include "sgd.hpp"' >tests/cuda/sgd.cu  # belongs to another turn: not compiled
git init -q .
commit() { git add -A && git -c user.name=t -c user.email=t@example.invalid commit -qm "$1"; }
echo build/ >.gitignore
commit first

# unit OBJECT READS...: writes the dependency file of an object. READS are relative to the folder of the compiler.
unit() {
  local object=build/cpu/$1
  shift
  mkdir -p "$(dirname "$object")"
  { printf '%s: \\\n' "$object.o"; printf ' %s \\\n' "$@"; echo ' /usr/include/stdio.h'; } >"$object.o.d"
}
unit tests/CMakeFiles/tests_kernels.dir/kernels/gemm.cpp ../../../{tests/kernels/gemm.cpp,kernels/gemm.hpp,include/view.hpp}
unit tests/CMakeFiles/tests_kernels.dir/kernels/adam.cpp ../../../{tests/kernels/adam.cpp,kernels/adam.hpp}
unit tests/cuda/CMakeFiles/tests_cuda.dir/gemm.cu ../../../../{tests/cuda/gemm.cu,kernels/gemm.hpp,include/view.hpp,kernels/adam.hpp}
unit tests/CMakeFiles/tests_main.dir/main.cpp ../../../tests/main.cpp
unit tests/simt/CMakeFiles/simt.dir/engine/engine.cpp ../../../../tests/simt/engine/engine.cpp
unit examples/CMakeFiles/tenon-train.dir/train.cpp ../../../examples/train.cpp "$PWD/include/view.hpp"

# touches EXPECTED FILE...: checks the tests selected after a change of the files
touches() {
  local expected=$1 got file
  shift
  for file in "$@"; do echo changed >>"$file"; done
  commit "$*"
  got=$(.ci/touched HEAD~1 build/cpu | xargs)
  [ "$got" = "$expected" ] || fail "expected '$expected' to be touched by $*, got '$got'"
}
touches "kernels/adam cuda/gemm" kernels/adam.hpp  # the test that reads the fewest files first
touches "kernels/gemm cuda/gemm cuda/device programs/train" include/view.hpp
touches "kernels/gemm" tests/kernels/gemm.cpp
touches "cuda/sgd" kernels/sgd.hpp
touches "cuda/device programs/train" examples/train.cpp
touches "cuda/train programs/train" tests/programs/train.sh
touches "" README.md docs/gpu.md kernels/unused.hpp
touches all CMakeLists.txt
touches all tests/main.cpp
touches all tests/simt/engine/engine.cpp
touches all tests/golden/x.safetensors
touches all README.md tests/programs/common.inc
git rm -q kernels/unused.hpp
touches "" README.md
[ -z "$(.ci/touched HEAD build/cpu)" ] || fail "expected nothing to be touched by no change"
