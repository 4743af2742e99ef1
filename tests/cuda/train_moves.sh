# tenon-train --device cuda, emulated: a checkpoint can be resumed on the other device, but not with another precision.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
export TENON_SIMT_QUIET=1
small_data data 200 20

# --- from one device to the other: the training continues there, with other bits
epochs=40  # two steps each
if [ $slowness -gt 1 ]; then epochs=8; fi
for from in cpu cuda; do
  to=cpu
  if [ $from = cpu ]; then to=cuda; fi
  for try in 1 2 3 4 5; do  # repeats until the kill comes before the end
    rm -f $from $from.checkpoint
    start "$train" --data data --device $from --model mlp --epochs $epochs --limit 64 --batch 32 --test-limit 10 --out $from --checkpoint-every 1
    kill_after $from.checkpoint
    if [ $got = 137 ]; then break; fi
  done
  cp $from.checkpoint stay.checkpoint
  succeed "$train" --data data --device $to --resume $from.checkpoint --out $from --test-limit 10
  has "$out" "^resume  from step [0-9]+ of $((2 * epochs)) "
  grep -q "from step $((2 * epochs)) of" "$out" && fail "it was finished before it was killed"
  has "$out" "^note    device $from in the checkpoint, $to now: bits differ from here on$"
  succeed "$train" --data data --device $from --resume stay.checkpoint --out stay --test-limit 10
  grep '^note ' "$out" && fail "a note without a reason"
  cmp -s stay $from && fail "expected two devices to differ in bits"
  [ "$(stat -c %s stay)" = "$(stat -c %s $from)" ] || fail "another model"
done

# --- the precision cannot be changed on resume
succeed "$train" --data data --device cuda --precision tf32 --model mlp --epochs 1 --limit 64 --batch 32 --test-limit 10 --out t
expect 2 '\[usage\] expected --precision tf32 as in the checkpoint, got fp32 ' \
  "$train" --data data --device cuda --resume t.checkpoint --precision fp32
expect 2 '\[usage\] expected --precision fp32 on the cpu, got "tf32"$' "$train" --data data --device cpu --resume t.checkpoint
exit 0
