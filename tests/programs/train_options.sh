# tenon-train: flags, environment, output and files.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"

# --- help and version
succeed "$train" --help
for flag in data model epochs batch optimizer lr schedule seed threads device precision limit test-limit augment out metrics \
  checkpoint checkpoint-every resume quiet unpack; do
  has "$out" "--$flag "
  variable=${flag^^}
  has "$out" "\[TENON_${variable//-/_}\]"
done
succeed "$train" --version
has "$out" '^tenon-train [0-9]+\.[0-9]+\.[0-9]+$'

# --- invalid arguments: one line, status 2, and nothing written
expect 2 '\[usage\] expected --batch to be a whole number from 1 to [0-9]+, got "0"$' "$train" --batch 0
expect 2 '\[usage\] expected --lr to be a finite number, got "nan"$' "$train" --lr nan
expect 2 '\[usage\] expected --lr to be a number above 0, got "-1"$' "$train" --lr -1
expect 2 '\[usage\] expected --lr to be a finite number, got "1e999"$' "$train" --lr 1e999
expect 2 '\[usage\] expected --model to be mlp, lenet, cnn or resnet, got "vgg"$' "$train" --model vgg
expect 2 '\[usage\] expected --epochs to be a whole number .*, got "1.5"$' "$train" --epochs 1.5
expect 2 '\[usage\] expected --epochs to be a whole number .*, got "99999999999999999999"$' "$train" --epochs 99999999999999999999
expect 2 '\[usage\] expected --clip-norm to be a number, 0 or above, got "-0.5"$' "$train" --clip-norm -0.5
expect 2 '\[usage\] expected --seed to be a whole number .*, got "-1"$' "$train" --seed -1
expect 2 '\[usage\] expected --augment to be none, shift, flip or both as shift,flip, got "turn"$' "$train" --augment turn
expect 2 '\[usage\] expected --augment to be none or shift for mnist, .*, got "shift,flip"$' "$train" --data mnist --augment shift,flip
expect 2 '\[usage\] expected --precision fp32 on the cpu, got "bf16"$' "$train" --device cpu --precision bf16
expect 2 '\[usage\] expected --precision to be fp32, tf32 or bf16, got "fp16"$' "$train" --precision fp16
expect 2 '\[usage\] expected --optimizer .*, got "lion"$' "$train" --optimizer lion
expect 2 '\[usage\] expected --schedule .*, got ""$' "$train" --schedule ''
expect 2 '\[usage\] expected --device .*, got "gpu"$' "$train" --device gpu
expect 2 '\[usage\] expected --checkpoint-every .*, got "0"$' "$train" --checkpoint-every 0
expect 2 '\[usage\] expected .*, got "--bogus"$' "$train" --bogus
expect 2 '\[usage\] expected .*, got "stray"$' "$train" stray
expect 2 '\[usage\] expected .*--epochs' "$train" --epochs
expect 2 '\[usage\] expected --out to be a file, got ""$' "$train" --out ''
expect 2 '\[usage\] expected --out to be another file than --checkpoint, got "m"$' "$train" --out m --checkpoint ./m
expect 2 '\[usage\] expected --out to be another file than --metrics, got "m"$' "$train" --out m --metrics "$PWD/m"
expect 2 '\[usage\] expected --checkpoint to be another file than --metrics, got "m.checkpoint"$' "$train" --out m --metrics m.checkpoint
expect 2 '\[usage\] expected --out to be another file than --resume, got "./m"$' "$train" --out ./m --resume m
TENON_METRICS=m expect 2 '\[usage\] expected --metrics \(TENON_METRICS\) to be another file than --resume, got "m"$' "$train" --resume m
TENON_BATCH=many expect 2 '\[usage\] expected --batch \(TENON_BATCH\) to be .*, got "many"$' "$train"
TENON_QUIET=perhaps expect 2 '\[usage\] expected --quiet \(TENON_QUIET\) to be 1 or 0, got "perhaps"$' "$train"
[ "$built_with_cuda" ] || expect 1 '\[device\] expected a build with CUDA for --device cuda, got one without: use --device cpu, or build with cmake --preset cuda$' "$train" --device cuda
TENON_ISA=sse9 expect 1 '\[choose_isa\] expected TENON_ISA=.*, got sse9$' "$train" --device cpu --limit 10 --test-limit 10
[ -z "$(ls)" ] || fail "an error left $(ls)"

# --- a training: its first and last output, and its files
small_data data 200 50
small=("$train" --data data --model mlp --epochs 2 --batch 64 --threads 2)
succeed "${small[@]}" --metrics m.jsonl
has "$out" '^data    data: 200 training images, 50 test images \(data\)$'
has "$out" '^model   mlp, 235146 parameters$'
if [ "$device" = cpu ]; then has "$out" '^device  cpu, 2 threads, isa (avx2|portable)$'; else has "$out" "^device  $device, "; fi
has "$out" '^train   2 epochs of 4 steps, batch 64, adam at 0.001, cosine, seed 1$'
has "$out" '^epoch 2/2  loss [0-9.]+  accuracy [0-9.]+  test accuracy [0-9.]+  [0-9]+ images/s  [0-9.]+ s$'
[[ "$(tail -n 1 "$out")" == "saved   model.safetensors and model.safetensors.checkpoint; test accuracy 0."* ]] || fail "last line: $(tail -n 1 "$out")"
grep -q $'[\r\x1b]' "$out" && fail "expected plain lines where output is no terminal"
[ "$(ls)" = "$(printf '%s\n' data m.jsonl model.safetensors model.safetensors.checkpoint)" ] || fail "files: $(ls)"
[ "$(stat -c %a model.safetensors)" = "$(printf %o $((0666 & ~$(umask))))" ] || fail "mode $(stat -c %a model.safetensors)"
[ "$(wc -l <m.jsonl)" = 2 ] || fail "expected 2 lines of metrics: $(cat m.jsonl)"
number='-?[0-9][0-9.e+-]*'
has m.jsonl "^\{\"epoch\": 1, \"step\": 4, \"train_loss\": $number, \"test_loss\": $number, \"test_accuracy\": [01][0-9.]*, \"lr\": $number, \"images_per_second\": $number, \"seconds\": $number\}$"
has m.jsonl '^\{"epoch": 2, "step": 8, '

# The metadata: sorted, independent of machine, time and run.
header() { local n; n=$(od -An -t u8 -N 8 "$1"); head -c $((n + 8)) "$1" | tail -c +9; }
header model.safetensors >header
has header '"__metadata__":\{"classes":"0,1,2,3,4,5,6,7,8,9","input.mean":"0\.[0-9]+","input.std":"0\.[0-9]+","model":"mlp","tenon.format":"1"\}'
header model.safetensors.checkpoint >header
grep -qE "$(uname -n)|$work|thread" header && fail "the checkpoint tells of this machine: $(cat header)"

# --- an error on stdout is reported, and the model is still saved
for output in /dev/full -; do
  rm -f model*
  got=0
  if [ $output = - ]; then "${small[@]}" >&- 2>"$err" || got=$?; else "${small[@]}" >$output 2>"$err" || got=$?; fi
  [ "$got" = 1 ] || fail "expected status 1 for an output $output, got $got"
  [ "$(cat "$err")" = "tenon-train: [write] not all lines could be written to standard output: it is full or closed" ] || fail "$(cat "$err")"
  [ -s model.safetensors ] || fail "no model because of an output $output"
done

# --- flags override the environment, the environment overrides defaults; an empty variable counts as unset
TENON_EPOCHS=1 TENON_SEED= TENON_OUT=env.safetensors succeed "$train" --data data --model mlp --limit 64 --out flag.safetensors
has "$out" '^train   1 epoch of 1 step, .*, seed 1$'
has "$out" '^saved   flag.safetensors '
[ ! -e env.safetensors ] || fail "a variable won over a flag"

# --- quiet, optimizers and their rates, schedules, limits
TENON_QUIET=1 succeed "${small[@]}" --optimizer sgd --schedule step --limit 100 --test-limit 20 --augment flip,shift --batch 1000
has "$out" '^data    data: 100 training images, 20 test images'
has "$out" ' of 1 step, batch 1000, sgd at 0.05, step, seed 1, augment shift,flip$'
succeed "${small[@]}" --optimizer adamw --schedule onecycle --lr 2e-3 --metrics m.jsonl
has "$out" 'adamw at 0.002, onecycle, '
succeed "${small[@]}" --schedule step --epochs 3 --lr 1 --optimizer sgd --limit 64 --metrics m.jsonl
[ "$(sed 's/.*"lr": \([^,]*\),.*/\1/' m.jsonl | xargs)" = "1 0.1 0.010000000000000002" ] || fail "step schedule: $(cat m.jsonl)"

# --- the network learns, and the output shows it
succeed "$train" --data data --model mlp --epochs 30 --batch 32 --quiet
awk '/^epoch 30/ { if ($4 > 0.1) exit 1 } /^saved/ { if ($NF < 0.6) exit 1 }' "$out" ||
  fail "expected a loss below 0.1 in training and an accuracy above 0.6: $(tail -n 2 "$out")"

# --- a terminal: a bar redrawn in place, unless NO_COLOR asks for plain lines
if command -v script >/dev/null; then
  export TERM=xterm  # the tests may run on any terminal, for example TERM=dumb
  bar=("${small[@]}" --limit $((10000 / emulated)) --data "$work/all" --epochs 1 --test-limit 10 --batch 16)
  script -qec "stty cols 100; $(printf '%q ' "${bar[@]}")" /dev/null >"$out" </dev/null || fail "on a terminal: $(cat "$out")"
  grep -qE $'\r''epoch 1/1 \[#+-+\] +[0-9]+ %  loss [0-9.]+  accuracy [0-9.]+  [0-9]+ images/s  [0-9]+:[0-9]{2} left' "$out" || fail "no bar: $(cat "$out")"
  script -qec "stty cols 40; $(printf '%q ' "${bar[@]}")" /dev/null >"$out" </dev/null || fail "on a narrow terminal"
  tr '\r' '\n' <"$out" | sed 's/\x1b\[K//' | awk '/^epoch 1\/1 \[/ && length($0) > 39 { exit 1 }' || fail "a bar wider than the terminal"
  NO_COLOR=1 script -qec "$(printf '%q ' "${bar[@]}")" /dev/null >"$out" </dev/null || fail "with NO_COLOR"
  grep -q $'\x1b' "$out" && fail "expected plain lines with NO_COLOR"
fi

# --- unpacking: uncompressed files with the content of the packed ones
succeed "$train" --data data --unpack plain
has "$out" '^wrote 200 training and 50 test images with their labels into plain$'
for file in data/*; do same "$file" "plain/${file#data/}"; done
exit 0
