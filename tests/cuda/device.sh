# The choice of a device, the messages if there is no usable GPU, prediction on both devices, and tenon-doctor.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
export TENON_SIMT_QUIET=1
small_data data 64 64
doctor=$bin/tenon-doctor

# --- auto selects the GPU if there is one, and prints the device
succeed "$train" --data data --model lenet --epochs 1 --batch 32 --test-limit 10
has "$out" '^device  cuda, emulated by tests/simt, 4 multiprocessors, fp32$'
export TENON_SIMT_DEVICES=0
succeed "$train" --data data --model lenet --epochs 1 --batch 32 --test-limit 10 --out cpu
has "$out" "^device  cpu, [0-9]+ threads?, isa [a-z0-9]+; cuda: expected (an NVIDIA GPU|NVIDIA's driver), got none: "

# --- a requested device is missing: one line with advice, before any work
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

# --- each cause has its own message in training, evaluation and tenon-doctor: VARIABLE=VALUE|message
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
TENON_SIMT_DEVICE_ERROR=803|expected an NVIDIA GPU that works, got ".*driver combination": the driver's library in this container is not of the version .*
TENON_SIMT_DEVICE_ERROR=804|expected an NVIDIA GPU that works, got "forward compatibility .*": this GPU does not support forward compatibility \(cuda-compat\): update NVIDIA's driver on the host, or .*
TENON_SIMT_DEVICE_ERROR=46|expected an NVIDIA GPU that works, got ".* busy or unavailable": see which process .*
TENON_SIMT_DEVICE_ERROR=214|expected an NVIDIA GPU that works, got "uncorrectable ECC error encountered": look at nvidia-smi and dmesg.*
TENON_SIMT_CAPABILITY=80|expected code for sm_80 \(emulated by tests/simt\), got code for sm_90: configure with -DCMAKE_CUDA_ARCHITECTURES=80 .*
TENON_SIMT_CAPABILITY=75|expected a GPU of compute capability 8\.0 or newer, got emulated by tests/simt of 7\.5: use --device cpu
END

# --- GPUs hidden by an environment variable: SETTINGS of the container|message
while IFS='|' read -r settings said; do
  got=0
  # shellcheck disable=SC2086
  env $settings "$doctor" --data data --device cuda >"$out" || got=$?
  [ $got = 1 ] || fail "expected status 1 of tenon-doctor with $settings, got $got"
  has "$out" "^cuda       problem: $said\$"
done <<'END'
container=docker TENON_SIMT_DEVICES=0 CUDA_VISIBLE_DEVICES=-1|expected an NVIDIA GPU, got none: CUDA_VISIBLE_DEVICES is "-1", which hides the GPUs: unset it, or name one that nvidia-smi -L lists
container=podman TENON_SIMT_DEVICES=0 CUDA_VISIBLE_DEVICES=|expected an NVIDIA GPU, got none: CUDA_VISIBLE_DEVICES is "", which hides .*
container=docker TENON_SIMT_DEVICES=0 NVIDIA_VISIBLE_DEVICES=none|expected an NVIDIA GPU, got none: NVIDIA_VISIBLE_DEVICES is "none", which gives this container no GPU: set it to all, and start the container with --gpus all
container=docker TENON_SIMT_DRIVER=0 NVIDIA_VISIBLE_DEVICES=void|expected NVIDIA's driver, got none: NVIDIA_VISIBLE_DEVICES is "void", .*
container=docker TENON_SIMT_DRIVER=0 NVIDIA_DRIVER_CAPABILITIES=utility|expected NVIDIA's driver, got none: NVIDIA_DRIVER_CAPABILITIES is "utility", which leaves CUDA out: .*
container=podman TENON_SIMT_DRIVER=0|expected NVIDIA's driver, got none: start the container with --device nvidia.com/gpu=all
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

# --- both devices predict the same classes from the same file
for device in cpu cuda; do
  succeed "$evaluate" model.safetensors --data data --device $device --predictions $device.csv --json $device.json
  has "$out" "^device  $device, "
done
[ "$(cut -d, -f1-3 cpu.csv)" = "$(cut -d, -f1-3 cuda.csv)" ] || fail "other decisions"
paste -d, cpu.csv cuda.csv | awk -F, 'NR > 1 { for (i = 4; i <= 13; ++i) { d = $i - $(i + 13); if (d * d > 1e-8) exit 1 } }' ||
  fail "logits more than 1e-4 apart"
exit 0
