# The code in documents is compiled code: every region from `// [doc:name]` to `// [end]` of the sources appears
# unchanged as a block of C++ in README.md or docs/.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/common.sh"
workdir
cd "$root"

awk -v folder="$work" '
  FNR == 1 { inside = 0 }
  /^```cpp$/ { inside = 1; file = folder "/block." ++blocks; printf "" > file; next }
  /^```$/ { if (inside) close(file); inside = 0; next }
  inside { print > file }' README.md docs/*.md

regions=0
while IFS=: read -r source line mark; do
  regions=$((regions + 1))
  awk -v first="$line" 'NR > first { if (/^\/\/ \[end\]$/) exit; print }' "$source" >"$work/region"
  [ -s "$work/region" ] || fail "$source:$line: an empty region"
  shown=0
  for block in "$work"/block.*; do
    if cmp -s "$work/region" "$block"; then shown=1; fi
  done
  [ "$shown" = 1 ] || fail "$source:$line: no document shows ${mark#// } as it stands there"
done < <(grep -rn --include='*.[ch]pp' --include='*.cu' '^// \[doc:' examples tests)
lines=$(awk '/^struct Swish/ { first = NR } /^};/ && first { print NR - first + 1; exit }' tests/layers/user_layer.hpp)
[ "$lines" -lt 40 ] || fail "expected a layer of one's own in less than 40 lines, got $lines"
[ "$regions" -ge 2 ] || fail "expected two regions at least, found $regions"
echo "$regions regions stand in the documents"
