# Sourced by the tests of the programs with the arguments BIN [DEVICE]. Defines the folder of the binaries, a working
# folder and small data. Programs run on DEVICE unless a test selects another one.
# SPDX-License-Identifier: MIT
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
trap 'echo "FAILED: $0:$LINENO: $BASH_COMMAND"' ERR
bin=$(cd "$1" && pwd)
unset "${!TENON_@}" NO_COLOR
device=${2:-cpu}
train=$bin/tenon-train
evaluate=$bin/tenon-evaluate
[ -x "$train" ] || fail "no $train"
if grep -qa 'expected a build with CUDA' "$train"; then built_with_cuda=; else built_with_cuda=1; fi
if [ "$built_with_cuda" ] && [ "${2:-}" ]; then export TENON_DEVICE=$device TENON_SIMT_QUIET=1; fi
workdir
out=$work/stdout err=$work/stderr
mkdir "$work/here"
cd "$work/here"

# On an emulated GPU, tests do this many times less work.
emulated=1
if [ "$device" = cuda ]; then emulated=20; fi

# Sanitizers make programs 5 to 20 times slower.
slowness=1
if grep -qaE '__(asan|tsan)_init' "$train"; then slowness=15; fi

u32() { printf "\\x$(printf %02x $(($1 >> 24 & 255)))\\x$(printf %02x $(($1 >> 16 & 255)))\\x$(printf %02x $(($1 >> 8 & 255)))\\x$(printf %02x $(($1 & 255)))"; }

# small_data DIR TRAIN TEST: writes the first images of Fashion-MNIST as four uncompressed IDX files.
small_data() {
  local part count
  if [ ! -d "$work/all" ]; then
    "$train" --unpack "$work/all" >/dev/null 2>"$err" || { cat "$err"; skip "no Fashion-MNIST here"; }
  fi
  mkdir -p "$1"
  for part in train:$2 t10k:$3; do
    count=${part#*:} part=${part%:*}
    { u32 2051; u32 "$count"; u32 28; u32 28; head -c $((16 + count * 784)) "$work/all/$part-images-idx3-ubyte" | tail -c +17; } >"$1/$part-images-idx3-ubyte"
    { u32 2049; u32 "$count"; head -c $((8 + count)) "$work/all/$part-labels-idx1-ubyte" | tail -c +9; } >"$1/$part-labels-idx1-ubyte"
  done
}

# with_header FILE SCRIPT: prints the safetensors FILE with its header changed by sed -E SCRIPT.
with_header() {
  local size header
  size=$(head -c 8 "$1" | od -An -tu8)
  header=$(head -c $((8 + size)) "$1" | tail -c +9 | sed -E "$2")
  printf "\\x$(printf %02x $((${#header} & 255)))\\x$(printf %02x $((${#header} >> 8)))\0\0\0\0\0\0%s" "$header"
  tail -c +$((9 + size)) "$1"
}

# expect STATUS PATTERN COMMAND...: checks the exit status, and that stderr is one line: "PROGRAM: " and then PATTERN.
expect() {
  local status=$1 pattern=$2 got=0
  shift 2
  "$@" >"$out" 2>"$err" || got=$?
  [ "$got" = "$status" ] || fail "expected exit status $status, got $got: $* ($(cat "$err"))"
  [ "$(wc -l <"$err")" = 1 ] || fail "expected one line on stderr, got: $(cat "$err") ($*)"
  grep -qE "^$(basename "$1"): $pattern" "$err" || fail "expected '$pattern', got: $(cat "$err") ($*)"
}

# succeed COMMAND...: checks that the status is 0 and stderr is empty. stdout is in "$out".
succeed() {
  local got=0
  "$@" >"$out" 2>"$err" || got=$?
  [ "$got" = 0 ] || fail "expected success, got status $got: $* ($(cat "$err"))"
  [ ! -s "$err" ] || fail "expected nothing on stderr, got: $(cat "$err") ($*)"
}

has() { grep -qE -- "$2" "$1" || fail "expected '$2' in $1, got: $(cat "$1")"; }
# start COMMAND...: runs it in the background, with its output in "$out" and "$err" and its process id in pid. A
# non-interactive shell starts background commands with SIGINT and SIGQUIT ignored, so these signals are reset.
start() {
  : >"$out"  # emptied now; otherwise wait_for could read the output of the previous command
  env --default-signal=INT,QUIT "$@" >"$out" 2>"$err" &
  pid=$!
}

# kill_after FILE: sends SIGKILL to $pid as soon as FILE is not empty. $got is its status, 0 if it had finished before.
kill_after() {
  until [ -s "$1" ] || ! kill -0 $pid 2>/dev/null; do :; done
  kill -9 $pid 2>/dev/null || true
  got=0
  wait $pid 2>/dev/null || got=$?
}

# wait_for PATTERN PID: waits until a line of "$out" matches; fails if the process ends first.
wait_for() {
  until grep -qE -- "$1" "$out" 2>/dev/null; do
    kill -0 "$2" 2>/dev/null || grep -qE -- "$1" "$out" || fail "ended before it said '$1': $(cat "$out" "$err")"
    sleep 0.01
  done
}
