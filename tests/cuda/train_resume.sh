# tenon-train --device cuda, emulated: the same bits every time and after a stop, and files that move between devices.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
export TENON_SIMT_QUIET=1
small_data data 200 20

# --- stopped after any step and resumed: the model is the same to the byte, as is what else was written
course=("$train" --data data --device cuda --model mlp --optimizer adamw --schedule onecycle --epochs 3 --limit 72 --batch 16
  --augment shift,flip --test-limit 10)
succeed "${course[@]}" --out whole --metrics whole.jsonl
succeed "${course[@]}" --out again
same whole again
same whole.checkpoint again.checkpoint
stops="1 2 3"  # between launches, which hold no more steps than that
if [ $slowness -gt 1 ]; then stops=2; fi
for every in $stops; do
  rm -f part*
  start "${course[@]}" --out part --metrics part.jsonl --checkpoint-every $every
  until [ -s part.checkpoint ] || ! kill -0 $pid 2>/dev/null; do :; done
  kill -9 $pid 2>/dev/null || true
  wait $pid 2>/dev/null || true
  succeed "$train" --data data --device cuda --test-limit 10 --out part --metrics part.jsonl --resume part.checkpoint
  same whole part
  same whole.checkpoint part.checkpoint
done

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

# --- a signal ends it within two seconds, with everything saved
start "$train" --data data --device cuda --model mlp --epochs 500 --batch 32 --test-limit 10 --out s
wait_for '^epoch 2/' $pid
begun=$(date +%s%N) got=0
kill -TERM $pid
wait $pid || got=$?
[ $got = 143 ] || fail "expected status 143, got $got"
[ $((($(date +%s%N) - begun) / 1000000)) -lt $((2000 * slowness)) ] || fail "it took too long"
has "$err" 'SIGTERM: saved step [0-9]+ of 3500 in s.checkpoint'
exit 0
