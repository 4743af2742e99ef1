#!/usr/bin/env python3
# Makes tests/golden/torch_*.safetensors: PyTorch's results for small networks and for the programs' four models, before
# and after some steps of training. tests/train/pytorch.hpp compares with them. Needs torch, numpy and safetensors:
#
#   tools/make_golden_models.py [FOLDER]          default: tests/golden
#
# Files of small networks (torch_convs, ...) hold the weights under PyTorch's names, and also
#   input, targets      a batch
#   logits              in eval mode, with the weights as they are in the file
#   losses              of the training steps, each on the same batch
#   after.NAME          parameters and statistics after the steps
#   after_logits        in eval mode, after the steps
# Files of the models of docs/models.md (torch_cnn, ...) would be large, so their weights and inputs come from a
# formula, pseudo(), that the test also computes. There after.NAME holds 8 evenly spaced values of each tensor.
# SPDX-License-Identifier: MIT
import pathlib
import re
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The definitions in the documentation are the ones that are tested.
DOCUMENT = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
exec("\n".join(re.findall(r"```python\n(.*?)```", DOCUMENT, re.S)), globals())  # Residual, MODELS, block, ...


def halving(i, c):
    """A residual block with half the resolution, c channels, and a projection on the skip connection."""
    return Residual([nn.Conv2d(i, c, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(c), nn.ReLU(),
                     nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)],
                    [nn.Conv2d(i, c, 1, stride=2, bias=False), nn.BatchNorm2d(c)])


def global_avg_pool():
    """One entry of the list, like tenon's GlobalAvgPool, so that the following layers have the same index."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def pseudo(count, salt, scale, centre=0.0):
    """Numbers in centre +- scale, from a hash of (salt, index). The C++ version gives the same bits."""
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint32) + np.uint32(salt) * np.uint32(0x9E3779B9)
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
        x = x ^ (x >> np.uint32(16))
    return (centre + (x.astype(np.float64) / 2**31 - 1) * scale).astype(np.float32)


def fill(model):
    """Fills every tensor. The salt is its position among the sorted names; the scale keeps signals from vanishing."""
    for salt, (name, tensor) in enumerate(sorted(model.state_dict().items()), start=1):
        last = name.rsplit(".", 1)[-1]
        if last == "num_batches_tracked":
            tensor.fill_(7)
            continue
        if last == "weight" and tensor.dim() > 1:
            scale, centre = np.sqrt(6.0 / (tensor.numel() // tensor.shape[0])), 0.0  # He's bound, for ReLU
        elif last in ("weight", "running_var"):
            scale, centre = 0.5, 1.0
        else:
            scale, centre = 0.25, 0.0
        tensor.copy_(torch.from_numpy(pseudo(tensor.numel(), salt, scale, centre)).view(tensor.shape))


def train(model, x, targets, loss, optimizer, steps, clip):
    losses = []
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(model(x), targets)
        value.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        losses.append(value.item())
    model.eval()
    return torch.tensor(losses)


def spared(model, lr, decay):
    """AdamW as by tenon's default: no decay for norms and biases."""
    heavy = [p for p in model.parameters() if p.dim() > 1]
    light = [p for p in model.parameters() if p.dim() == 1]
    return torch.optim.AdamW([{"params": heavy, "weight_decay": decay}, {"params": light, "weight_decay": 0.0}], lr=lr)


def golden(folder, name, model, input_shape, optimizer, loss=None, targets=None, steps=4, clip=0.0, small=True):
    batch = 8
    fill(model)
    model.eval()
    x = torch.from_numpy(pseudo(batch * int(np.prod(input_shape)), 1000, 1.0)).view(batch, *input_shape)
    with torch.no_grad():
        logits = model(x)
    classes = logits.shape[1]
    if targets is None:
        targets = torch.tensor([(3 * b + 1) % classes for b in range(batch)])
    before = {k: v.clone() for k, v in model.state_dict().items()} if small else {}
    losses = train(model, x, targets, loss or nn.CrossEntropyLoss(), optimizer(model), steps, clip)
    with torch.no_grad():
        after_logits = model(x)
    tensors = {**before, "logits": logits, "losses": losses, "after_logits": after_logits}
    if small:
        tensors |= {"input": x, "targets": targets}
    for key, value in model.state_dict().items():
        if small or value.dim() == 0:
            tensors["after." + key] = value.clone()
        else:
            flat = value.flatten()
            tensors["after." + key] = flat[[i * flat.numel() // 8 for i in range(8)]].clone()
    path = folder / f"torch_{name}.safetensors"
    save_file({k: v.contiguous() for k, v in tensors.items()}, path,
              metadata={"made_by": f"tools/make_golden_models.py with PyTorch {torch.__version__}"})
    path.chmod(0o644)
    print(f"{path.name}: {path.stat().st_size} bytes, loss {losses[0]:.4f} to {losses[-1]:.4f}, "
          f"logits up to {logits.abs().max():.2f}")


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests" / "golden"
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    golden(folder, "activations", nn.Sequential(
        nn.Linear(11, 16), nn.ReLU(), nn.Linear(16, 15), nn.LeakyReLU(0.01), nn.Linear(15, 14), nn.GELU(),
        nn.Linear(14, 13), nn.GELU(approximate="tanh"), nn.Linear(13, 12), nn.SiLU(), nn.Linear(12, 11), nn.Sigmoid(),
        nn.Linear(11, 9), nn.Tanh(), nn.Linear(9, 5, bias=False)),
        (11,), lambda m: torch.optim.Adam(m.parameters(), lr=1e-2, weight_decay=0.01))

    golden(folder, "norms", nn.Sequential(
        nn.Linear(9, 16, bias=False), nn.BatchNorm1d(16), nn.LeakyReLU(0.2), nn.Linear(16, 12), nn.LayerNorm(12),
        nn.GELU(), nn.Linear(12, 4)),
        (9,), lambda m: spared(m, 1e-2, 0.1), loss=nn.CrossEntropyLoss(label_smoothing=0.1))

    golden(folder, "sequence", nn.Sequential(
        nn.LayerNorm(6), nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 7), nn.Tanh(), nn.Flatten(), nn.Linear(35, 3)),
        (5, 6), lambda m: torch.optim.AdamW(m.parameters(), lr=1e-2, weight_decay=0.1), loss=nn.BCEWithLogitsLoss(),
        targets=torch.from_numpy(pseudo(8 * 3, 2000, 0.5, 0.5)).view(8, 3))

    golden(folder, "convs", nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=1, padding=1),
        nn.Conv2d(8, 8, (3, 1), padding=(1, 0), groups=4, bias=False), nn.BatchNorm2d(8), nn.SiLU(),
        nn.Conv2d(8, 12, 3, dilation=2, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(72, 10)),
        (3, 11, 9), lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3))

    golden(folder, "residual", nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), block(8), nn.ReLU(), halving(8, 12),
        nn.ReLU(), global_avg_pool(), nn.Linear(12, 10)),
        (2, 8, 8), lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9), clip=0.5)

    for name, model in MODELS.items():
        golden(folder, name, model(), (1, 28, 28), lambda m: torch.optim.SGD(m.parameters(), lr=0.002, momentum=0.9),
               steps=3, small=False)


if __name__ == "__main__":
    main()
