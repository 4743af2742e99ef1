# tenon-evaluate: its output and files, for data sets and single files, with and without labels, for any number of
# threads.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
small_data data 400 300                                    # 300: a whole batch of 256, and a part of one
succeed "$train" --data data --model mlp --epochs 2 --batch 50 --metrics model.jsonl

# --- help and version
succeed "$evaluate" --help
for flag in data images labels predictions json report metrics model mean std threads device; do
  has "$out" "--$flag "
  has "$out" "\[TENON_${flag^^}\]"
done
succeed "$evaluate" --version
has "$out" '^tenon-evaluate [0-9]+\.[0-9]+\.[0-9]+$'

# --- all outputs at once; the model file contains all information about the model
succeed "$evaluate" model.safetensors --data data --threads 1 --predictions p.csv --json r.json --report r.html
has "$out" '^data    data: 300 test images \(data\)$'
has "$out" '^model   mlp \(model\.safetensors\), input \(pixel / 255 - 0\.[0-9]+\) / 0\.[0-9]+$'
on_one_thread="cpu, 1 thread, isa (avx2|portable)"
if [ "$device" = cuda ]; then on_one_thread="cuda, .*"; fi
has "$out" "^device  $on_one_thread\$"
for file in p.csv r.json r.html; do has "$out" "^wrote   $file$"; done
has "$out" '^result  accuracy 0\.[0-9]{4} \([0-9]+ of 300\), loss [0-9]+\.[0-9]{4}, in [0-9.]+ s$'
[ -z "$(ls .*.tenon-* 2>/dev/null)" ] || fail "left $(ls)"
[ "$(stat -c %a r.json)" = "$(printf %o $((0666 & ~$(umask))))" ] || fail "mode $(stat -c %a r.json)"

# --- predictions: one line per image; labels as in the data; the prediction is the largest logit
[ "$(head -n 1 p.csv)" = "index,label,prediction,logit_0,logit_1,logit_2,logit_3,logit_4,logit_5,logit_6,logit_7,logit_8,logit_9" ] ||
  fail "header: $(head -n 1 p.csv)"
[ "$(wc -l <p.csv)" = 301 ] || fail "expected 300 predictions, got $(($(wc -l <p.csv) - 1))"
tail -n +2 p.csv | cut -d, -f2 >labels
tail -c +9 data/t10k-labels-idx1-ubyte | od -An -v -tu1 -w1 | tr -d ' ' >wanted
same labels wanted
awk -F, 'NR > 1 { best = 4; for (i = 5; i <= 13; ++i) if ($i > $best) best = i
                  if (NF != 13 || $1 != NR - 2 || $3 != best - 4) { print "line " NR ": " $0; exit 1 } }' p.csv || fail "p.csv"

# --- accuracy and loss match the predictions and the values that the training measured
read -r right loss < <(awk -F, 'NR > 1 { right += $2 == $3; top = $(4 + $3); sum = 0
                                         for (i = 4; i <= 13; ++i) sum += exp($i - top)
                                         loss += top + log(sum) - $(4 + $2) }
                                END { printf "%d %.6f\n", right, loss / (NR - 1) }' p.csv)
field() { sed -nE "s/^ *\"$1\": ([-0-9.e]+),?$/\1/p" "$2" | head -n 1; }
close() { awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit !(d < 1e-5 && d > -1e-5) }' || fail "expected $2, got $1"; }
close "$(field accuracy r.json)" "$(awk "BEGIN { print $right / 300 }")"
close "$(field loss r.json)" "$loss"
close "$(field loss r.json)" "$(sed -nE '2s/.*"test_loss": ([-0-9.e]+).*/\1/p' model.jsonl)"
close "$(field accuracy r.json)" "$(sed -nE '2s/.*"test_accuracy": ([-0-9.e]+).*/\1/p' model.jsonl)"
has "$out" "\($right of 300\)"

# --- JSON: the documented keys; the confusion matrix adds up
for key in accuracy loss count per_class confusion model; do has r.json "^  \"$key\": "; done
has r.json '^  "model": "mlp",$'
has r.json '^  "count": 300,$'
[ "$(grep -cE '^    \{"label":[0-9],"name":"[0-9]","count":[0-9]+,"precision":[^,]+,"recall":[^,]+,"f1":[^,]+\},?$' r.json)" = 10 ] ||
  fail "the classes: $(cat r.json)"
[ "$(sed -n '/"confusion"/,/^  \]/p' r.json | grep -oE '[0-9]+' | awk '{ ++n; sum += $1 } END { print n, sum }')" = "100 300" ] ||
  fail "the confusion matrix: $(cat r.json)"

# --- the report: complete, no scripts, no external resources; curves from model.jsonl next to the model
[ "$(head -n 1 r.html)" = "<!doctype html>" ] || fail "r.html begins $(head -n 1 r.html)"
[ "$(tail -n 1 r.html)" = "</html>" ] || fail "r.html ends $(tail -n 1 r.html)"
for part in 'mlp <i>on</i> data' 'prefers-color-scheme:dark' 'src="data:image/png;base64,' '<svg ' 'Class by class' 'Curves'; do
  grep -qF "$part" r.html || fail "expected $part in r.html"
done
grep -qE '<script|<link|@import|https?:|url\(' r.html && fail "r.html is not complete in itself"
rm model.jsonl
succeed "$evaluate" model.safetensors --data data --report plain.html
grep -q '<svg ' plain.html && fail "curves without metrics"
grep -qF "$work" r.html plain.html && fail "a report holds a path"

# --- the same bytes for any number of threads, and from single files, also with gzip
for threads in 2 3; do
  succeed "$evaluate" model.safetensors --data data --threads $threads --predictions p$threads.csv --json r$threads.json
  same p.csv p$threads.csv
  same r.json r$threads.json
done
gzip -c data/t10k-images-idx3-ubyte >pictures
succeed "$evaluate" model.safetensors --images pictures --labels data/t10k-labels-idx1-ubyte --predictions q.csv --json q.json
has "$out" '^data    pictures: 300 labelled images \(pictures\)$'
same p.csv q.csv
same r.json q.json

# --- without labels: predictions only, no accuracy or loss
succeed "$evaluate" model.safetensors --images pictures --predictions q.csv --json q.json
has "$out" '^data    pictures: 300 images without labels \(pictures\)$'
has "$out" '^result  300 predictions, in [0-9.]+ s$'
cmp -s <(awk -F, -v OFS=, 'NR > 1 { $2 = "" } { print }' p.csv) q.csv || fail "expected the same predictions without labels"
for line in '"accuracy": null,' '"loss": null,' '"count": 300,' '"per_class": \[\],' '"confusion": \[\]'; do has q.json "^  $line$"; done

# --- a checkpoint is evaluated like a model
succeed "$evaluate" model.safetensors.checkpoint --data data --predictions q.csv
same p.csv q.csv

# --- environment variables; flags override them
TENON_DATA=data TENON_THREADS=1 TENON_JSON=e.json succeed "$evaluate" model.safetensors
has "$out" "^device  $on_one_thread\$"
same r.json e.json
TENON_DATA=nowhere TENON_THREADS=many succeed "$evaluate" model.safetensors --data data --threads 1
has "$out" "^device  $on_one_thread\$"

# --- options that are given but not used are reported
TENON_METRICS=nowhere.jsonl succeed "$evaluate" model.safetensors --data nowhere --images pictures
has "$out" '^note    --data is not used, because --images is given$'
has "$out" '^note    --metrics \(TENON_METRICS\) is not used without --report$'
succeed "$evaluate" model.safetensors --images pictures
grep -q '^note' "$out" && fail "a note without reason: $(cat "$out")"

# --- a file of another program: flags give the missing information, and the numbers are the same
with_header model.safetensors 's/"__metadata__":\{[^}]*\},//' >theirs.safetensors
read -r mean std < <(sed -nE 's/^model .*255 - ([0-9.]+)\) \/ ([0-9.]+)$/\1 \2/p' "$out")
succeed "$evaluate" theirs.safetensors --data data --model mlp --mean "$mean" --std "$std" --predictions q.csv
same p.csv q.csv
# PyTorch's wrappers add a prefix to every name; other programs write null metadata and additional fields.
for script in 's/"([0-9]+\.(weight|bias)":)/"module.\1/g' 's/"([0-9]+\.(weight|bias)":)/"_orig_mod.module.\1/g' \
  's/^\{/{"__metadata__":null,/' 's/"dtype":/"requires_grad":true,"strides":[1,{"a":null}],"dtype":/g'; do
  with_header theirs.safetensors "$script" >other.safetensors
  if cmp -s theirs.safetensors other.safetensors; then fail "$script changes nothing"; fi
  succeed "$evaluate" other.safetensors --data data --model mlp --mean "$mean" --std "$std" --predictions o.csv
  same p.csv o.csv
done
succeed "$evaluate" theirs.safetensors --data data --model mlp
has "$out" '^model   mlp \(theirs\.safetensors\), input \(pixel / 255 - 0\) / 1$'

# --- metrics: a file given by a flag must be valid; a file found next to the model only gives a note
printf 'nonsense\n' >theirs.jsonl
succeed "$evaluate" theirs.safetensors --data data --model mlp --report t.html
has "$out" '^note    no curves: \[read_metrics\] expected lines of JSON with an epoch, got another line 1 \(theirs\.jsonl\)$'
expect 1 '\[read_metrics\] expected lines of JSON .* \(theirs\.jsonl\)$' "$evaluate" model.safetensors --data data --metrics theirs.jsonl --report t.html
printf '{"epoch": 2}\n{"epoch": 1}\n' >theirs.jsonl
expect 1 '\[read_metrics\] expected epochs in ascending order, got 1 in line 2 ' "$evaluate" model.safetensors --data data --metrics theirs.jsonl --report t.html
