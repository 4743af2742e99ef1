# Checks the files of the images without building one: that they agree with each other, hadolint, and that every package
# they install exists in this distribution. tests/containers/run builds and uses the images.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/common.sh"
python=$root/build/python/bin/python3
[ -x "$python" ] || python=python3
need "$python"
"$python" "$(dirname "$0")/files.py" "$root"

# Package names, checked with the lists of this system if it has them. tools/setup uses the same names for Debian 12 and
# Ubuntu 24.04.
if command -v apt-cache >/dev/null && apt-cache show g++ >/dev/null 2>&1; then
  wanted=$(sed -nE '/^needs\(\)/,/^TABLE/s/^(train|data|cache) *;[^;]*; *([^ ;]+).*/\2/p' "$root/tools/setup" | tr '|' '\n' | sort -u)
  absent=$(comm -23 <(echo "$wanted") <(apt-cache show $wanted 2>/dev/null | sed -n 's/^Package: //p' | sort -u))
  [ -z "$absent" ] || fail "expected these packages, found none:" $absent
else
  echo "left out: the packages' names (no package lists here)"
fi

hadolint=$(command -v "$root/build/python/bin/hadolint" hadolint | head -n 1 || true)
[ -n "$hadolint" ] || skip "no hadolint here (tools/setup ci installs it); the rest passed"
find "$root" -path "$root/build" -prune -o \( -name '*.dockerfile' -o -name Dockerfile \) -print0 | xargs -0 "$hadolint"
