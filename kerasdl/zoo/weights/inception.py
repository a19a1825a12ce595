"""Weights of Inception v3 and GoogLeNet: torchvision and keras.applications.

torchvision's are Google's, for pixels of -1..1: its networks have `transform_input=True` with them, which brings what
its other weights take to that.
"""

import re

import numpy as np

from kerasdl.zoo.weights.tables import HALF, Table, Tensors, has, lacks, owners, paired

# Branches of v3's kinds of block, as torchvision calls them.
SQUARES = {1: "branch1x1", 2: "branch5x5_{}", 3: "branch3x3dbl_{}", 4: "branch_pool"}
STRIPS = {1: "branch1x1", 2: "branch7x7_{}", 3: "branch7x7dbl_{}", 4: "branch_pool"}
FORKS = {1: "branch1x1", 2: "branch3x3_{}", 3: "branch3x3dbl_{}", 4: "branch_pool"}
MIXED = {"5b": SQUARES, "5c": SQUARES, "5d": SQUARES, "6a": {1: "branch3x3", 2: "branch3x3dbl_{}"}, "6b": STRIPS,
         "6c": STRIPS, "6d": STRIPS, "6e": STRIPS, "7a": {1: "branch3x3_{}", 2: "branch7x7x3_{}"}, "7b": FORKS,
         "7c": FORKS}
STEM = {1: "Conv2d_1a_3x3", 2: "Conv2d_2a_3x3", 3: "Conv2d_2b_3x3", 5: "Conv2d_3b_1x1", 6: "Conv2d_4a_3x3"}
OTHER = lacks(block11_join="theirs is size='v3' or 'googlenet_norm' here",
              block1_branch4_1_pad="theirs counts the zeros around maps, which is count_zeros=True here")
GOOGLENET = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
KINDS = (("conv", "conv"), ("norm", "bn"))


def in_order(tensors: Tensors, model) -> Tensors:
    """Return keras.applications' tensors by our layers: its are numbered as they are made, and have gains of one."""
    ours = sorted(owners(model, r".*_conv"), key=lambda name: [
        (not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)])
    ours.sort(key=lambda name: name.startswith("block"))
    found = {name: array for name, array in tensors.items() if name.startswith("predictions/")}
    for kind, end in (("conv2d", "conv"), ("batch_normalization", "norm")):
        numbers = sorted({int(match[1] or 0) for name in tensors if (match := re.match(rf"{kind}(?:_(\d+))?/", name))})
        for number, owner in paired(numbers, ours, "convolutions" if end == "conv" else "normalisations"):
            theirs = f"{kind}_{number}" if number else kind
            layer = owner.removesuffix("conv") + end
            for place in range(3 if end == "norm" else 1):
                found[f"{layer}/{place + (end == 'norm')}"] = tensors[f"{theirs}/{place}"]
            if end == "norm":
                found[f"{layer}/0"] = np.ones_like(tensors[f"{theirs}/0"])
    return found


TABLES = [
    Table("inception", "torchvision", "torch", [
        *((f"stem_{i}_{ours}", f"{name}.{theirs}") for i, name in STEM.items() for ours, theirs in KINDS),
        *((rf"block{i}_branch{branch}_(\d[ab]?)_{ours}", f"Mixed_{name}.{theirs.format(chr(92) + '1')}.{kind}")
          for i, (name, branches) in enumerate(MIXED.items(), 1) for branch, theirs in branches.items()
          for ours, kind in KINDS),
        ("logits", "fc"),
    ], ignored=r"num_batches_tracked$|^AuxLogits\.", refuses=OTHER, mean=HALF[0], deviation=HALF[1]),
    Table("inception", "torchvision", "torch", [
        *((f"stem_{i}_{ours}", f"conv{number}.{theirs}") for number, i in enumerate((1, 3, 4), 1)
          for ours, theirs in KINDS),
        *((f"block{i}_branch1_1_{ours}", f"inception{name}.branch1.{theirs}") for i, name in enumerate(GOOGLENET, 1)
          for ours, theirs in KINDS),
        *((rf"block{i}_branch(\d)_(\d)_{ours}", rf"inception{name}.branch\1.{{\2-1}}.{theirs}")
          for i, name in enumerate(GOOGLENET, 1) for ours, theirs in KINDS),
        ("logits", "fc"),
    ], ignored=r"num_batches_tracked$|^aux\d\.", mean=HALF[0], deviation=HALF[1]),
    Table("inception", "keras", "keras", [(r"(.*_(?:conv|norm))", r"\1"), ("logits", "predictions")],
          prepare=in_order, mean=HALF[0], deviation=HALF[1],
          refuses=has(block1_branch4_1_pad="it counts padding in average pools, and theirs leave it out")),
]
