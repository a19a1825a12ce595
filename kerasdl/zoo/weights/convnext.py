"""Weights of ConvNeXt: torchvision, timm and keras.applications."""

import re

from kerasdl.zoo.weights.tables import Table, Tensors, renamed

PARTS = (("conv", "conv_dw"), ("norm", "norm"), ("up", "mlp.fc1"), ("down", "mlp.fc2"))  # of a block, ours and timm's
PLACES = (("conv", 0), ("norm", 2), ("up", 3), ("down", 5))  # and torchvision's


def keras_names(tensors: Tensors, model) -> Tensors:
    """Return keras.applications' tensors: its stem and what is between stages are models in the model."""
    found = renamed(tensors, (r"^convnext_[a-z]+_", ""), (r"^stem/0", "stem_conv/0"), (r"^stem/1", "stem_conv/1"),
                    (r"^stem/2", "stem_norm/0"), (r"^stem/3", "stem_norm/1"),
                    (r"^downsampling_block_(\d)/0", r"between\1_norm/0"),
                    (r"^downsampling_block_(\d)/1", r"between\1_norm/1"),
                    (r"^downsampling_block_(\d)/2", r"between\1_conv/0"),
                    (r"^downsampling_block_(\d)/3", r"between\1_conv/1"))
    return {name: array for name, array in found.items() if "normalization" not in name}


def small_convolutions(tensors: Tensors, model) -> Tensors:
    """Return the tensors for timm, whose sizes below T have 1x1 convolutions for the MLPs of their blocks."""
    if len(tensors["stem.1.weight"]) >= 96:
        return tensors
    return {name: array[:, :, None, None] if re.search(r"\.mlp\.fc\d\.weight$", name) else array
            for name, array in tensors.items()}


def torch_scales(tensors: Tensors, model) -> Tensors:
    """Return the tensors for torchvision, whose layer scales are maps of one pixel."""
    return {name: array[:, None, None] if name.endswith(".layer_scale") else array for name, array in tensors.items()}


TABLES = [
    Table("convnext", "timm", "torch", [
        ("stem_conv", "stem.0"), ("stem_norm", "stem.1"),
        (r"stage(\d)_norm", r"stages.{\1-1}.downsample.0"), (r"stage(\d)_conv", r"stages.{\1-1}.downsample.1"),
        *((rf"stage(\d)_block(\d+)_{ours}", rf"stages.{{\1-1}}.blocks.{{\2-1}}.{theirs}") for ours, theirs in PARTS),
        (r"stage(\d)_block(\d+)_scale", r"=stages.{\1-1}.blocks.{\2-1}.gamma"),
        ("norm", "head.norm"), ("logits", "head.fc"),
    ], undo=small_convolutions),
    Table("convnext", "torchvision", "torch", [
        ("stem_conv", "features.0.0"), ("stem_norm", "features.0.1"),
        *((f"stage{i}_norm", f"features.{2 * i - 2}.0") for i in (2, 3, 4)),
        *((f"stage{i}_conv", f"features.{2 * i - 2}.1") for i in (2, 3, 4)),
        *((rf"stage{i}_block(\d+)_{ours}", rf"features.{2 * i - 1}.{{\1-1}}.block.{place}")
          for i in (1, 2, 3, 4) for ours, place in PLACES),
        *((rf"stage{i}_block(\d+)_scale", rf"=features.{2 * i - 1}.{{\1-1}}.layer_scale") for i in (1, 2, 3, 4)),
        ("norm", "classifier.0"), ("logits", "classifier.2"),
    ], undo=torch_scales),
    Table("convnext", "keras", "keras", [
        ("stem_conv", "stem_conv"), ("stem_norm", "stem_norm"),
        (r"stage(\d)_norm", r"between{\1-2}_norm"), (r"stage(\d)_conv", r"between{\1-2}_conv"),
        (r"stage(\d)_block(\d+)_conv", r"stage_{\1-1}_block_{\2-1}_depthwise_conv"),
        (r"stage(\d)_block(\d+)_norm", r"stage_{\1-1}_block_{\2-1}_layernorm"),
        (r"stage(\d)_block(\d+)_up", r"stage_{\1-1}_block_{\2-1}_pointwise_conv_1"),
        (r"stage(\d)_block(\d+)_down", r"stage_{\1-1}_block_{\2-1}_pointwise_conv_2"),
        (r"stage(\d)_block(\d+)_scale", r"=stage_{\1-1}_block_{\2-1}_layer_scale/0"),
        ("norm", "head_layernorm"), ("logits", "head_dense"),
    ], prepare=keras_names),
]
