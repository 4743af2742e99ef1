# tenon-train --device cuda, emulated: the first eight losses on real images are the Cpu's, for all four models, within what
# each precision allows.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
export TENON_SIMT_QUIET=1
small_data data 300 20

# An epoch of one step, eight times, gives the loss of each.
losses() {  # NAME DEVICE PRECISION FLAG...
  local name=$1 device=$2 precision=$3
  shift 3
  succeed "$train" --data data --epochs 8 --schedule constant --test-limit 10 --seed 3 --augment shift,flip \
    --device "$device" --precision "$precision" --out "$name" --metrics "$name.jsonl" "$@"
  has "$out" "^device  $device, "
  sed -E 's/.*"train_loss": ([^,]*),.*/\1/' "$name.jsonl" >"$name.losses"
  [ "$(wc -l <"$name.losses")" = 8 ] || fail "expected 8 losses, got $(cat "$name.losses")"
}

# within NAME BOUND: relative, against "cpu".
within() {
  paste cpu.losses "$1.losses" | awk -v bound="$2" '
    { d = ($2 - $1) / $1; if (d < 0) d = -d; if (!(d <= bound)) { print "step " NR ": " $1 " and " $2; bad = 1 } }
    END { exit bad }' || fail "$1 is further than $2 from the cpu"
}

# Of as many images as there is time for: a sanitizer leaves some.
images() { echo "--limit $(($1 / few)) --batch $(($1 / few))"; }
few=1
if [ $slowness -gt 1 ]; then few=8; fi
for course in "mlp $(images 100)" "cnn $(images 48)" "lenet $(images 64)" \
  "resnet $(images 16) --optimizer sgd --lr 0.005"; do
  set -- $course
  losses cpu cpu fp32 --model "$@"
  losses fp32 cuda fp32 --model "$@"
  within fp32 1e-3
done
# The same for the other precisions, where a product counts for most of the step.
rounded=("mlp --limit 100 --batch 100" "cnn --limit 16 --batch 16")
if [ $few -gt 1 ]; then rounded=("mlp --limit 32 --batch 32"); fi
for course in "${rounded[@]}"; do
  set -- $course
  losses cpu cpu fp32 --model "$@"
  losses tf32 cuda tf32 --model "$@"
  within tf32 1e-2
  losses bf16 cuda bf16 --model "$@"
  within bf16 5e-2
  cmp -s tf32.losses bf16.losses && fail "tf32 and bf16 are one"
done
exit 0
