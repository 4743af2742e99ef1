# pytorch.py MODELS.md BIN: uses the definitions of docs/models.md.
#   tenon-train saves, PyTorch loads (strictly), and its logits equal those of tenon-evaluate;
#   PyTorch saves, with and without metadata, and the logits of tenon-evaluate equal those of PyTorch.
# SPDX-License-Identifier: MIT
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
import torch

document, folder = sys.argv[1:]
train, evaluate = (os.path.abspath(os.path.join(folder, name)) for name in ("tenon-train", "tenon-evaluate"))
with open(document, encoding="utf-8") as file:
    exec("\n".join(re.findall(r"```python\n(.*?)```", file.read(), re.S)))  # MODELS, load, save


def write_idx(path, values):
    kind = 3 if values.ndim == 3 else 1
    with open(path, "wb") as file:
        file.write(np.array([2048 + kind, *values.shape], dtype=">u4").tobytes() + values.tobytes())


def run(*command):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TENON_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"FAILED: {' '.join(command)}: {done.stderr}")


def logits_of_tenon(path, *flags):
    run(evaluate, path, "--data", ".", "--predictions", "logits.csv", *flags)
    return np.loadtxt("logits.csv", delimiter=",", skiprows=1, dtype=np.float32, ndmin=2)[:, 3:]


def compare(what, theirs, ours):
    theirs = theirs.detach().numpy()
    largest = float(np.abs(theirs - ours).max()) if theirs.shape == ours.shape else np.inf
    print(f"{what}: logits up to {np.abs(theirs).max():.2f}, at most {largest:.2g} apart")
    if not largest <= 1e-4:
        sys.exit(f"FAILED: expected logits within 1e-4, got {largest} ({what})")


work = tempfile.TemporaryDirectory(prefix="tenon-test.")  # removed at exit
os.chdir(work.name)
random = np.random.default_rng(1)
pixels = {part: random.integers(0, 256, (n, 28, 28), dtype=np.uint8) for part, n in (("train", 192), ("t10k", 70))}
for part, images in pixels.items():
    write_idx(f"{part}-images-idx3-ubyte", images)
    write_idx(f"{part}-labels-idx1-ubyte", random.integers(0, 10, len(images), dtype=np.uint8))
images = torch.from_numpy(pixels["t10k"]).unsqueeze(1)

for name in MODELS:
    run(train, "--data", ".", "--model", name, "--epochs", "4", "--batch", "32", "--lr", "0.01", "--out", "ours.safetensors")
    model, inputs = load("ours.safetensors")
    with torch.no_grad():
        compare(f"{name} from tenon", model(inputs(images)), logits_of_tenon("ours.safetensors"))

    torch.manual_seed(1)
    model = MODELS[name]().train()
    for _ in range(3):  # changes the running statistics of BatchNorm
        model(torch.randn(16, 1, 28, 28) * 1.5 + 0.5)
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)  # logits as large as those of a trained model
    theirs = model((images.float() / 255 - 0.25) / 0.5)
    save(model, "theirs.safetensors", name, 0.25, 0.5)
    compare(f"{name} from PyTorch, with metadata", theirs, logits_of_tenon("theirs.safetensors"))
    save(model, "theirs.safetensors")
    compare(f"{name} from PyTorch, with flags", theirs,
            logits_of_tenon("theirs.safetensors", "--model", name, "--mean", "0.25", "--std", "0.5"))
