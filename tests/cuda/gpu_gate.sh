# Tests tools/gpu-gate with a build that emulates its GPU: it runs to the end, reports what it could not run, and fails
# if something is wrong. With a build by nvcc on a machine without a GPU, it prints one line.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
need python3
gate=$root/tools/gpu-gate
[ -x "$bin/bench_cuda_steps" ] && [ -x "$bin/tests_cuda" ] || skip "no build with CUDA"
[ "$slowness" = 1 ] || skip "with a sanitizer it takes too long"

if ! "$bin/tenon-doctor" | grep -q '^gpu 0      emulated'; then
  "$bin/tenon-doctor" --device cuda >"$out" && skip "there is a GPU, so run tools/gpu-gate itself"
  expect 1 'expected .*(driver|GPU|CUDA).*, got ' "$gate" --bin "$bin" --out results
  [ ! -e results ] || fail "left $(ls -R results)"
  exit 0
fi

# run STATUS [FLAG...]: runs the gate with the binaries in $of. Its result is results/gpu-emulated-by-tests-simt-*.json.
of=$bin
run() {
  local status=$1 got=0
  shift
  rm -rf results
  "$gate" --emulated --bin "$of" --out results "$@" >"$out" 2>"$err" || got=$?
  [ "$got" = "$status" ] || fail "expected status $status, got $got: gpu-gate $* ($(cat "$out" "$err"))"
}
# of_result EXPRESSION: prints the value of a Python expression, where `r` is the result and `p` its parts by name.
of_result() {
  python3 -c "
import glob, json
r = json.load(open(glob.glob('results/gpu-emulated-by-tests-simt-*.json')[0]))
p = {part['part']: part for part in r['parts']}
print(($1))"
}
is() { local got; got=$(of_result "$1"); [ "$got" = "$2" ] || fail "expected $1 to be $2, got $got ($(head -n 12 "$out"))"; }

# --- invalid arguments
before=$(ls -A "$root/bench")
"$gate" --emulated --bin "$bin" --out "$root/bench/results/x" >"$out" 2>"$err" && fail "expected a refusal"
has "$err" 'another --out than bench/results with --emulated'
expect 1 'expected an NVIDIA GPU, got a build that emulates one: give --emulated' "$gate" --bin "$bin" --out results
TENON_SIMT_DRIVER=0 expect 1 "expected NVIDIA's driver, got none" "$gate" --emulated --bin "$bin" --out results
expect 1 'no tenon-doctor in ' "$gate" --emulated --bin . --out results
[ ! -e results ] || fail "left $(ls -R results)"
[ "$(ls -A "$root/bench")" = "$before" ] || fail "wrote into bench/"

# --- all parts, on images that it generates
COMPUTE_SANITIZER='' run 3
has "$out" '^gpu-gate: passed: tests, curves, reproducibility, training; not passed: sanitizer not run: no compute-sanitizer'
is "[(k, v['status']) for k, v in p.items() if v['status'] != 'passed' and v['gate']][0][0]" sanitizer
is "r['emulated'], r['verdict'][:7], len(r['facts']['sha256'])" "(True, 'passed:', 6)"
is "[i['name'] for i in p['curves']['items']]" "['mlp fp32', 'mlp tf32', 'mlp bf16']"
is "[i['name'].split()[-1] for i in p['reproducibility']['items']]" "['once', 'twice', 'stopped', 'resumed']"
is "[i['status'] for i in p['training']['items']]" "['passed', 'passed', 'passed', 'passed']"
is "all(i['figures']['emulated'] and i['figures']['us'] > 0 for i in p['steps']['items'])" True
is "sorted({k['kernel'].split()[0] for k in p['kernels']['items'][0]['kernels']} & {'conv2d_forward', 'adam_update', 'cublas'})" \
  "['adam_update', 'conv2d_forward', 'cublas']"
is "all(k['emulated'] and k['us'] > 0 for k in p['kernels']['items'][0]['kernels'])" True
is "len(p['kernels']['items'][0]['floors'])" 10
is "p['torch']['status'].startswith('not run')" True
has results/*.md '^# emulated by tests/simt \(emulated: the figures mean nothing\)$'
[ "$(grep -c '^## .*us\|^## Floors\|^## Kernels' results/*.md)" = "$(grep -c '^## .*(emulated: the figures mean nothing)$' results/*.md | awk '{ print $1 - 2 }')" ] ||
  fail "a table of figures is not marked: $(grep '^##' results/*.md)"

# --- on given images, and a second result on the same day
small_data images 40 20
"$gate" --emulated --bin "$bin" --data images --only training --out results >"$out" 2>"$err" || fail "$(cat "$out" "$err")"
[ -e results/*-2.json ] || fail "expected a second result, got $(ls results)"
rm results/*-[0-9][0-9].json
is "p['training']['data']" given

# --- errors are found. broken NAME: replaces that binary by the script on stdin; "$real" is the original binary
broken() {
  rm -rf broken
  mkdir broken
  ln -s "$bin"/* broken
  rm -f "broken/$1"
  { printf '#!/usr/bin/env bash\nreal=%q\n' "$bin/$1"; cat; } >"broken/$1"
  chmod +x "broken/$1"
  of=broken
}

broken tests_cuda <<<'case "$*" in *permute*) echo "test cases: 3 | 1 failed"; exit 1 ;; esac; exec "$real" "$@"'
run 1 --only tests curves
has "$out" '^gpu-gate: failed: tests; passed: curves$'
is "[i['name'] for i in p['tests']['items'] if i['status'] == 'failed']" "['permute']"
has results/*.md 'tests, permute: status 1: test cases: 3 . 1 failed'

broken tests_cuda <<<'case "$*" in *permute*) echo "skipped: no such device"; exit 77 ;; esac; exec "$real" "$@"'
run 3 --only tests
has "$out" '^gpu-gate: not passed: tests incomplete: 1 of [1-3] not run$'
is "p['tests']['skipped']" 1
broken tests_cuda <<<'case "$*" in *permute*) "$real" "$@"; echo "skipped: one GPU"; exit 77 ;; esac; exec "$real" "$@"'
run 0 --only tests
has "$out" '^gpu-gate: passed: tests$'
is "[i['why'] for i in p['tests']['items'] if i['name'] == 'permute']" "['skipped: one GPU']"

broken tests_cuda <<<'case "$*" in *permute*) kill -SEGV $$ ;; esac; exec "$real" "$@"'
run 1 --only tests
is "[i['why'][:10] for i in p['tests']['items'] if i['status'] == 'failed']" "['status -11']"

# another batch size
broken tenon-train <<<'case "$*" in *"device cuda"*tf32*) exec "$real" "${@/16/15}" ;; esac; exec "$real" "$@"'
run 1 --only curves
is "[i['name'] for i in p['curves']['items'] if i['status'] == 'failed']" "['mlp tf32']"

broken tenon-train <<<'echo >>calls; if [ "$(wc -l <calls)" = 2 ]; then exec "$real" "${@/7/8}"; fi; exec "$real" "$@"'
run 1 --only reproducibility
is "[i['name'] for i in p['reproducibility']['items'] if i['status'] == 'failed']" "['mlp fp32 twice']"

broken tenon-train <<<'case "$*" in *resume*) cp again-mlp-c.safetensors.checkpoint again-mlp-c.safetensors; exit 0 ;; esac; exec "$real" "$@"'
run 1 --only reproducibility
is "[i['name'] for i in p['reproducibility']['items'] if i['status'] == 'failed']" "['mlp fp32 resumed']"

broken tenon-train <<<'exec "$real" "${@/cuda/cpu}"'  # the GPU is not used
run 1 --only curves
is "{i['why'] for i in p['curves']['items'] if i['name'] == 'mlp fp32'}" "{'expected a line that names device cuda, got none'}"

broken tenon-evaluate <<<'case "$*" in *"device cpu"*) "$real" "$@" && sed -i "2s/,[^,]*/,1000/3" predictions-cpu.csv ;; *) exec "$real" "$@" ;; esac'
run 1 --only training
is "[i['name'] for i in p['training']['items'] if i['status'] == 'failed']" "['predictions of both']"

# A sanitizer that finds nothing, one that finds errors, and one that does not check.
broken compute-sanitizer <<<'echo "========= ERROR SUMMARY: 0 errors"'
run 0 --only sanitizer
has "$out" '^gpu-gate: passed: sanitizer$'
is "[i['name'].split()[0] for i in p['sanitizer']['items']]" "['memcheck', 'racecheck', 'initcheck', 'synccheck']"
broken compute-sanitizer <<<'case "$2" in racecheck) echo "========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)"; exit 86 ;; esac
echo "========= ERROR SUMMARY: 0 errors"'
run 1 --only sanitizer
is "[i['name'].split()[0] for i in p['sanitizer']['items'] if i['status'] == 'failed']" "['racecheck']"
broken compute-sanitizer <<<'exit 0'
run 1 --only sanitizer
is "{i['status'] for i in p['sanitizer']['items']}" "{'failed'}"

# --- time limit: parts that do not fit are not run, and no process is left running
of=$bin
run 3 --minutes 0.001
has "$out" '^gpu-gate: not passed: tests not run: time; curves not run: time; reproducibility not run: time; '
broken tests_cuda <<<'case "$*" in *list*) exec "$real" "$@" ;; esac; echo $$ >>'"$PWD"'/pids; sleep 1000'
run 3 --minutes 0.05 --only tests
is "{i['status'] for i in p['tests']['items']}" "{'not run: time'}"
while read -r pid; do if kill -0 "$pid" 2>/dev/null; then fail "left process $pid"; fi; done <pids

# --- a signal: it ends at once, and the finished parts are in the result
rm -rf results pids
"$gate" --emulated --bin broken --out results --only tests >"$out" 2>"$err" &
pid=$!
until [ -s pids ]; do kill -0 $pid || fail "ended: $(cat "$out" "$err")"; sleep 0.05; done
kill -TERM $pid
got=0
wait $pid || got=$?
[ "$got" = 143 ] || fail "expected status 143, got $got: $(cat "$out" "$err")"
has "$err" '^gpu-gate: ended by SIGTERM; what was done is in .*json$'
is "p['tests']['status']" "not run: ended by SIGTERM"
while read -r pid; do if kill -0 "$pid" 2>/dev/null; then fail "left process $pid"; fi; done <pids
