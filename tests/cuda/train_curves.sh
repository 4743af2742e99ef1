# tenon-train --device cuda, emulated: the first eight losses on real images equal those of the Cpu within the bound of
# each precision, for all four models.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
export TENON_SIMT_QUIET=1
small_data data 300 20

# Trains eight epochs of one step each and writes their losses to NAME.losses.
losses() {  # NAME DEVICE PRECISION FLAG...
  local name=$1 device=$2 precision=$3
  shift 3
  succeed "$train" --data data --epochs 8 --schedule constant --test-limit 10 --seed 3 --augment shift,flip \
    --device "$device" --precision "$precision" --out "$name" --metrics "$name.jsonl" "$@"
  has "$out" "^device  $device, "
  sed -E 's/.*"train_loss": ([^,]*),.*/\1/' "$name.jsonl" >"$name.losses"
  [ "$(wc -l <"$name.losses")" = 8 ] || fail "expected 8 losses, got $(cat "$name.losses")"
}

# within NAME BOUND: checks NAME.losses against cpu.losses with a relative bound.
within() {
  paste cpu.losses "$1.losses" | awk -v bound="$2" '
    { d = ($2 - $1) / $1; if (d < 0) d = -d; if (!(d <= bound)) { print "step " NR ": " $1 " and " $2; bad = 1 } }
    END { exit bad }' || fail "$1 is further than $2 from the cpu"
}

# The rate of resnet is small. Where an image is flat, the values in a window of max-pooling differ only by rounding, so
# the devices may choose different maxima. A larger rate would let the losses diverge within eight steps.
#
# images COUNT: prints the flags for COUNT images, or fewer with a sanitizer, to save time.
images() { echo "--limit $(($1 / few)) --batch $(($1 / few))"; }
few=1
if [ $slowness -gt 1 ]; then few=8; fi
for course in "mlp $(images 100)" "cnn $(images 48)" "lenet $(images 64)" \
  "resnet $(images 16) --optimizer sgd --lr 0.0005"; do
  set -- $course
  losses cpu cpu fp32 --model "$@"
  losses fp32 cuda fp32 --model "$@"
  within fp32 1e-3
done
# The same for the other precisions, with models whose time is mostly spent in products.
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
