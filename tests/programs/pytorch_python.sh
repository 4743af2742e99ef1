# tenon and PyTorch read each other's files and agree on the logits, for the four models of the programs.
# The interpreter is $TENON_PYTHON, or the first one found that has torch and safetensors.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/common.sh"
for python in "${TENON_PYTHON:-}" "$root/build/python/bin/python3" python3 /usr/bin/python3; do
  if [ -n "$python" ] && "$python" -c 'import numpy, safetensors.torch, torch' 2>/dev/null; then
    exec "$python" "$root/tests/programs/pytorch.py" "$root/docs/models.md" "$1"
  fi
done
skip "no Python with torch and safetensors here"
