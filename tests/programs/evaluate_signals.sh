# tenon-evaluate: SIGINT, SIGTERM, SIGHUP and SIGXCPU end it within two seconds with status 128 + signal, and no file is
# partly written. Signals that the parent ignores stay ignored.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
small_data data 64 10
model=resnet
if [ "$device" != cpu ]; then model=mlp; fi                # a batch must take less than a second, also when emulated
succeed "$train" --data data --model $model --epochs 1 --batch 32 --out m

count=200000                                               # half a minute of work; the file is sparse
{ u32 2051; u32 $count; u32 28; u32 28; } >many
truncate -s $((16 + count * 784)) many

for signal in INT:130 TERM:143 HUP:129 XCPU:152; do
  for moment in '' '^device '; do                          # reading, and predicting
    printf 'old' >p.csv
    start "$evaluate" m --images many --predictions p.csv --threads 1
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

start bash -c "trap '' HUP; exec \"\$@\"" _ "$evaluate" m --images many --predictions p.csv --threads 1
wait_for '^device ' $pid
kill -HUP $pid
sleep $((slowness / 10)).3
kill -0 $pid 2>/dev/null || fail "ended by a signal that its parent ignores: $(cat "$err")"
kill -TERM $pid
wait $pid || [ $? = 143 ] || fail "expected status 143 after SIGTERM"
exit 0
