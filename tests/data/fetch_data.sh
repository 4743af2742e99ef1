#!/usr/bin/env bash
# Tests tools/fetch-data with a mirror on this machine: the original files of Fashion-MNIST, made from Debian's package,
# whose gzip headers lack the name and time.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/common.sh"
debian=/usr/share/datasets/fashion-mnist
[ -e "$debian/train-images-idx3-ubyte.gz" ] || skip "no $debian here"
command -v curl >/dev/null || skip "no curl here"
workdir
fetch=$root/tools/fetch-data

mirror=$work/mirror
mkdir "$mirror"
while read -r file time; do  # time as four little-endian bytes
  { printf '\x1f\x8b\x08\x08'; printf "$time"; printf '\x00\x03%s\x00' "${file%.gz}"; tail -c +11 "$debian/$file"; } >"$mirror/$file"
done <<'FILES'
train-images-idx3-ubyte.gz \xde\xe9\xa7\x59
train-labels-idx1-ubyte.gz \xde\xe9\xa7\x59
t10k-images-idx3-ubyte.gz \xf3\xe9\xa7\x59
t10k-labels-idx1-ubyte.gz \xf3\xe9\xa7\x59
FILES
export TENON_MIRROR=file://$mirror/ HOME=$work/home
unset TENON_DATA_HOME XDG_CACHE_HOME
names="t10k-images-idx3-ubyte.gz t10k-labels-idx1-ubyte.gz train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz"
holds() { [ "$(ls -A "$1" | xargs)" = "$2" ] || fail "$1: expected $2, got $(ls -A "$1" | xargs)"; }

"$fetch" fashion-mnist >"$work/log" || fail "a good mirror: $(cat "$work/log")"
holds "$HOME/.cache/tenon/fashion-mnist" "$names"
cmp "$HOME/.cache/tenon/fashion-mnist/train-images-idx3-ubyte.gz" "$mirror/train-images-idx3-ubyte.gz"

echo "again: what is whole is kept, what is not is replaced"
cd "$HOME/.cache/tenon/fashion-mnist"
touch -d 2001-01-01 train-images-idx3-ubyte.gz
echo damaged >t10k-labels-idx1-ubyte.gz
"$fetch" fashion-mnist >"$work/log"
[ "$(date -r train-images-idx3-ubyte.gz +%Y)" = 2001 ] || fail "a whole file was fetched again"
cmp t10k-labels-idx1-ubyte.gz "$mirror/t10k-labels-idx1-ubyte.gz"

echo "a mirror that lies: nothing is kept under the name, and the sum is named"
printf x >>"$mirror/t10k-images-idx3-ubyte.gz"
TENON_DATA_HOME=$work/other "$fetch" fashion-mnist >"$work/log" 2>&1 && fail "a wrong sum was accepted"
grep -q "expected SHA-256 346e55b9" "$work/log" || fail "$(cat "$work/log")"
grep -q "no mirror gave t10k-images-idx3-ubyte.gz whole" "$work/log" || fail "$(cat "$work/log")"
holds "$work/other/fashion-mnist" "train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz"

echo "a mirror that is not there"
TENON_MIRROR=file://$work/nowhere "$fetch" mnist "$work/third" >"$work/log" 2>&1 && fail "no mirror, and no failure"
grep -q "no mirror gave train-images-idx3-ubyte.gz whole" "$work/log" || fail "$(cat "$work/log")"
holds "$work/third" ""

echo "usage"
"$fetch" cifar >"$work/log" 2>&1 && fail "an unknown name was accepted"
[ "$("$fetch" cifar >/dev/null 2>&1; echo $?)" = 2 ] || fail "expected exit status 2"
