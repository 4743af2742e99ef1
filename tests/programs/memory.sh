# The programs under a memory limit: if something does not fit, they print one line with the numbers before the work and
# are not killed by the kernel. Files in a mount namespace replace those of the cgroup to simulate the limit.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
unshare --mount true 2>/dev/null || skip "unshare --mount is not allowed here"
[ "$slowness" = 1 ] || skip "a sanitizer needs memory of its own"
small_data data 200 50

# limited MIB COMMAND...: runs it with that limit, for both versions of cgroups.
limited() {
  unshare --mount bash -c '
    mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory &&
      echo $(($1 << 20)) | tee /sys/fs/cgroup/memory.max >/sys/fs/cgroup/memory/memory.limit_in_bytes && shift && exec "$@"' _ "$@"
}
too_much() { # too_much MIB PATTERN COMMAND...
  local got=0
  limited "$1" "${@:3}" >"$out" 2>"$err" || got=$?
  [ "$got" = 1 ] || fail "expected status 1 with $1 MiB, got $got: ${*:3} ($(cat "$err"))"
  [ "$(wc -l <"$err")" = 1 ] || fail "expected one line: $(cat "$err")"
  has "$err" "^tenon-[a-z]*: $2"
  [ ! -s "$out" ] || fail "it began: $(cat "$out")"
  [ -z "$(ls -A | grep -E '^\.?(model|r[.])')" ] || fail "left $(ls -A)"
}
need='expected to need at most [0-9.]+ MiB more memory, got'
use='this process may use 300\.0 MiB and uses [0-9.]+ [KM]iB'

succeed limited 300 "$train" --data data --model mlp --epochs 1 --out enough --device cpu
succeed limited 300 "$bin/tenon-doctor" --data data --device cpu
has "$out" '^memory     300\.0 MiB allowed of '
has "$out" '^memory     problem: expected at least 1 GiB, got 300\.0 MiB: '

# --- images that do not fit: a sparse file, and a file that is small before it is inflated
cp -r data large
{ u32 2051; u32 1000000; u32 28; u32 28; } >large/train-images-idx3-ubyte
truncate -s $((16 + 784000000)) large/train-images-idx3-ubyte
too_much 300 "\[load_images\] $need 747\.7 MiB; $use \(large/train-images-idx3-ubyte\)\$" "$train" --data large --model mlp
too_much 300 "\[load_images\] $need 747\.7 MiB; $use \(large/train-images-idx3-ubyte\)\$" \
  "$evaluate" enough --images large/train-images-idx3-ubyte --json r.json
too_much 800 "\[load_labels\] expected 1000000 labels, .*" "$train" --data large --model mlp  # the images are there once
cp -r data dense
head -c 784000016 large/train-images-idx3-ubyte | gzip -1 >dense/train-images-idx3-ubyte
too_much 300 "\[inflate_gz\] $need 747\.7 MiB; $use \(dense/train-images-idx3-ubyte\)\$" "$train" --data dense --model mlp

# --- a batch whose values do not fit
if [ "$device" = cpu ]; then
  too_much 300 "\[memory\] $need [0-9.]+ [MG]iB; $use\$" "$train" --data "$work/all" --model resnet --batch 60000
fi
exit 0
