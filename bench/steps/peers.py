#!/usr/bin/env python3
"""One cell of the comparison: a peer trains a model for some epochs, including shuffling and gathering.

    peers.py torch|jax mlp|cnn --threads 2 --batch 128 --epochs 2

Prints one JSON line: seconds of each epoch, median and 10th percentile of a step in milliseconds, test accuracy.
Each peer is tuned: PyTorch with fused Adam, channels_last for the convolutions, and data as float tensors in memory;
JAX with the whole step, including the gather, in one jit, and donated buffers. Each cell is one process, so that the
thread settings take effect. Data: Fashion-MNIST from the distribution's package, or the folder in TENON_DATA.
"""
import argparse
import gzip
import json
import os
import time

parser = argparse.ArgumentParser()
parser.add_argument("peer", choices=["torch", "jax"])
parser.add_argument("model", choices=["mlp", "cnn"])
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--batch", type=int, default=128)
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--steps", type=int, default=0, help="stop an epoch after so many steps")
args = parser.parse_args()

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = str(args.threads)
if args.peer == "jax":  # XLA's pool follows the affinity mask
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])

import numpy as np  # noqa: E402  (after the environment)

folder = os.environ.get("TENON_DATA", "/usr/share/datasets/fashion-mnist")


def idx(name, offset):
    path = os.path.join(folder, name)
    data = gzip.open(path + ".gz").read() if os.path.exists(path + ".gz") else open(path, "rb").read()
    return np.frombuffer(data, np.uint8, offset=offset)


def images(name):
    x = idx(name, 16).astype(np.float32).reshape(-1, 28, 28) / 255
    return (x - 0.2860) / 0.3530


x_train, y_train = images("train-images-idx3-ubyte"), idx("train-labels-idx1-ubyte", 8).astype(np.int32)
x_test, y_test = images("t10k-images-idx3-ubyte"), idx("t10k-labels-idx1-ubyte", 8).astype(np.int32)
n, batch = len(x_train), args.batch
generator = np.random.default_rng(1)


def torch_epochs():
    import torch
    from torch import nn

    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    if args.model == "mlp":
        net = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    else:
        net = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10))
        net = net.to(memory_format=torch.channels_last)
    x = torch.from_numpy(x_train).unsqueeze(1).contiguous(memory_format=torch.channels_last)
    y = torch.from_numpy(y_train).long()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    loss = nn.CrossEntropyLoss()

    def epoch(times):
        order = torch.randperm(n)
        for k, first in enumerate(range(0, n, batch)):
            if args.steps and k >= args.steps:
                break
            start = time.perf_counter()
            rows = order[first:first + batch]
            xb, yb = x.index_select(0, rows), y.index_select(0, rows)
            if args.model == "cnn":
                xb = xb.contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad(set_to_none=True)
            loss(net(xb), yb).backward()
            optimizer.step()
            times.append(time.perf_counter() - start)

    def accuracy():
        net.eval()
        with torch.no_grad():
            hits = sum((net(torch.from_numpy(x_test[i:i + 500]).unsqueeze(1)).argmax(1).numpy() == y_test[i:i + 500]).sum()
                       for i in range(0, len(x_test), 500))
        net.train()
        return float(hits) / len(x_test)

    return epoch, accuracy, torch.__version__


def jax_epochs():
    import jax
    import jax.numpy as jnp
    import optax

    key = jax.random.PRNGKey(1)

    def uniform(k, shape, fan_in):
        bound = 1 / np.sqrt(fan_in)
        return jax.random.uniform(k, shape, jnp.float32, -bound, bound)

    if args.model == "mlp":
        sizes = [784, 256, 128, 10]
        params = [(uniform(jax.random.fold_in(key, 2 * i), (a, b), a), uniform(jax.random.fold_in(key, 2 * i + 1), (b,), a))
                  for i, (a, b) in enumerate(zip(sizes, sizes[1:]))]

        def forward(p, x):
            h = x.reshape(x.shape[0], -1)
            for i, (w, b) in enumerate(p):
                h = h @ w + b
                if i + 1 < len(p):
                    h = jax.nn.relu(h)
            return h
    else:
        shapes = [((3, 3, 1, 32), 9), ((3, 3, 32, 64), 288), ((3136, 128), 3136), ((128, 10), 128)]
        params = [(uniform(jax.random.fold_in(key, 2 * i), s, f), uniform(jax.random.fold_in(key, 2 * i + 1), s[-1:], f))
                  for i, (s, f) in enumerate(shapes)]

        def forward(p, x):
            h = x[..., None]
            for w, b in p[:2]:
                h = jax.lax.conv_general_dilated(h, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
                h = jax.nn.relu(h + b)
                h = jax.lax.reduce_window(h, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
            h = h.reshape(h.shape[0], -1)
            h = jax.nn.relu(h @ p[2][0] + p[2][1])
            return h @ p[3][0] + p[3][1]

    adam = optax.adam(1e-3)
    state = [params, adam.init(params)]
    x, y = jnp.asarray(x_train), jnp.asarray(y_train)

    def loss(p, xb, yb):
        return optax.softmax_cross_entropy_with_integer_labels(forward(p, xb), yb).mean()

    def step(p, s, x, y, rows):
        value, grads = jax.value_and_grad(loss)(p, x[rows], y[rows])
        updates, s = adam.update(grads, s, p)
        return optax.apply_updates(p, updates), s, value

    step = jax.jit(step, donate_argnums=(0, 1))
    for size in {batch, n % batch} - {0}:  # compile both shapes first
        p, s, value = step(jax.tree.map(jnp.copy, state[0]), jax.tree.map(jnp.copy, state[1]), x, y, jnp.arange(size))
        value.block_until_ready()

    def epoch(times):
        order = generator.permutation(n).astype(np.int32)
        for k, first in enumerate(range(0, n, batch)):
            if args.steps and k >= args.steps:
                break
            start = time.perf_counter()
            state[0], state[1], value = step(state[0], state[1], x, y, order[first:first + batch])
            value.block_until_ready()
            times.append(time.perf_counter() - start)

    def accuracy():
        predict = jax.jit(lambda p, x: forward(p, x).argmax(1))
        return float((np.asarray(predict(state[0], x_test)) == y_test).mean())

    return epoch, accuracy, jax.__version__


epoch, accuracy, version = torch_epochs() if args.peer == "torch" else jax_epochs()
seconds, steps = [], []
for _ in range(args.epochs):
    times, start = [], time.perf_counter()
    epoch(times)
    seconds.append(time.perf_counter() - start)
    steps += times
steps = np.sort(np.array(steps[3:])) * 1e3
print(json.dumps({
    "peer": f"{args.peer} {version}", "model": args.model, "threads": args.threads, "batch": batch,
    "epoch_s": [round(s, 3) for s in seconds], "step_ms": round(float(np.median(steps)), 3),
    "step_ms_p10": round(float(steps[len(steps) // 10]), 3), "accuracy": round(accuracy(), 4)}))
