# Runs every command of docs/dvc.md on few images in a separate repository: each stage runs only when its dependencies
# have changed; pulled files have the same bytes as the pushed ones; credentials are in no commit and in no image. The
# program is $TENON_DVC, the one of `tools/setup dvc`, or the one in PATH.
# SPDX-License-Identifier: MIT
dvc=${TENON_DVC:-}
source "$(dirname "$0")/../support/programs.sh"
need git
for place in "$dvc" "$root/build/dvc/bin/dvc" dvc; do
  if [ -n "$place" ] && dvc=$(command -v "$place") && "$dvc" --version >/dev/null 2>&1; then break; fi
  dvc=
done
[ -n "$dvc" ] || skip "no DVC here: tools/setup dvc"
python=$(dirname "$(readlink -f "$dvc")")/python3
[ -x "$python" ] || need "${python:=python3}"
small_data "$work/kept/fashion-mnist" 600 200

# Uses nothing of this machine: not its settings of git and DVC, its data or its programs. CMake builds nothing, and the
# setup installs nothing.
mkdir "$work/home" "$work/fake"
printf '#!/bin/sh\necho "cmake version 99.0"\n' >"$work/fake/cmake"
chmod +x "$work/fake/cmake"
export HOME=$work/home TENON_DATA_HOME=$work/kept TENON_NO_INSTALL=1 DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR=$work/site
export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test
export GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test
export DVC_GLOBAL_CONFIG_DIR=$work/none DVC_SYSTEM_CONFIG_DIR=$work/none PATH=$work/fake:$bin:$(dirname "$dvc"):$PATH
unset XDG_CACHE_HOME XDG_CONFIG_HOME

# Commits the files that a clone would have.
cp -r "$root"/{.gitignore,.dvcignore,dvc.yaml,params.yaml,examples,include,kernels,tools} .
mkdir .dvc docs && cp "$root"/.dvc/{config,.gitignore} .dvc && cp "$root/docs/dvc.md" docs
sed -i -E 's/^( +model:).*/\1 mlp/; s/^( +epochs:).*/\1 2/; s/^( +limit:).*/\1 300/; s/^( +batch:).*/\1 50/' params.yaml
printf '  threads: 1\n' >>params.yaml
git init --quiet && git add --all && git commit --quiet --message "A clone"

# run HEADING: runs the sh block below that heading of the document, as a user would paste it.
blocks=0
run() {
  awk -v heading="## $1" '$0 == heading { found = 1 } found && /^```$/ { exit } inside { print }
                          found && /^```sh$/ { inside = 1 }' docs/dvc.md >"$work/block"
  [ -s "$work/block" ] || fail "docs/dvc.md has no commands below '$1'"
  if [ -n "${address:-}" ]; then sed -i "s|https://dvc.example.org|$address|" "$work/block"; fi
  blocks=$((blocks + 1))
  bash -euo pipefail "$work/block" >"$out" 2>"$err" || fail "$1: $(cat "$work/block" "$out" "$err")"
}
stages() { sed -nE "s/^Running stage '(.*)':/\1/p" "$out" | xargs; }  # the stages that the last command ran
bytes() { find data results -type f ! -name '*.checkpoint' ! -name model.jsonl -exec sha256sum {} + | sort; }

# --- the pipeline, from the beginning
run "Run it"
[ "$(stages)" = "data train evaluate" ] || fail "expected three stages, got: $(cat "$out" "$err")"
has "$out" '^results/report.json +0\.[0-9]+ +200 +[0-9.]+ +mlp'          # accuracy, count, loss, model
has "$out" 'dvc_plots/index\.html$'
[ "$(git status --porcelain | xargs)" = "?? dvc.lock ?? results/" ] || fail "untracked: $(git status --porcelain)"
git add --all --dry-run results >"$out"
[ "$(sort "$out" | xargs)" = "add results/curves.json add results/report.json" ] || fail "for git: $(cat "$out")"

# --- the plots contain the values that the programs measured
"$python" - <<'END' || fail "the curves are not the lines of model.jsonl"
import json
lines = [json.loads(line) for line in open("results/model.jsonl")]
assert len(lines) == 2 and json.load(open("results/curves.json")) == lines
END
plot() { succeed dvc plots show --json "$1"; "$python" -c "
import json, sys
points = json.load(open('$out'))['data']['$1'][0]['content']['data']['values']
assert $2, points[:3]" 2>"$err" || fail "plot $1: $(cat "$err" "$out" | head -c 2000)"; }
wanted="('train_loss', 1), ('train_loss', 2), ('test_loss', 1), ('test_loss', 2)"
plot loss "[(p['field'], p['epoch']) for p in points] == [$wanted]"
plot accuracy "[p['epoch'] for p in points] == [1, 2] and all(p['test_accuracy'] > 0 for p in points)"
plot confusion "len(points) == 200 and {int(p[k]) for p in points for k in ['label', 'prediction']} <= set(range(10))"

# --- a second run: nothing to do
bytes >"$work/before"
succeed dvc repro
[ -z "$(stages)" ] || fail "ran $(stages), and nothing had changed"
has "$out" '^Data and pipelines are up to date\.$'
bytes | cmp -s "$work/before" - || fail "a repro that does nothing wrote something"

# --- a changed parameter: the model and its dependents run again; the data stage does not
run "Change something"
[ "$(stages)" = "train evaluate" ] || fail "expected train and evaluate for another lr, got '$(stages)'"
has "$out" '^params\.yaml +train\.lr +0\.001 +0\.002$'
has "$out" '^results/report\.json +loss +[0-9.]+ +[0-9.]+ +-?[0-9.e-]+$'

# --- a changed source: the same; the same parameters give the same bytes
bytes | grep -v curves.json >"$work/before"                # they contain the time of an epoch
printf '// Another line.\n' >>examples/programs/models.hpp
succeed dvc repro
[ "$(stages)" = "train evaluate" ] || fail "expected train and evaluate for another source, got '$(stages)'"
bytes | grep -v curves.json | cmp -s "$work/before" - || fail "the same parameters made other bytes"
git checkout --quiet examples && succeed dvc repro

# --- pushed, deleted, pulled: the same bytes, from the folder in the clone
run "Keep it"
has "$out" '^[0-9]+ files pushed$'
bytes >"$work/before"
rm -r .dvc/cache data results/model.safetensors results/predictions.csv
succeed dvc pull
bytes | cmp -s "$work/before" - || fail "pulled other bytes than were pushed"
[ -z "$(git status --porcelain)" ] || fail "a pull changed $(git status --porcelain)"
succeed dvc repro
[ -z "$(stages)" ] || fail "ran $(stages) after a pull"

# --- a remote that requires credentials
mkdir "$work/store"
coproc "$python" "$root/tests/dvc/server.py" "$work/store" me:secret
trap 'kill $COPROC_PID 2>/dev/null || true; rm -rf "$work"' EXIT
read -r port <&"${COPROC[0]}"
address=http://127.0.0.1:$port/tenon
run "Your storage, and its credentials"
has "$out" '^[0-9]+ files pushed$'
[ "$(find "$work/store" -type f | wc -l)" -ge 7 ] || fail "the store holds $(find "$work/store" -type f)"
[ -z "$(git status --porcelain)" ] || fail "not committed: $(git status --porcelain)"

# --- the credentials are only in the file that git ignores: not in a commit, the cache or the remote
grep -q 'password = secret' .dvc/config.local || fail "no credentials in .dvc/config.local"
if git log --all -p | grep -E 'password = |user = me'; then fail "credentials were committed"; fi
if grep -rl 'password = ' . "$work/store" | grep -vx ./.dvc/config.local; then fail "credentials elsewhere"; fi

# --- in another clone: nothing works without them; with them, mounted as in the image, the commands of the image work
image=$root/docker/dvc.dockerfile
git clone --quiet "$PWD" "$work/clone" && cd "$work/clone"
if dvc pull data >"$out" 2>"$err"; then fail "pulled without credentials"; fi
[ ! -e data/fashion-mnist ] || fail "data without credentials"
mkdir "$work/secrets" && cp "$work/here/.dvc/config.local" "$work/secrets/config"
grep -q 'DVC_GLOBAL_CONFIG_DIR=/run/secrets/dvc ' "$image" || fail "the image looks elsewhere for credentials"
[ "$(grep -c '/run/secrets/dvc/config' docs/dvc.md)" = 2 ] || fail "docs/dvc.md mounts the credentials elsewhere"
pipeline=$(sed -nE 's/^CMD \["sh", "-c", "(.*)"\]$/\1/p' "$image")
mkdir "$work/system" && printf '[core]\n    no_scm = true\n' >"$work/system/config"
DVC_GLOBAL_CONFIG_DIR=$work/secrets DVC_SYSTEM_CONFIG_DIR=$work/system sh -c "$pipeline" >"$out" 2>"$err" ||
  fail "$pipeline: $(cat "$out" "$err")"
[ "$(stages)" = "train evaluate" ] || fail "expected train and evaluate on pulled data, got '$(stages)'"
grep -v curves.json "$work/before" >"$work/wanted"
bytes | grep -v curves.json | cmp -s "$work/wanted" - || fail "other results than where they came from"

# --- the sources of an image: named files, no folder of DVC, and only files of the build context
sources=$(sed -nE '/--from=/d; s/^COPY (--[a-z]+=[^ ]+ )*(.*) [^ ]+$/\2/p' "$image" | tr ' ' '\n' | sort -u)
[ "$(wc -l <<<"$sources")" -ge 10 ] || fail "copied: $sources"
for source in $sources; do
  case $source in
    . | ./ | .dvc | .dvc/ | *'*'* | *config.local) fail "docker/dvc.dockerfile copies $source" ;;
    dvc.lock) ;;                                           # in a user's repository
    *) [ -e "$root/$source" ] || fail "docker/dvc.dockerfile copies $source, which is not there" ;;
  esac
done
sent=$(sed -n 's/^!//p' "$image.dockerignore" | sort)
[ "$sent" = "$sources" ] || fail "sent to the builder and copied differ: $(diff <(echo "$sent") <(echo "$sources"))"

[ "$(grep -c '^```sh$' "$root/docs/dvc.md")" = $blocks ] || fail "docs/dvc.md has other commands than those run here"
echo "$blocks blocks of commands, dvc $("$dvc" --version)"
