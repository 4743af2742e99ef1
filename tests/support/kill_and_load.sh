# Sourced: kills the trainer $times times with SIGKILL at random moments, while it writes a checkpoint every step. Each
# time the checkpoint loads, and the final model is the same as without kills.
# SPDX-License-Identifier: MIT
source "$(dirname "${BASH_SOURCE[0]}")/programs.sh"
small_data data 512 20

RANDOM=1
course=("$train" --data data --model mlp --batch 8 --epochs $((40 / emulated)) --test-limit 20 --augment shift)
succeed "${course[@]}" --out whole
finished=0
for ((i = 1; i <= times; ++i)); do
  start "${course[@]}" --checkpoint-every 1 --resume auto
  wait_for '^train ' $pid
  wait_for '^resume ' $pid  # it prints "no ... yet", or the checkpoint is loaded
  sleep "0.0$((RANDOM % 10))$((RANDOM % 10))"
  kill -9 $pid 2>/dev/null || true
  got=0
  wait $pid 2>/dev/null || got=$?
  [ ! -s "$err" ] || fail "kill $i: $(cat "$err")"
  case $got in
    137) ;;
    0) finished=$((finished + 1)); same whole model.safetensors; rm -f model.safetensors* ;;
    *) fail "kill $i: status $got" ;;
  esac
done
last=$(sed -n 's/^resume  from step \([0-9]*\) .*/\1/p' "$out")
echo "$times kills, $finished trainings finished in between, at last from step ${last:-0}"
[ "$finished" -gt 0 ] || [ "${last:-0}" -gt 0 ] || fail "no kill came after a checkpoint"
succeed "${course[@]}" --resume auto
same whole model.safetensors
[ "$(ls | xargs)" = "data model.safetensors model.safetensors.checkpoint whole whole.checkpoint" ] || fail "left over: $(ls)"
exit 0
