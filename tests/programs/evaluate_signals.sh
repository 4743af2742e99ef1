# tenon-evaluate: SIGINT and SIGTERM end it within two seconds with status 130 or 143, and no file is half-written.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
small_data data 64 10
model=resnet
if [ "$device" != cpu ]; then model=mlp; fi                # no batch takes a second, emulated or not
succeed "$train" --data data --model $model --epochs 1 --batch 32 --out m

count=200000                                               # half a minute of work; a hole in the file costs no disk
{ u32 2051; u32 $count; u32 28; u32 28; } >many
truncate -s $((16 + count * 784)) many

for signal in INT:130 TERM:143; do
  for moment in '' '^device '; do                          # reading, and predicting
    : >"$out"
    printf 'old' >p.csv
    "$evaluate" m --images many --predictions p.csv --threads 1 >"$out" 2>"$err" &
    pid=$!
    if [ -n "$moment" ]; then wait_for "$moment" $pid; else until [ -e .p.csv.tenon-lock ]; do sleep 0.01; done; fi
    begun=$(date +%s%N) got=0
    kill -${signal%:*} $pid
    wait $pid || got=$?
    took=$((($(date +%s%N) - begun) / 1000000))
    [ "$got" = "${signal#*:}" ] || fail "expected status ${signal#*:} after SIG${signal%:*}, got $got: $(cat "$err")"
    [ "$took" -lt $((2000 * slowness)) ] || fail "SIG${signal%:*} took $took ms"
    [ "$(cat p.csv)" = old ] || fail "p.csv was touched"
    [ ! -e .p.csv.tenon-tmp ] || fail "left $(ls -A)"
    [ "$(wc -l <"$err")" -le 2 ] || fail "expected a line, got $(cat "$err")"
  done
done
