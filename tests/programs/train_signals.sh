# SIGINT, SIGTERM, SIGHUP and SIGXCPU: tenon-train saves its state and ends with status 128 + signal in less than two
# seconds, also in set-up and evaluation, and as process 1 of a container. Signals that the parent ignores stay ignored.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
small_data data 200 50

# stop SIGNAL STATUS PID [TO]: sends SIGNAL to PID (or to process TO) and checks the status and the time.
stop() {
  local begun=$(date +%s%N) got=0 took
  kill -"$1" "${4:-$3}"
  wait "$3" || got=$?
  took=$((($(date +%s%N) - begun) / 1000000))
  [ "$got" = "$2" ] || fail "expected status $2 after SIG$1, got $got: $(cat "$err")"
  [ "$took" -lt $((2000 * slowness)) ] || fail "SIG$1 took $took ms"
  [ "$(wc -l <"$err")" -le 2 ] || fail "expected a line, got $(cat "$err")"
}

# --- training with the default model and batch: finishes the step and writes the checkpoint; a resume continues there
model=() brief=() limit=20000
if [ "$device" != cpu ]; then  # shorter launches, because they are emulated
  model=(--model mlp) brief=(--batch 32 --checkpoint-every 4) limit=5024
fi
for signal in INT:130 TERM:143 HUP:129 XCPU:152; do
  rm -f model*
  start "$train" --data "$work/all" "${model[@]}" "${brief[@]}" --limit $limit --epochs 1 --test-limit 100 --metrics m.jsonl
  wait_for '^train ' $pid
  sleep $((slowness / 10)).3
  stop ${signal%:*} ${signal#*:} $pid
  has "$err" "^tenon-train: SIG${signal%:*}: saved step [0-9]+ of 157 in model.safetensors.checkpoint; --resume model.safetensors.checkpoint goes on$"
  [ ! -e model.safetensors ] || fail "a model that is not finished was saved"
  [ -z "$(ls .*.tenon-* 2>/dev/null)" ] || fail "left $(ls -A)"
  step=$(sed 's/.*saved step \([0-9]*\) .*/\1/' "$err")
done
start "$train" --data "$work/all" --test-limit 100 --resume auto "${brief[@]}"
wait_for "^resume  from step $step of 157" $pid
sleep $((slowness / 10)).3
stop TERM 143 $pid
[ "$(sed 's/.*saved step \([0-9]*\) .*/\1/' "$err")" -ge "$step" ] || fail "went back: $(cat "$err")"

# --- signals that the parent ignores stay ignored: SIGINT in background jobs of a script, SIGHUP under nohup
rm -f model*
start bash -c "trap '' INT HUP XCPU; exec \"\$@\"" _ "$train" --data data --model mlp --epochs 1000000
wait_for '^epoch 1/' $pid
for signal in INT HUP XCPU; do kill -$signal $pid; done
sleep $((slowness / 10)).3
kill -0 $pid 2>/dev/null || fail "ended by a signal that its parent ignores: $(cat "$err")"
stop TERM 143 $pid
has "$err" '^tenon-train: SIGTERM: saved step'

# --- a limit on processor time: the soft limit ends the training with a checkpoint
if [ "$slowness" = 1 ] && [ "$device" = cpu ]; then
  rm -f model*
  got=0
  (ulimit -S -t 2 && exec "$train" --data data --model mlp --epochs 1000000 >"$out" 2>"$err") || got=$?
  [ "$got" = 152 ] || fail "expected status 152 after SIGXCPU, got $got: $(cat "$err")"
  has "$err" '^tenon-train: SIGXCPU: saved step [0-9]+ of '
fi

# --- evaluation: few training images, many test images; the resume repeats the evaluation of the epoch
rm -f model*
course=("$train" --data "$work/all" "${model[@]}" --limit 32 --batch 32 --test-limit $((10000 / slowness)) --metrics m.jsonl --threads 1)
succeed "${course[@]}" --epochs 3 --out whole --metrics whole.jsonl
start "${course[@]}" --epochs 3 --checkpoint-every 100
wait_for '^epoch 1/' $pid
sleep 0.1
stop INT 130 $pid
has "$err" '^tenon-train: SIGINT: saved step 2 of 3 '
grep -qa '"progress.epoch":"1","progress.loss_sum":"[^"]*","progress.position":"32"' model.safetensors.checkpoint || fail "not the end of epoch 2"
succeed "${course[@]}" --resume auto
same whole model.safetensors
[ "$(cut -d, -f1-5 m.jsonl)" = "$(cut -d, -f1-5 whole.jsonl)" ] || fail "metrics: $(cat m.jsonl)"

# --- set-up: a read that never ends, as on a network drive that hangs. ThreadSanitizer delays a handler until the
# interrupted system call returns, so with it an open() that hangs cannot be ended.
signals="INT:130 TERM:143"
if grep -qa __tsan_init "$train"; then signals=""; fi
mkdir hangs
cp data/t10k* data/train-labels* hangs
mkfifo hangs/train-images-idx3-ubyte
for signal in $signals; do
  start "$train" --data hangs --out hung
  until [ -e .hung.checkpoint.tenon-lock ]; do sleep 0.01; done
  sleep 0.2
  stop ${signal%:*} ${signal#*:} $pid
  has "$err" '^ended by a signal before there was anything to save$'
done
start "$train" --data "$work/all" "${model[@]}" "${brief[@]}"  # during a set-up that does not hang
sleep 0.1
stop TERM 143 $pid

# --- the state is saved even if releasing the rest takes long: here a drive that is slow to remove the locks. A
# sanitizer must be the first library, so LD_PRELOAD cannot be used with it.
if [ "$slowness" = 1 ] && command -v cc >/dev/null; then
  cat >slow.c <<'END'
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
int unlink(const char* path) {
  if (strstr(path, ".tenon-lock")) sleep(2);
  return (int)syscall(SYS_unlinkat, -100 /* AT_FDCWD */, path, 0);
}
END
  cc -shared -fPIC -o slow.so slow.c
  for signal in INT:130 TERM:143; do
    rm -f model* .*.tenon-*
    start env LD_PRELOAD="$PWD/slow.so" "$train" --data data --model mlp --epochs 1000000
    wait_for '^epoch 1/' $pid
    got=0
    kill -${signal%:*} $pid
    wait $pid || got=$?
    [ "$got" = "${signal#*:}" ] || fail "expected status ${signal#*:} after SIG${signal%:*}, got $got: $(cat "$err")"
    [ "$(wc -l <"$err")" = 1 ] || fail "expected one line, got $(cat "$err")"
    has "$err" "^tenon-train: SIG${signal%:*}: saved step [0-9]+ of "
    [ -z "$(ls .*.tenon-* 2>/dev/null)" ] || fail "left $(ls -A)"
  done
fi

# --- process 1 has no default handlers
if unshare --fork --pid true 2>/dev/null; then
  rm -f model*
  start unshare --fork --pid "$train" --data "$work/all" "${model[@]}" "${brief[@]}" --epochs 1000 --test-limit 100
  wait_for '^train ' $pid
  sleep $((slowness / 10)).3
  stop TERM 143 $pid "$(cat /proc/$pid/task/$pid/children)"
  has "$err" '^tenon-train: SIGTERM: saved step'
else
  echo "note: process 1 not tested, unshare --pid is not allowed here"
fi
exit 0
