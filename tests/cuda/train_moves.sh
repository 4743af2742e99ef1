# tenon-train --device cuda, emulated: checkpoints that move between devices, and precisions, which do not.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
export TENON_SIMT_QUIET=1
small_data data 200 20

# --- from the one device to the other and back
succeed "$train" --data data --device cpu --model mlp --epochs 1 --limit 64 --batch 32 --test-limit 10 --out moved
for device in cuda cpu; do
  succeed "$train" --data data --device $device --resume moved.checkpoint --out moved --test-limit 10
done
start "$train" --data data --device cpu --model cnn --epochs 2 --limit 64 --batch 32 --test-limit 10 --out moved --checkpoint-every 1
until [ -s moved.checkpoint ] || ! kill -0 $pid 2>/dev/null; do :; done
kill -9 $pid 2>/dev/null || true
wait $pid 2>/dev/null || true
cp moved.checkpoint first
succeed "$train" --data data --device cuda --resume moved.checkpoint --out moved --test-limit 10
if ! grep -q 'from step 4 of 4' "$out"; then has "$out" '^note    device cpu in the checkpoint, cuda now: bits differ from here on$'; fi
succeed "$train" --data data --device cpu --resume first --out there --test-limit 10
size() { stat -c %s "$1"; }
[ "$(size there)" = "$(size moved)" ] || fail "another model"

# --- the precision is part of the course
succeed "$train" --data data --device cuda --precision tf32 --model mlp --epochs 1 --limit 64 --batch 32 --test-limit 10 --out t
expect 2 '\[usage\] expected --precision tf32 as in the checkpoint, got fp32 ' \
  "$train" --data data --device cuda --resume t.checkpoint --precision fp32
expect 2 '\[usage\] expected --precision fp32 on the cpu, got "tf32"$' "$train" --data data --device cpu --resume t.checkpoint
exit 0
