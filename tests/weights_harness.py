"""Golden outputs of other libraries' networks, and which network of ours is theirs."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.golden import drawn, pixels  # noqa: E402

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = 1e-5
PORTS = {  # golden file -> model, arguments
    "vit_timm": ("vit", {"size": "Ti"}), "vit_hf": ("vit", {"size": "Ti"}),
    "resnet_torchvision": ("resnet", {"size": "18"}), "resnet_hf": ("resnet", {"size": "18"}),
    "resnet50_torchvision": ("resnet", {"size": "50"}),
    "convnext_timm": ("convnext", {"size": "Atto"}), "convnext_torchvision": ("convnext", {"size": "T"}),
    "mobilenet_torchvision": ("mobilenet", {"size": "v2", "padding": "both"}),
    "mobilenet_timm": ("mobilenet", {"size": "lite0", "padding": "both"}),
    "googlenet_torchvision": ("inception", {"size": "googlenet_norm"}),
    "inception_torchvision": ("inception", {"size": "v3", "count_zeros": True}),
    "alexnet_torchvision": ("alexnet", {"size": "2014"}), "vgg_torchvision": ("vgg", {"size": "11"}),
    "vgg_bn_torchvision": ("vgg", {"size": "11", "norm": True}),
}
LARGE = {"resnet_hf", "vit_hf", "mobilenet_timm", "mobilenet_torchvision", "resnet50_torchvision",
         "convnext_torchvision", "googlenet_torchvision", "inception_torchvision", "alexnet_torchvision",
         "vgg_torchvision", "vgg_bn_torchvision"}  # run with --soak


def golden(name):
    """Return the tensors of a source, and {side: logits} of its network."""
    with np.load(GOLDEN / f"{name}.npz") as held:
        shapes = {line.partition(":")[0]: tuple(map(int, filter(None, line.partition(":")[2].split(","))))
                  for line in held["names"].tolist()}
        logits = {int(key.removeprefix("logits")): held[key] for key in held if key.startswith("logits")}
    return {tensor: drawn(tensor, shape) for tensor, shape in shapes.items()}, logits


def images(side, model):
    return pixels(side)[:, :, :side] if model == "vit" else pixels(side)
