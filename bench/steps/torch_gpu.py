#!/usr/bin/env python3
"""Whole training steps of PyTorch on a GPU, for comparison with bench_cuda_steps: same models, batch, precision, data.

    torch_gpu.py [--models mlp cnn] [--batches 128 1024] [--precisions fp32 tf32 bf16] [--modes ...] [--steps 2000]

A step is what tenon's is: a shuffled gather from images that lie on the device as bytes, normalisation, forward, loss,
backward, Adam; the loss is summed on the device and read every 64 steps. Modes:
    graph64         64 whole steps captured by hand as one CUDA graph, gather and fused Adam included
    graph           one step captured so, launched 64 times
    compile+graph   the same with forward and loss by torch.compile
    eager           no graph, fused Adam
    compile         forward, loss and backward by torch.compile, fused Adam
Precision: fp32 allows TF32 nowhere, tf32 in products and convolutions, bf16 is autocast over parameters of fp32. What
was set is printed with each result. One JSON line a cell, microseconds a step, each 64 steps one sample, by the host's
clock around work that has ended; a cell that fails is a line with "error". Warm-up, capture and compilation are not in it.
"""
import argparse
import json
import os
import time

import torch
from torch import nn

MODES = ("graph64", "graph", "compile+graph", "eager", "compile")
EACH = 64  # steps between two reads of the loss

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--models", nargs="+", default=["mlp", "cnn"], choices=["mlp", "cnn"])
parser.add_argument("--batches", nargs="+", type=int, default=[128, 1024])
parser.add_argument("--precisions", nargs="+", default=["fp32", "tf32", "bf16"], choices=["fp32", "tf32", "bf16"])
parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
parser.add_argument("--steps", type=int, default=2000)
parser.add_argument("--images", type=int, default=65536, help="of noise, as bench_cuda_steps takes them")
parser.add_argument("--data", help="a folder of plain IDX files, instead of noise")
parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: to see that the script runs")
args = parser.parse_args()
on_gpu = args.device == "cuda"


def load():
    """Images as bytes (N, 1, 28, 28) and labels, on the device."""
    if args.data:
        def idx(name, offset):
            with open(os.path.join(args.data, name), "rb") as file:
                return torch.frombuffer(bytearray(file.read())[offset:], dtype=torch.uint8)
        images, labels = idx("train-images-idx3-ubyte", 16), idx("train-labels-idx1-ubyte", 8).long()
    else:
        torch.manual_seed(1)
        labels = torch.randint(0, 10, (args.images,))
        bar = torch.arange(784) // 79 == labels[:, None]
        images = (torch.randint(0, 128, (args.images, 784)) + 96 * bar).to(torch.uint8)
    return images.reshape(-1, 1, 28, 28).to(args.device), labels.to(args.device)


def network(model):
    if model == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10)).to(memory_format=torch.channels_last)


def wait():
    if on_gpu:
        torch.cuda.synchronize()


class Training:
    """A network, its optimizer, and step(): what a graph captures."""

    def __init__(self, mode, model, batch, precision):
        torch.manual_seed(1)
        self.batch, self.precision, self.images_last = batch, precision, model == "cnn"
        self.net = network(model).to(args.device)
        options = {"fused": True, "capturable": "graph" in mode} if on_gpu else {}
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3, **options)
        loss = nn.CrossEntropyLoss()
        self.loss = lambda x, y: loss(self.net(x), y)
        if "compile" in mode:
            torch._dynamo.reset()
            self.loss = torch.compile(self.loss)
        self.offsets = torch.arange(batch, device=args.device)
        self.order = torch.randperm(len(labels), device=args.device)
        self.position = torch.zeros((), dtype=torch.long, device=args.device)
        self.total = torch.zeros((), device=args.device)
        self.left = len(labels) // batch  # steps of the epoch, on the host

    def step(self):
        rows = self.order.index_select(0, self.position + self.offsets)
        x = images.index_select(0, rows).float().mul_(1 / (255 * 0.3530)).sub_(0.2860 / 0.3530)
        if self.images_last:
            x = x.contiguous(memory_format=torch.channels_last)
        y = labels.index_select(0, rows)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(args.device, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            loss = self.loss(x, y)
        loss.backward()
        self.optimizer.step()
        self.total += loss.detach().float()
        self.position += self.batch

    def capture(self, steps):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # one-time work and compilation stay outside the graph
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(side)
        wait()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(steps):
                self.step()
        self.position.zero_()
        self.total.zero_()
        return graph.replay

    def shuffle(self):
        self.order.copy_(torch.randperm(len(labels), device=args.device))
        self.position.zero_()
        self.left = len(labels) // self.batch


def measure(mode, model, batch, precision):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    begin = time.perf_counter()
    training = Training(mode, model, batch, precision)
    if len(labels) // batch < EACH:
        raise ValueError(f"expected images for {EACH} steps, got {len(labels)}")
    if mode == "graph64":
        run, a_launch = training.capture(EACH), EACH
    elif "graph" in mode:
        run, a_launch = training.capture(1), 1
    else:
        run, a_launch = training.step, 1
    us, losses = [], []
    setup = None
    while len(us) * EACH < args.steps:
        if len(losses) == 2:  # end of the warm-up
            setup = time.perf_counter() - begin
        start = time.perf_counter()
        if training.left < EACH:
            training.shuffle()
        for _ in range(EACH // a_launch):
            run()
        training.left -= EACH
        losses.append(training.total.item() / EACH)  # synchronizes
        training.total.zero_()
        wait()
        if setup is not None:
            us.append((time.perf_counter() - start) * 1e6 / EACH)
    us.sort()

    def at(percent):
        return round(us[(len(us) - 1) * percent // 100], 3)

    return {
        "us": at(50), "p10": at(10), "p95": at(95), "steps": len(us) * EACH, "setup_s": round(setup, 2),
        "images_per_second": round(batch * len(us) * 1e6 / sum(us)), "first_loss": round(losses[0], 4),
        "loss": round(losses[-1], 4), "allow_tf32": {"matmul": torch.backends.cuda.matmul.allow_tf32,
                                                     "cudnn": torch.backends.cudnn.allow_tf32},
        "autocast": "bfloat16" if precision == "bf16" else None, "channels_last": model == "cnn"}


images, labels = load()
about = {"peer": f"torch {torch.__version__}", "device": torch.cuda.get_device_name() if on_gpu else "cpu",
         "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version() if on_gpu else None}
for mode in args.modes:
    for model in args.models:
        for batch in args.batches:
            for precision in args.precisions:
                cell = {"mode": mode, "model": model, "precision": precision, "batch": batch, "images": len(labels),
                        "data": "given" if args.data else "noise"}
                try:
                    cell.update(measure(mode, model, batch, precision))
                except Exception as e:  # a failed cell does not stop the others
                    cell["error"] = f"{type(e).__name__}: {e}".splitlines()[0][:300]
                print(json.dumps({**about, **cell}), flush=True)
