# `make train` without the build: it evaluates the model that it trained, wherever the environment puts data, model,
# metrics and report. It finds data where the programs find them, before it fetches any.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
need make
[ -x "$evaluate" ] || skip "no $evaluate"
small_data data/mnist 200 50

# tools/find-data and the programs agree for every place. An incomplete dataset is not used.
export HOME=$work/home
agree() {  # FOLDER
  [ "$("$root/tools/find-data" mnist)" = "$1" ] || fail "expected $1, tools/find-data says '$("$root/tools/find-data" mnist)'"
  succeed "$train" --data mnist --model mlp --limit 20 --test-limit 10 --epochs 1 --out found
  has "$out" "^data    mnist: .* \($1\)$"
}
agree data/mnist
export TENON_DATA_HOME=$work/kept
mkdir -p "$TENON_DATA_HOME" "$HOME/.cache/tenon" "$work/cache/tenon"
cp -r data/mnist "$TENON_DATA_HOME"
(cd "$TENON_DATA_HOME/mnist" && gzip train-images-idx3-ubyte && mv t10k-labels{-,.}idx1-ubyte)  # other file names
agree "$TENON_DATA_HOME/mnist"
rm "$TENON_DATA_HOME/mnist/t10k-labels.idx1-ubyte"
agree data/mnist
mv data/mnist "$HOME/.cache/tenon"
agree "$HOME/.cache/tenon/mnist"
cp -r "$HOME/.cache/tenon/mnist" "$work/cache/tenon"
XDG_CACHE_HOME=$work/cache agree "$work/cache/tenon/mnist"
if [ ! -d /usr/share/datasets/mnist ] && HOME= "$root/tools/find-data" mnist; then fail "found what is not there"; fi
[ "$("$root/tools/find-data" cifar 2>/dev/null; echo $?)" = 2 ] || fail "expected status 2 for an unknown name"

# tools/setup also finds them there. The mount hides the package's copy from this process only.
cp -r "$HOME/.cache/tenon/mnist" "$HOME/.cache/tenon/fashion-mnist"
setup() { TENON_NO_INSTALL=1 unshare --mount bash -c 'mount -t tmpfs none /usr/share/datasets && "$0" train' "$root/tools/setup" >"$work/log" 2>&1; }
if [ -d /usr/share/datasets ] && unshare --mount mount -t tmpfs none /usr/share/datasets 2>/dev/null; then
  setup || true
  if grep -q "Fashion-MNIST" "$work/log"; then fail "Fashion-MNIST is there: $(cat "$work/log")"; fi
  rm -r "$HOME/.cache/tenon/fashion-mnist"
  setup && fail "Fashion-MNIST is not there, and tools/setup is content"
  has "$work/log" "Fashion-MNIST +package dataset-fashion-mnist"
else
  echo "note: tools/setup not tested, unshare --mount is not allowed here"
fi

# make train, with a fake CMake that builds nothing and programs that are already built.
mkdir fake
printf '#!/bin/sh\necho "cmake version 99.0"\n' >fake/cmake
printf '#!/bin/sh\necho "installed nothing"\n' >fake/setup
chmod +x fake/*
mkdir tools && ln -s "$root"/tools/f* tools && ln -s ../fake/setup tools/setup && ln -s "$root/Makefile" .
made() { PATH=$work/here/fake:$PATH TENON_MIRROR=file://$work/nowhere make train BIN="$bin" TRAIN_FLAGS="--model mlp --epochs 1 --limit 50 ${1:-}" >"$out" 2>&1; }
export TENON_DATA=mnist
made || fail "make train: $(cat "$out")"
for file in model.safetensors model.jsonl report.json report.html; do [ -s $file ] || fail "make train wrote no $file: $(ls)"; done
grep -q '<svg ' report.html || fail "no curves"
rm -r model* report*
TENON_OUT=other TENON_METRICS=m.jsonl TENON_REPORT=page.html made "--batch 10" || fail "make train: $(cat "$out")"
has "$out" '^model   mlp \(other\)'
[ "$(ls | xargs)" = "Makefile data fake found found.checkpoint m.jsonl other other.checkpoint page.html report.json tools" ] || fail "files: $(ls)"
grep -q '<svg ' page.html || fail "no curves"
made "--out third" && fail "make train takes --out, and evaluates another file"
has "$out" 'expected --data, --out and --metrics as TENON_DATA, TENON_OUT and TENON_METRICS, got TRAIN_FLAGS=.*--out third'
[ ! -e third ] || fail "trained first"
exit 0
