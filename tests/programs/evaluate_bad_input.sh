# tenon-evaluate: each error gives one line on stderr and status 1 or 2, and leaves no file.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
small_data data 100 40
succeed "$train" --data data --model mlp --epochs 1 --out m
images=data/t10k-images-idx3-ubyte labels=data/t10k-labels-idx1-ubyte
rm m.checkpoint
ls -A >before

# no STATUS PATTERN ARGUMENT...: requests all outputs; no output file may appear.
no() {
  expect "$1" "$2" "$evaluate" --predictions p.csv --json r.json "${@:3}"
  cmp -s before <(ls -A) || fail "left $(ls -A | tr '\n' ' ') after $*"
}

# --- invalid arguments
expect 2 '\[usage\] expected a MODEL .*, got none$' "$evaluate"
no 2 '\[usage\] expected MODEL to be a file, got ""$' ''
no 2 '\[usage\] expected .*, got "--bogus"$' m --bogus
no 2 '\[usage\] expected .*, got "second"$' m second
no 2 '\[usage\] expected --threads to be a whole number from 0 .*, got "-1"$' m --data data --threads -1
no 2 '\[usage\] expected --device .*, got "gpu"$' m --data data --device gpu
[ "$built_with_cuda" ] || no 1 '\[device\] expected a build with CUDA .*use --device cpu, or build with cmake --preset cuda$' m --data data --device cuda
no 2 '\[usage\] expected --images with --labels, got none$' m --labels $labels
no 2 '\[usage\] expected --labels for a --report, got none$' m --images $images --report r.html
no 2 '\[usage\] expected --json to be another file than those of the data, got "data/t10k-images-idx3-ubyte"$' m --data data --json data/t10k-images-idx3-ubyte
no 2 '\[usage\] expected --model to be mlp, lenet, cnn or resnet, got "vgg"$' m --data data --model vgg
no 2 '\[usage\] expected --model mlp as in the file, got "cnn" \(m\)$' m --data data --model cnn
TENON_MODEL=cnn no 2 '\[usage\] expected --model \(TENON_MODEL\) mlp as in the file, got "cnn" \(m\)$' m --data data
no 2 '\[usage\] expected --mean 0\.[0-9]+ as in the file, got "0.5" \(m\)$' m --data data --mean 0.5
no 2 '\[usage\] expected --std to be a number above 0, got "0"$' m --data data --std 0
no 2 '\[usage\] expected --mean to be a finite number, got "nan"$' m --data data --mean nan
TENON_LABELS=$labels no 2 '\[usage\] expected --images with --labels \(TENON_LABELS\), got none$' m
TENON_REPORT=r.html no 2 '\[usage\] expected --labels for a --report \(TENON_REPORT\), got none$' m --images $images
TENON_THREADS=x no 2 '\[usage\] expected --threads \(TENON_THREADS\) to be .*, got "x"$' m --data data

# --- the model file
no 1 '\[read_file\] cannot open the file: .* \(absent\)$' absent --data data
no 1 '\[read_file\] this is a folder, not a file \(data\)$' data --data data
no 1 '\[load_safetensors\] .* \(data/t10k-labels-idx1-ubyte\)$' $labels --data data
mkfifo pipe && ls -A >before                                             # no process writes to it
no 1 '\[load_safetensors\] expected a file, got a device or pipe \(pipe\)$' pipe --data data
bad() { # bad PATTERN [FLAG...]: the file bad
  ls -A >before
  no 1 "$1 \(bad\)$" bad --data data "${@:2}"
  rm bad
  ls -A >before
}
head -c 100 m >bad
bad '\[load_safetensors\] .*'
head -c -1 m >bad
bad '\[load_safetensors\] .*'
{ cat m; printf 'x'; } >bad
bad '\[load_safetensors\] .*'
{ printf '\0\0\0\100\0\0\0\0'; tail -c +9 m; } >bad                      # a header of a gigabyte
bad '\[load_safetensors\] .*'
: >bad
bad '\[load_safetensors\] .*'
size=$(stat -c %s m)
for word in '\0\0\300\177' '\0\0\200\377'; do                            # NaN, -infinity
  cp m bad
  printf "$word" | dd of=bad bs=1 seek=$((size - 4)) conv=notrunc status=none
  bad '\[load_model\] expected finite values in tensor "5.weight", got NaN or infinity at element 1279'
done
sed 's/"model":"mlp"/"model":"cnn"/' m >bad
bad '\[load_model\] expected .*tensor.*'
sed 's/"model":"mlp"/"model":"vgg"/' m >bad
bad '\[load_model\] expected a model mlp, lenet, cnn or resnet, got "vgg"'
sed 's/"5.bias"/"6.bias"/' m >bad
bad '\[load_model\] expected .*"(5|6)\.bias".*'
sed 's/"input.std":"0/"input.std":"-/' m >bad
bad '\[load_model\] expected a number as input.std in the metadata, got ".*"'
sed 's/"tenon.format":"1"/"tenon.format":"9"/' m >bad
bad '\[load_model\] expected a file of format 1, got format "9": it was written by a newer tenon; update this one'
sed 's/"tenon.format":"1"/"tenon.format":"0"/' m >bad
bad '\[load_model\] expected a file of format 1, got format "0"'
cp "$root/tests/golden/torch_activations.safetensors" bad
ls -A >before
no 2 '\[usage\] expected --model mlp, lenet, cnn or resnet for a file whose metadata name no model, got none \(bad\)$' bad --data data
bad '\[load_model\] expected .*' --model mlp

# --- control characters in names do not reach the terminal
no 1 '\[read_file\] cannot open .* \(a\?\[31mb \?\?c é\)$' $'a\e[31mb\n\x7f\xc2\x9bc é' --data data

# --- the data
no 1 '\[find_dataset\] expected .* \(nowhere\)$' m --data nowhere
mkdir empty && ls -A >before
no 1 '\[load_image_folder\] expected t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz, got neither \(empty\)$' m --data empty
no 1 '\[read_file\] cannot open .* \(absent\)$' m --images absent
no 1 '\[load_images\] expected an IDX file of images, got an IDX file of labels \(.*\)$' m --images $labels
no 1 '\[load_labels\] expected an IDX file of labels, got an IDX file of images \(.*\)$' m --images $images --labels $images
no 1 '\[load_labels\] expected 40 labels, one for each image, got 100 \(.*\)$' m --images $images --labels data/train-labels-idx1-ubyte
no 1 '\[load_images\] expected .* \(/dev/null\)$' m --images /dev/null
wrong() { # wrong PATTERN: the file wrong as images
  ls -A >before
  no 1 "$1 \(wrong\)$" m --images wrong
}
head -c -1 $images >wrong
wrong '\[load_images\] expected 31360 bytes for 40 x 28 x 28 images, got 31359'
{ cat $images; printf 'x'; } >wrong
wrong '\[load_images\] expected 31360 bytes for 40 x 28 x 28 images, got 31361'
gzip -c $images | head -c -20 >wrong
wrong '\[inflate_gz\] expected .*'
{ u32 2051; u32 0; u32 28; u32 28; } >wrong
wrong '\[load_images\] expected at least one .*'
{ u32 2051; u32 4294967295; u32 4294967295; u32 4294967295; } >wrong
wrong '\[load_images\] expected dimensions that fit in memory, .*'
{ u32 2051; u32 40; u32 14; u32 56; tail -c +17 $images; } >wrong
wrong '\[evaluate\] expected pictures of 28 x 28 pixels for model mlp, got 14 x 56'
{ u32 2049; u32 40; head -c 39 /dev/zero; printf '\12'; } >wrong
ls -A >before
no 1 '\[load_labels\] expected labels from 0 to 9, got 10 for image 39 \(wrong\)$' m --images $images --labels wrong

# --- output files: errors are reported before the work, and the old file is kept
for place in absent/r.json data /dev/full; do
  expect 1 '\[write_file\] .*\)$' "$evaluate" m --data data --json $place
  [ ! -s "$out" ] || fail "expected an error before the work, got $(cat "$out")"
done
got=0
"$evaluate" m --data data --json told.json >/dev/full 2>"$err" || got=$?
[ "$got" = 1 ] || fail "expected status 1 for a full output, got $got"
has "$err" '^tenon-evaluate: \[write\] not all lines could be written to standard output: it is full or closed$'
has told.json '"accuracy": '
printf 'old' >r.json
expect 1 '\[write_file\] ' "$evaluate" m --data data --json r.json --predictions absent/p.csv
[ "$(cat r.json)" = old ] || fail "r.json was touched"
succeed "$evaluate" m --data data --json r.json
has r.json '"accuracy": '

# --- outputs never overwrite inputs or each other, under any name
cp m kept
cp m m.link.target && ln -s m.link.target link
printf '{"epoch": 1}\n' >m.jsonl
apart() {  # apart FLAG OTHER VALUE ARGUMENT...
  expect 2 "\\[usage\\] expected $1 to be another file than $2, got \"$3\"\$" "$evaluate" "${@:4}"
}
for flag in --predictions --json --report; do
  for name in m ./m "$PWD/m"; do apart $flag MODEL "$name" m --data data $flag "$name"; done
  apart $flag MODEL link m.link.target --data data $flag link
  apart $flag MODEL m.link.target link --data data $flag m.link.target
  apart $flag --images ./$images m --images $images --labels $labels $flag ./$images
  apart $flag --labels ./$labels m --images $images --labels $labels $flag ./$labels
  apart $flag --metrics ./m.jsonl m --data data --metrics m.jsonl --report page.html $flag ./m.jsonl
done
apart --predictions --json new m --data data --json ./new --predictions new
apart --json --report r.json m --data data --json r.json --report ./r.json
TENON_JSON=m apart '--json \(TENON_JSON\)' MODEL m m --data data
same m kept
same m.link.target kept
