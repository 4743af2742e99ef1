# The choice of a device, and what is said where there is none; prediction on either; tenon-doctor.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
export TENON_SIMT_QUIET=1
small_data data 64 64
doctor=$bin/tenon-doctor

# --- auto takes the GPU where there is one, and says which device it is
succeed "$train" --data data --model lenet --epochs 1 --batch 32 --test-limit 10
has "$out" '^device  cuda, emulated by tests/simt, 4 multiprocessors, fp32$'
export TENON_SIMT_DEVICES=0
succeed "$train" --data data --model lenet --epochs 1 --batch 32 --test-limit 10 --out cpu
has "$out" "^device  cpu, [0-9]+ threads?, isa [a-z0-9]+; cuda: expected (an NVIDIA GPU|NVIDIA's driver), got none: "

# --- asked for what is not there: one line with what to do, before any work
expect 1 "\[device\] expected (an NVIDIA GPU|NVIDIA's driver), got none: " "$train" --data data --device cuda --out none
[ ! -e none ] || fail "it made a file"
expect 1 "\[device\] expected (an NVIDIA GPU|NVIDIA's driver), got none: " "$evaluate" cpu --data data --device cuda
expect 2 '\[usage\] expected --precision fp32 on the cpu, got "bf16"; cuda: expected ' "$train" --data data --precision bf16
succeed "$doctor" --data data
has "$out" "^cuda       problem: expected (an NVIDIA GPU|NVIDIA's driver), got none: "
has "$out" '^device     cpu, since cuda cannot be used here$'
got=0
"$doctor" --data data --device cuda >"$out" || got=$?
[ $got = 1 ] || fail "expected status 1 of tenon-doctor, got $got"
unset TENON_SIMT_DEVICES

# --- each cause has its own line, of training, evaluation and tenon-doctor: VARIABLE=VALUE, what is said
while IFS='|' read -r setting said; do
  for command in "$train --data data --out none" "$evaluate cpu --data data"; do
    (export container=docker "${setting?}"; expect 1 "\[device\] $said\$" $command --device cuda)
  done
  got=0
  env container=docker "$setting" "$doctor" --data data --device cuda >"$out" || got=$?
  [ $got = 1 ] || fail "expected status 1 of tenon-doctor with $setting, got $got"
  has "$out" "^cuda       problem: $said\$"
  has "$out" '^verdict    1 problem$'
done <<'END'
TENON_SIMT_DRIVER=0|expected NVIDIA's driver, got none: start the container with --gpus all
TENON_SIMT_DRIVER=12080|expected a driver for CUDA 13\.0 or newer, got one for CUDA 12\.8: update NVIDIA's driver
TENON_SIMT_DEVICES=0|expected an NVIDIA GPU, got none: start the container with --gpus all
TENON_SIMT_DEVICE_ERROR=802|expected an NVIDIA GPU that works, got "system not yet initialized": start NVIDIA's fabric manager .*
TENON_SIMT_DEVICE_ERROR=803|expected an NVIDIA GPU that works, got ".*driver combination": restart the machine.*
TENON_SIMT_DEVICE_ERROR=46|expected an NVIDIA GPU that works, got ".* busy or unavailable": see which process .*
TENON_SIMT_DEVICE_ERROR=214|expected an NVIDIA GPU that works, got "uncorrectable ECC error encountered": look at nvidia-smi and dmesg.*
TENON_SIMT_CAPABILITY=80|expected code for sm_80 \(emulated by tests/simt\), got code for sm_90: configure with -DCMAKE_CUDA_ARCHITECTURES=80 .*
TENON_SIMT_CAPABILITY=75|expected a GPU of compute capability 8\.0 or newer, got emulated by tests/simt of 7\.5: use --device cpu
END
TENON_SIMT_CAPABILITY=80 succeed "$train" --data data --model lenet --epochs 1 --batch 32 --test-limit 10 --out cpu
has "$out" '^device  cpu, '
TENON_SIMT_CAPABILITY=80 succeed "$doctor" --data data
has "$out" '^runtime    CUDA 13\.0, linked in; code for sm_90$'
has "$out" '^gpu 0      emulated by tests/simt, sm_80, '
succeed "$doctor" --data data --device cuda
has "$out" '^gpu 0      emulated by tests/simt, sm_90, 4 multiprocessors, '
has "$out" '^device     cuda$'
has "$out" '^cublas     found$'
has "$out" '^verdict    no problem$'
succeed "$doctor" --data nowhere
has "$out" '^data       problem: .*nowhere'
has "$out" '^verdict    1 problem$'

# --- the same decisions from the same file
for device in cpu cuda; do
  succeed "$evaluate" model.safetensors --data data --device $device --predictions $device.csv --json $device.json
  has "$out" "^device  $device, "
done
[ "$(cut -d, -f1-3 cpu.csv)" = "$(cut -d, -f1-3 cuda.csv)" ] || fail "other decisions"
paste -d, cpu.csv cuda.csv | awk -F, 'NR > 1 { for (i = 4; i <= 13; ++i) { d = $i - $(i + 13); if (d * d > 1e-8) exit 1 } }' ||
  fail "logits more than 1e-4 apart"
exit 0
