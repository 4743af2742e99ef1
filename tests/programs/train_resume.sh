# tenon-train --resume: the model has the same bytes for any number of threads, and for a training that was stopped at
# any step. Options that determine the course of a training come from the checkpoint.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
small_data data 200 50

stops="1 2 5 10 15"
if [ "$device" != cpu ]; then stops="2 5"; fi

# 15 steps; the last batch of each epoch has 8 images instead of 16. resnet has BatchNorm and residuals.
check_course() {  # MODEL FLAG...
  local course=("$train" --data data --epochs 3 --limit 72 --batch 16 --augment shift,flip --test-limit 10 --model "$@") threads stop
  succeed "${course[@]}" --threads 2 --out whole --metrics whole.jsonl
  for threads in 1 3; do
    succeed "${course[@]}" --threads $threads --out again
    same whole again
    same whole.checkpoint again.checkpoint
  done
  # Kills a training that writes a checkpoint every $stop steps as soon as the first one exists. Steps 5 and 10 are the
  # end of an epoch.
  for stop in $stops; do
    rm -f part*
    start "${course[@]}" --threads 2 --out part --metrics part.jsonl --checkpoint-every "$stop"
    kill_after part.checkpoint
    [ -s part.checkpoint ] || fail "no checkpoint: $(cat "$err")"
    succeed "$train" --data data --test-limit 10 --threads 1 --out part --metrics part.jsonl --resume part.checkpoint
    has "$out" "^resume  from step [0-9]+ of 15 \(part.checkpoint\)$"
    same whole part
    same whole.checkpoint part.checkpoint
    [ "$(sed 's/, "images_per.*//' part.jsonl)" = "$(sed 's/, "images_per.*//' whole.jsonl)" ] || fail "metrics: $(cat part.jsonl) instead of $(cat whole.jsonl)"
  done
}
check_course mlp --optimizer sgd --schedule step
check_course mlp --optimizer adam
if [ "$device" = cpu ]; then check_course cnn; fi  # takes too long when emulated, and resnet also has convolutions
check_course resnet --optimizer adamw --schedule onecycle

# --- auto: starts from the beginning without a checkpoint, continues from one, does nothing at the end
mlp=("$train" --data data --model mlp --epochs 2 --batch 64)
rm -f model*
succeed "${mlp[@]}" --resume auto
has "$out" '^resume  no model.safetensors.checkpoint yet, so from the start$'
cp model.safetensors first
succeed "${mlp[@]}" --resume auto
has "$out" '^resume  from step 8 of 8 '
has "$out" '^saved   model.safetensors and .*; test accuracy 0'
grep -q '^epoch' "$out" && fail "trained on after the end"
same first model.safetensors

# --- at the end, into another file: its checkpoint is also written, and replaces that of another training
succeed "${mlp[@]}" --seed 2 --out elsewhere
succeed "$train" --data data --resume model.safetensors.checkpoint --out elsewhere
has "$out" '^saved   elsewhere and elsewhere.checkpoint; '
same first elsewhere
same model.safetensors.checkpoint elsewhere.checkpoint

# --- given options must agree with the checkpoint; options that it does not hold may change
for flag in "--lr 0.002" "--epochs 3" "--model cnn" "--batch 65" "--seed 2" "--limit 100" "--augment flip" "--optimizer adamw" "--schedule constant" "--clip-norm 1"; do
  expect 2 "\[usage\] expected ${flag% *} [^ ]+ as in the checkpoint, got ${flag#* } \(model.safetensors.checkpoint\)$" "$train" --data data --resume auto $flag
done
expect 2 '\[usage\] expected --lr 0.001 as in the checkpoint, got 0.05 ' "$train" --data data --resume auto --lr 5e-2
TENON_SEED=9 expect 2 '\[usage\] expected --seed \(TENON_SEED\) 1 as in the checkpoint, got 9 ' "$train" --data data --resume auto
succeed "$train" --data data --resume auto --lr 1e-3 --epochs 2 --model mlp --batch 64 --threads 1
succeed "$train" --data data --model mlp --epochs 1 --limit 64 --optimizer sgd --out s
succeed "$train" --data data --resume s.checkpoint --out s --optimizer sgd

# --- another training set, another instruction set, a newer file, a model instead of a checkpoint
small_data other 199 50
expect 1 '\[resume\] expected the training images of the checkpoint, SHA-256 [0-9a-f]{16}..., got [0-9a-f]{16}...: choose them with --data \(other\)$' \
  "$train" --data other --resume auto
small_data data2 200 20
succeed "$train" --data data2 --resume auto
TENON_ISA=portable succeed "$train" --data data --resume auto
if [ "$device" = cpu ]; then
  has "$out" 'isa portable$'
  if grep -q avx2 /proc/cpuinfo; then has "$out" '^note    isa avx2 in the checkpoint, portable now: bits differ from here on$'; fi
fi
expect 1 '\[resume\] expected a checkpoint of tenon-train, got a file without "train.model" in its metadata \(first\)$' "$train" --data data --resume first
expect 1 '\[read_file\] cannot open the file: No such file or directory \(nothing\)$' "$train" --data data --resume nothing
expect 1 '\[load_safetensors\] ' "$train" --data data --resume data/t10k-labels-idx1-ubyte
sed 's/"tenon.format":"1"/"tenon.format":"2"/' model.safetensors.checkpoint >newer
expect 1 '\[load_model\] expected a file of format 1, got format "2": .*newer tenon.* \(newer\)$' "$train" --data data --resume newer
echo '{"epochs": 1}' >foreign.jsonl
foreign='\[metrics\] expected a file of lines that begin \{"epoch": N, got "\{\\"epochs\\": 1\}": name another file \(foreign.jsonl\)$'
expect 1 "$foreign" "$train" --data data --resume auto --metrics foreign.jsonl
{ echo '{"epoch": 1, "mine": 1}' && cat foreign.jsonl; } >kept && cp kept foreign.jsonl
expect 1 "$foreign" "$train" --data data --resume auto --metrics foreign.jsonl
same kept foreign.jsonl
mkfifo pipe  # no process writes to it
expect 1 '\[load_safetensors\] expected a file, got a device or pipe \(pipe\)$' "$train" --data data --resume pipe
exit 0
