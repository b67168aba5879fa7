"""PyTorch, as one of those measured: python3 torch_peer.py cpu|cuda, spoken to as child.ts is.

Reads requests line by line from the standard input, answers on file descriptor 3. On a GPU results
are compared in float32, and times are taken with TF32, PyTorch's usual choice for convolutions.
"""
import array
import json
import math
import os
import resource
import sys
import time

import torch
import torch.nn.functional as F

LEARNING_RATE = 0.01
CLASSES = 10

device = torch.device(sys.argv[1])
on_gpu = device.type == "cuda"
torch.set_num_threads(len(os.sched_getaffinity(0)))


def use_tf32(on):
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on
    torch.backends.cudnn.benchmark = on


def wait():
    if on_gpu:
        torch.cuda.synchronize()


def load(folder, name, *shape):
    values = array.array("f")
    with open(os.path.join(folder, name + ".f32"), "rb") as file:
        values.frombytes(file.read())
    return torch.tensor(values, dtype=torch.float32, device=device).reshape(shape)


def shapes_of(width):
    """Parameters of a ConvNetD3: per block a kernel, its bias, the norm's scale and shift; the classifier."""
    shapes, channels = [], 3
    for _ in range(3):
        shapes += [(width, channels, 3, 3), (width,), (width,), (width,)]
        channels = width
    return shapes + [(CLASSES, width * 16), (CLASSES,)]


def logits(theta, width, x):
    shapes = shapes_of(width)
    p = [v.reshape(s) for v, s in zip(theta.split([math.prod(s) for s in shapes]), shapes)]
    for at in range(0, 12, 4):
        kernel, bias, scale, shift = p[at : at + 4]
        x = F.conv2d(x, kernel, bias, padding=1)
        x = F.avg_pool2d(F.relu(F.group_norm(x, width, scale, shift)), 2)
    return F.linear(x.flatten(1), p[-2], p[-1])


def loss(z, targets):
    return -(targets * F.log_softmax(z, 1)).sum() / z.shape[0]


def matmul(task, folder):
    n = task["n"]
    a, b = load(folder, "a", n, n), load(folder, "b", n, n)
    return lambda: a @ b


def conv(task, folder):
    n, c, o, size = task["batch"], task["channels"], task["filters"], task["size"]
    if task["of"] == "forward":
        x, k = load(folder, "x", n, c, size, size), load(folder, "k", o, c, 3, 3)
        return lambda: F.conv2d(x, k, padding=1)
    g = load(folder, "g", n, o, size, size)
    if task["of"] == "input":
        k = load(folder, "k", o, c, 3, 3)
        return lambda: torch.nn.grad.conv2d_input((n, c, size, size), k, g, padding=1)
    x = load(folder, "x", n, c, size, size)
    return lambda: torch.nn.grad.conv2d_weight(x, (o, c, 3, 3), g, padding=1)


def teacher_step(task, folder):
    width, n = task["width"], task["batch"]
    theta = load(folder, "theta", -1).requires_grad_()
    x, targets = load(folder, "x", n, 3, 32, 32), load(folder, "targets", n, CLASSES)

    def run():
        (gradient,) = torch.autograd.grad(loss(logits(theta, width, x), targets), theta)
        with torch.no_grad():
            theta.sub_(LEARNING_RATE * gradient)
        return theta.detach()

    return run


def iteration(task, folder):
    """One autograd graph over all steps, as public trajectory-matching code keeps it."""
    width, n = task["width"], task["batch"]
    start, target = load(folder, "start", -1), load(folder, "target", -1)
    images = load(folder, "images", n, 3, 32, 32).requires_grad_()
    targets = load(folder, "targets", n, CLASSES)

    def run():
        theta = start.clone().requires_grad_()
        for _ in range(task["steps"]):
            inner = loss(logits(theta, width, images), targets)
            (gradient,) = torch.autograd.grad(inner, theta, create_graph=True)
            theta = theta - LEARNING_RATE * gradient
        distance = (theta - target).pow(2).sum() / (start - target).pow(2).sum()
        return torch.autograd.grad(distance, images)[0]

    return run


MAKERS = {"matmul": matmul, "conv": conv, "teacher step": teacher_step, "iteration": iteration}
run = None


def answer(request):
    global run
    if request["do"] == "open":
        versions = {"torch": torch.__version__}
        if on_gpu:
            versions["torch device"] = torch.cuda.get_device_name()
        else:
            versions["torch threads"] = str(torch.get_num_threads())
        return {"opened": {"versions": versions}}
    if request["do"] == "prepare":
        use_tf32(False)
        begun = time.perf_counter()
        run = MAKERS[request["task"]["kind"]](request["task"], request["folder"])
        output = run().cpu().contiguous().flatten()
        first = (time.perf_counter() - begun) * 1e3
        with open(os.path.join(request["folder"], "output.f32"), "wb") as file:
            array.array("f", output.tolist()).tofile(file)
        use_tf32(True)
        return {"firstMs": first}
    wait()
    begun = time.perf_counter()
    for _ in range(request["times"]):
        run()
    wait()
    ms = (time.perf_counter() - begun) * 1e3
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"ms": ms, "peakMiB": peak}


with os.fdopen(3, "w") as replies:
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:
            reply = {"error": str(error)}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
