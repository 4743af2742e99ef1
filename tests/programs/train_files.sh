# tenon-train with bad data, bad output paths and a loss that is not finite: one line, status 1, no partly written file.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
small_data data 200 50
mlp=("$train" --model mlp --epochs 1 --test-limit 10)
images=train-images-idx3-ubyte labels=train-labels-idx1-ubyte

# damaged NAME PATTERN: copies the data to NAME, runs the commands on stdin there to damage it, and checks the refusal.
damaged() {
  cp -r data "$1"
  (cd "$1" && source /dev/stdin)
  expect 1 "$2" "${mlp[@]}" --data "$1"
  [ ! -e model.safetensors ] || fail "$1: a model was written"
}
damaged truncated '\[load_images\] expected 156800 bytes for 200 x 28 x 28 images, got 156799 \(truncated/train-images' <<<'truncate -s -1 $images'
damaged overlong '\[load_labels\] expected 200 bytes for 200 labels, got 201 \(overlong/train-labels' <<<'echo -n x >>$labels'
damaged headless '\[load_images\] expected a header of 16 bytes, got 8 ' <<<'truncate -s 8 $images'
damaged empty '\[load_images\] expected an IDX file of images, got a file of 0 bytes ' <<<'truncate -s 0 $images'
damaged magic '\[load_images\] expected an IDX file of images, got an IDX file of labels ' <<<'cp $labels $images'
damaged range '\[load_labels\] expected labels from 0 to 9, got 120 for image 199 ' <<<'truncate -s -1 $labels; echo -n x >>$labels'
damaged counts '\[load_labels\] expected 200 labels, one for each image, got 199 ' <<<'{ u32 2049; u32 199; tail -c 199 ../data/$labels; } >$labels'
damaged none '\[load_images\] expected at least one of the images, got 0 x 28 x 28 ' <<<'{ u32 2051; u32 0; u32 28; u32 28; } >$images'
damaged overflow '\[load_images\] expected dimensions that fit in memory, got 2147483648 ' <<<'{ u32 2051; u32 2147483648; u32 2147483648; u32 8; } >$images'
damaged lies '\[load_images\] expected [0-9]+ bytes for 2000000000 x 28 x 28 ' <<<'{ u32 2051; u32 2000000000; u32 28; u32 28; } >$images'
damaged size '\[train\] expected pictures of 28 x 28 pixels for model mlp, got 14 x 14 \(size\)' <<<'for part in train:200 t10k:50; do
  { u32 2051; u32 ${part#*:}; u32 14; u32 14; head -c $((${part#*:} * 196)) /dev/zero; } >${part%:*}-images-idx3-ubyte
done'
damaged turned '\[train\] expected pictures of 28 x 28 pixels for model mlp, got 14 x 56 \(turned\)' <<<'for part in train:200 t10k:50; do
  { u32 2051; u32 ${part#*:}; u32 14; u32 56; head -c $((${part#*:} * 784)) /dev/zero; } >${part%:*}-images-idx3-ubyte
done'
damaged folder '\[read_file\] this is a folder, not a file \(folder/train-images' <<<'rm $images; mkdir $images'
damaged missing '\[load_image_folder\] expected t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz, got neither \(missing\)' <<<'rm t10k-labels-idx1-ubyte'
damaged gz_cut '\[inflate_gz\] expected a whole gzip file, got one cut short ' <<<'gzip $images; truncate -s -9 $images.gz'
damaged gz_more '\[inflate_gz\] expected nothing after the end of the gzip data, got 5 bytes more ' <<<'gzip $images; echo more >>$images.gz'
damaged gz_bad '\[inflate_gz\] expected a gzip file, got a damaged one ' <<<'gzip $images; printf "\377\377\377\377" | dd of=$images.gz bs=1 seek=2000 conv=notrunc status=none'
expect 1 '\[find_dataset\] expected fashion-mnist, mnist or a folder .*\(nowhere\)$' "${mlp[@]}" --data nowhere
expect 1 '\[find_dataset\] ' "${mlp[@]}" --data "data/$labels"
for flag in --out --checkpoint --metrics; do
  expect 2 "\[usage\] expected $flag to be another file than those of the data, got \"\./data/$labels\"$" "${mlp[@]}" --data data $flag "./data/$labels"
done

# For the names of the two known datasets the error says how to fetch them; ./mnist is a folder.
HOME=$work expect 1 '\[find_dataset\] expected the four IDX files of mnist in one of .*; fetch it with: [a-z/-]*fetch-data mnist' "${mlp[@]}" --data mnist
cp -r data mnist
succeed "${mlp[@]}" --data ./mnist --augment flip
rm -f model*
# gzip is detected by content; the labels have the other file name.
mkdir gz && cp data/* gz && gzip gz/* && mv "gz/$labels.gz" "gz/${labels/-idx/.idx}"
head -c 1000 /dev/zero >>"gz/$images.gz"  # padded with zeros, as on tapes and in some downloads
succeed "${mlp[@]}" --data gz --out gz.model
succeed "${mlp[@]}" --data data --out plain.model
same gz.model plain.model
same gz.model.checkpoint plain.model.checkpoint

# --- paths that cannot be written are reported before any work
expect 1 '\[write_file\] cannot create files in the folder: No such file or directory \(no/folder/m\)$' "${mlp[@]}" --data data --out no/folder/m
expect 1 '\[write_file\] this is a folder, not a file \(data\)$' "${mlp[@]}" --data data --out data
expect 1 '\[write_file\] this is a folder, not a file \(data\)$' "${mlp[@]}" --data data --metrics data
expect 1 '\[write_file\] this is a device or a pipe, not a regular file \(/dev/null\)$' "${mlp[@]}" --data data --checkpoint /dev/null
expect 1 '\[unpack\] expected a folder that can be made, got ' "${mlp[@]}" --data data --unpack no/folder
mkdir locked && chmod 555 locked
if [ "$(id -u)" = 0 ]; then
  if command -v setpriv >/dev/null; then chmod -R a+rX "$work"; as=(setpriv --reuid 65534 --clear-groups); else as=(); fi
else
  as=(env)
fi
if [ ${#as[@]} -gt 0 ] && "${as[@]}" test -x "$train"; then
  nobody() { "${as[@]}" "$@"; }
  got=0
  nobody "${mlp[@]}" --data data --out locked/m >"$out" 2>"$err" || got=$?
  [ "$got" = 1 ] || fail "expected status 1 for a folder without permission, got $got"
  has "$err" '^tenon-train: \[write_file\] cannot create files in the folder: Permission denied(; .*)? \(locked/m\)$'
  cp -r data sealed && chmod 0 sealed
  got=0
  nobody "${mlp[@]}" --data sealed >"$out" 2>"$err" || got=$?
  [ "$got" = 1 ] || fail "expected status 1 for data without permission, got $got"
  has "$err" '^tenon-train: \[find_dataset\] expected .* a folder with four IDX files, got "Permission denied"(; .*)? \(sealed\)$'
  chmod 755 sealed

  # A write-protected file is also refused. If the system cannot start a given number of threads, that is an error;
  # without a given number the program continues with the threads that start. Sanitizers need additional threads.
  mkdir open && chmod 777 open && echo kept >open/m && chmod 444 open/m
  nobody "${mlp[@]}" --data data --out open/m >"$out" 2>"$err" && fail "a protected file was replaced"
  has "$err" '^tenon-train: \[write_file\] cannot write to the file: Permission denied(; .*)? \(open/m\)$'
  [ "$(cat open/m)" = kept ] || fail "a protected file was replaced"
  if [ "$slowness" = 1 ] && [ "$device" = cpu ]; then
    nobody bash -c 'ulimit -u 1 && exec "$@"' _ "${mlp[@]}" --data data --out open/n --threads 3 >"$out" 2>"$err" &&
      fail "expected no threads"
    has "$err" '^tenon-train: \[ThreadPool\] expected 3 threads, got 1 \(.*\); ask for fewer \(--threads 1\), or '
    [ "$(wc -l <"$err")" = 1 ] || fail "expected one line: $(cat "$err")"
    if [ "$(nproc)" -gt 1 ]; then
      succeed nobody bash -c 'ulimit -u 1 && exec "$@"' _ "${mlp[@]}" --data data --out open/n
      has "$out" '^device  cpu, 1 thread, isa [a-z0-9]+; the system does not start the other [0-9]+: '
    fi
  fi
fi

# --- files of the user are kept: files named like locks and temporary files, notes where metrics would be written
mkdir names && echo mine >names/a.lock && echo mine >names/a.tmp
succeed "${mlp[@]}" --data data --out names/a
[ "$(cat names/a.lock names/a.tmp | xargs)" = "mine mine" ] || fail "a file of the user's is gone: $(ls -A names)"
succeed "${mlp[@]}" --data data --out names/b.lock --checkpoint names/b
succeed "${mlp[@]}" --data data --out names/c --checkpoint names/c.tmp
[ "$(ls -A names | xargs)" = "a a.checkpoint a.lock a.tmp b b.lock c c.tmp" ] || fail "files: $(ls -A names)"
expect 1 '\[write_file\] this name is reserved for locks and temporary files; choose another one \(.d.tenon-lock\)$' \
  "${mlp[@]}" --data data --out d --checkpoint .d.tenon-lock
echo 'my notes' >notes
expect 1 '\[metrics\] expected a file of lines that begin \{"epoch": N, got "my notes": name another file \(notes\)$' "${mlp[@]}" --data data --metrics notes
[ "$(cat notes)" = "my notes" ] || fail "notes were replaced"
: >metrics
# The metrics file is first empty, then of an older training.
for again in 1 2; do succeed "${mlp[@]}" --data data --metrics metrics --out names/a; done
[ "$(wc -l <metrics)" = 1 ] || fail "metrics: $(cat metrics)"

# --- control characters in a name do not reach the terminal
succeed "${mlp[@]}" --data data --out $'\e]0;title\a\x7f'
has "$out" '^saved   \?\]0;title\?\? and \?\]0;title\?\?.checkpoint; '
rm -- $'\e'*

# --- two writers: the second gets an error, and the first is not disturbed
start "${mlp[@]}" --data data --epochs 1000000 --out busy
wait_for '^epoch 1/' $pid
cp "$err" first_err
for flags in "--out busy" "--out free --checkpoint busy.checkpoint"; do
  expect 1 '\[write_file\] busy(\.checkpoint)? is locked by another process; wait until it ends, or write to another file$' "${mlp[@]}" --data data $flags
done
kill -TERM $pid
wait $pid || [ $? = 143 ] || fail "the first writer was disturbed"

# --- a full disk: the error says so, the old files are kept
if unshare --mount true 2>/dev/null; then
  mkdir full
  got=0
  unshare --mount bash -c 'mount -t tmpfs -o size=2m none full && cp plain.model full/model && cd full && exec "$@"' _ \
    "${mlp[@]}" --data ../data --out model --checkpoint checkpoint >"$out" 2>"$err" || got=$?
  [ "$got" = 1 ] || fail "expected status 1 on a full disk, got $got: $(cat "$err")"
  has "$err" '^tenon-train: \[write_file\] cannot write [0-9]+ bytes: No space left on device \([^ ]*checkpoint\)$'
  [ "$(wc -l <"$err")" = 1 ] || fail "expected one line: $(cat "$err")"
else
  echo "note: full disk not tested, unshare --mount is not allowed here"
fi

# --- a file size limit has the same effect as a full disk
mkdir small limited && cp plain.model small/model
printf '#!/usr/bin/env bash\nulimit -f 100\nexec "%s" "$@"\n' "$train" >limited/tenon-train && chmod +x limited/tenon-train
expect 1 '\[write_file\] cannot write [0-9]+ bytes: File too large; raise the limit that ulimit -f prints \(small/checkpoint\)$' \
  limited/tenon-train --model mlp --epochs 1 --data data --out small/model --checkpoint small/checkpoint
same small/model plain.model
[ "$(ls -A small)" = model ] || fail "files: $(ls -A small)"

# --- damaged checkpoints are refused and not changed
"${mlp[@]}" --data data --out c >/dev/null
cp c.checkpoint whole
refused() { expect 1 "$1" "$train" --data data --out c --resume auto; }
edited() {  # SED PATTERN
  sed "$1" whole >c.checkpoint
  if cmp -s whole c.checkpoint; then fail "sed '$1' finds nothing"; fi
  refused "$2"
}
truncate -s -1 c.checkpoint
refused '\[load_safetensors\] expected .*\(c.checkpoint\)$'
printf '\0\0\0\0\100\0\0\0rest' >c.checkpoint  # a header of 256 GB
refused '\[load_safetensors\] expected .*\(c.checkpoint\)$'
edited 's/"shape":\[10\]/"shape":[11]/' '\[load_safetensors\] expected .*\(c.checkpoint\)$'
edited 's/"progress.epoch":"1"/"progress.epoch":"x"/' '\[load_checkpoint\] expected a number as "progress.epoch" in the metadata, got "x" '
edited 's/"train.model":"mlp"/"train.model":"cnn"/' '\[load_(checkpoint|model)\] expected '
edited 's/"train.lr":"0.001"/"train.lr":"nan!!"/' '\[resume\] expected options of a training in the metadata, got \[usage\] expected --lr .* got "nan!!" \(c.checkpoint\)$'

# place and nowhere set positions in the course of a training; no training of an epoch of 200 images in batches of 128
# reaches the positions given to nowhere.
place() {  # NAME=VALUE...
  local name
  for name in "$@"; do echo "s/\"progress.${name%=*}\":\"[^\"]*\"/\"progress.${name%=*}\":\"${name#*=}\"/"; done >script
  with_header whole "$(cat script)" >c.checkpoint
}
nowhere() {  # PATTERN NAME=VALUE...
  place "${@:2}"
  refused "\\[resume\\] expected $1 \\(c.checkpoint\\)\$"
}
nowhere 'a place in a training of 1 epoch, got 9 epochs and 0 images' epoch=9 step=18
nowhere 'a place in a training of 1 epoch, got 1 epoch and 128 images' position=128 step=3
nowhere 'a place between batches of 128 in an epoch of 200 images, got image 50' epoch=0 position=50 step=1
nowhere 'a place between batches of 128 in an epoch of 200 images, got image 256' epoch=0 position=256
nowhere 'step 2 after 1 epoch and 0 images, got step 77' step=77
nowhere 'step 2 after 1 epoch and 0 images, got step 1' step=1
nowhere 'step 1 after 0 epochs and 128 images, got step 2' epoch=0 position=128
nowhere 'sums of .* over at most 200 images, got nan, 200 and .* of 200' loss_sum=nan
nowhere 'sums of .* got inf, 200 and .*' loss_sum=inf
nowhere 'sums of .* got -1, 200 and .*' loss_sum=-1
nowhere 'sums of .* got [0-9.]+, -0.5 and .*' weight_sum=-0.5
nowhere 'sums of .* and -5 of 200' correct=-5
nowhere 'sums of .* and 201 of 200' correct=201
nowhere 'sums of .* and 5 of 201' correct=5 count=201
for somewhere in "step=0" "step=1 position=128" "step=2 position=200"; do
  place epoch=0 $somewhere
  succeed "$train" --data data --out c --resume auto
done
# A resumed training has a good step, so the weights of the checkpoint are saved when the next step fails.
place epoch=0 step=1 position=128
with_header c.checkpoint 's/"train.lr":"0.001"/"train.lr":"1e300"/' >wild
expect 1 '\[train\] expected a finite update, got NaN or infinity in step 2, .*; kept holds the weights before it$' "$train" --data data --resume wild --out kept
same kept plain.model
: >c.checkpoint
refused '\[load_safetensors\] '
[ ! -s c.checkpoint ] || fail "a refused checkpoint was written to"

# --- a loss or update that is not finite: the error names the step and the layer and gives advice. The last good
# weights are saved and load. Weights before the first step are of no use and replace no model.
for course in "sgd 1e12" "adam 1e12" "sgd 1e38" "adam 1e38" "sgd 1e300" "adam 1e300"; do
  cp plain.model model.safetensors
  expect 1 '\[train\] expected a finite (loss|gradient|update), got NaN or infinity in step [1-9][0-9]*, first in (the gradient of )?([0-9]+\.(weight|bias)|layer [0-9]+ \([A-Za-z0-9]+\)): lower the learning rate, .*; (model.safetensors holds the weights before it|nothing was saved, for no good step was made)$' \
    "${mlp[@]}" --data data --batch 20 --optimizer ${course% *} --lr ${course#* }
  [ ! -e .model.safetensors.tenon-lock ] || fail "$course: a lock was left"
  # The first step is also not good if the second step finds that its update ruined the weights.
  if grep -qE ' in step 1,|; nothing was saved' "$err"; then
    has "$err" ' in step [12], .*; nothing was saved, for no good step was made$'
    same plain.model model.safetensors
    continue
  fi
  cmp -s plain.model model.safetensors && fail "$course: the last good weights are not there"
  # After 1e12, weights may be good for the last training batch, but so large that other outputs are not finite.
  [[ ! -x $evaluate || $course == *1e12 ]] || succeed "$evaluate" model.safetensors --data data
done

# --- a checkpoint never holds weights that no batch has checked after such a large update
rm -f model*
expect 1 '\[train\] expected a finite output, got NaN or infinity in step 1, first in layer [0-9]+ \([A-Za-z0-9]+\): .*; nothing was saved, for no good step was made$' \
  "${mlp[@]}" --data data --batch 20 --lr 1e37 --checkpoint-every 1
[ -z "$(ls model* 2>/dev/null)" ] || fail "a model or checkpoint of weights that are of no use"
# Follows the advice of the error.
succeed "${mlp[@]}" --data data --batch 20 --optimizer sgd --lr 1e12 --clip-norm 1e-13

# --- the last step diverges: its weights are finite, its outputs are not, and no file is replaced
diverges=("${mlp[@]}" --data data --batch 200 --lr 1e30)
no_output='\[train\] expected a finite output, got NaN or infinity in step 1, first in layer 3 \(Linear\): lower the learning rate, .*; nothing was saved, for no good step was made$'
expect 1 "$no_output" "${diverges[@]}" --out fresh --metrics fresh.jsonl
[ -z "$(ls fresh fresh.checkpoint 2>/dev/null)" ] || fail "a model that diverged was saved: $(ls)"
[ ! -s fresh.jsonl ] || fail "metrics of an epoch that failed: $(cat fresh.jsonl)"
grep -q '^saved' "$out" && fail "reported as saved: $(cat "$out")"
cp plain.model good && cp plain.model.checkpoint good.checkpoint
expect 1 "$no_output" "${diverges[@]}" --out good
same good plain.model
same good.checkpoint plain.model.checkpoint
expect 1 "$no_output" "${diverges[@]}" --out late --epochs 3
[ ! -e late ] || fail "a model that diverged was saved"

[ -z "$(ls .*.tenon-tmp 2>/dev/null)" ] || fail "half-written files: $(ls -A)"
exit 0
