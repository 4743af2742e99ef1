#!/usr/bin/env python3
"""Makes tests/golden/reference.safetensors with the format's own library, for tests/io/safetensors.cpp.

    python3 -m venv venv && venv/bin/pip install safetensors numpy
    venv/bin/python tools/make_golden_safetensors.py [OUT]

With --check FILE... it reads files written by tenon, prints them, and fails at the first one that it cannot read.
"""
# SPDX-License-Identifier: MIT
import pathlib
import sys

import numpy as np
from safetensors import TensorSpec, deserialize, safe_open, serialize

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "reference.safetensors"

TENSORS = {  # name: (type, values); bf16 as raw bits, since numpy has no such type
    "0.weight": ("float32", np.array([[0.5, -1.25, 3.0], [1e-38, 65504.0, -0.0]], "<f4")),
    "0.bias": ("float32", np.array([1.0, 2.0], "<f4")),
    "10.half": ("float16", np.array([1.0, -2.5, 6e-8, 65504.0, np.inf], "<f2")),
    "10.brain": ("bfloat16", np.array([0x3F80, 0xC020, 0x7F80], "<u2")),
    "2.num_batches_tracked": ("int64", np.array(1234567890123, "<i8")),
    "2.running_mean": ("float64", np.array([0.1, -0.2], "<f8")),
    "é \"quoted\"\n": ("uint8", np.array([1, 2, 255], "u1")),
    "empty": ("int32", np.zeros((0, 3), "<i4")),
    "flags": ("bool", np.array([True, False], "?")),
}


def make(out):
    specs = {
        name: TensorSpec(dtype=dtype, shape=values.shape, data_ptr=values.ctypes.data, data_len=values.nbytes)
        for name, (dtype, values) in TENSORS.items()
    }
    data = bytes(serialize(specs, {"made by": "safetensors, \\ / \u0001 \u2028 é"}))
    pathlib.Path(out).write_bytes(data)
    print(f"{out}: {len(data)} bytes")


def check(path):
    for name, tensor in sorted(deserialize(pathlib.Path(path).read_bytes())):
        print(path, name, tensor["dtype"], tensor["shape"], bytes(tensor["data"])[:16].hex())
    with safe_open(path, framework="np") as file:
        print(path, "metadata", sorted((file.metadata() or {}).items()))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--check"]:
        for name in arguments[1:]:
            check(name)
    else:
        make(arguments[0] if arguments else OUT)
