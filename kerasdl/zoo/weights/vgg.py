"""Weights of VGG: torchvision, KerasHub, keras.applications, and the convolutions of HED (Xie & Tu 2015,
arXiv:1504.06375)."""

import numpy as np

from kerasdl.zoo.weights.resnet import CAFFE
from kerasdl.zoo.weights.tables import Table, Tensors, by_channel, by_row, hub_names, owners, paired, renamed


def torch_names(tensors: Tensors, model) -> Tensors:
    """Return torchvision's tensors by our layers: its convolutions and normalisations are numbered with what is between
    them, and its hidden layers read maps by channel first."""
    ours = owners(model, r"stage\d_(conv|norm)\d")
    numbers = sorted({int(name.split(".")[1]) for name in tensors if name.startswith("features.")})
    changes = [(rf"^features\.{number}\.", f"{owner}.")
               for number, owner in paired(numbers, ours, "convolutions and normalisations")]
    return by_row(renamed(tensors, *changes), "classifier.0.weight", model)


def our_names(tensors: Tensors, model) -> Tensors:
    """Return the tensors by torchvision's numbers."""
    steps = owners(model, r"stage\d_(?:(?:conv|norm|relu)\d|pool)")
    changes = [(rf"^{step}\.", f"features.{number}.") for number, step in enumerate(steps)]
    return renamed(by_channel(tensors, "classifier.0.weight", model), *changes)


def red_first(tensors: Tensors, model) -> Tensors:
    """Return tensors whose first kernel reads red, green and blue, where it read blue, green and red."""
    found = renamed(tensors, (r"^block\d/(?=block)", ""))
    first = "block1_conv1/0"
    return found | {first: np.ascontiguousarray(found[first][:, :, ::-1])} if first in found else found


TABLES = [
    Table("vgg", "torchvision", "torch", [
        (r"(stage\d_(?:conv|norm)\d)", r"\1"), ("hidden1", "classifier.0"), ("features", "classifier.3"),
        ("logits", "classifier.6"),
    ], prepare=torch_names, undo=our_names),
    Table("vgg", "keras_hub", "keras", [
        (r"stage(\d)_conv(\d)", r"backbone/block\1_conv\2"), ("hidden1", "fc1"), ("features", "fc2"),
        ("logits", "predictions"),
    ], prepare=hub_names),
    Table("vgg", "keras", "keras", [
        (r"stage(\d)_conv(\d)", r"block\1_conv\2"), ("hidden1", "fc1"), ("features", "fc2"), ("logits", "predictions"),
    ], ignored=r"^conv2d(_\d)?/", prepare=red_first, mean=CAFFE[0], deviation=CAFFE[1]),
]
