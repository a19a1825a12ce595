"""Weights of residual networks: torchvision, timm and Hugging Face (v1.5), KerasHub, keras.applications
(`stride_in="1x1"`)."""

import re

from kerasdl.zoo.weights.tables import Table, Tensors, hub_names, renamed

CAFFE = ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3)  # red, green, blue


def without_biases(tensors: Tensors, model) -> Tensors:
    """Return keras.applications' tensors for our layers: red first, and biases as parts of the means that follow.

    A batch normalisation subtracts its mean from what a convolution adds. The files that Keras offers call the head as
    keras-applications did.
    """
    tensors = renamed(tensors, (r"^probs/", "predictions/"))
    found = dict(tensors)
    for name in tensors:
        if conv := re.fullmatch(r"(.*)_conv/1", name):
            mean = f"{conv[1]}_bn/2"
            found[mean] = tensors[mean] - found.pop(name)
    found["conv1_conv/0"] = tensors["conv1_conv/0"][:, :, ::-1]
    return found


def hf_names(tensors: Tensors, model) -> Tensors:
    """Return Hugging Face's tensors as they are; the base class may have no prefix."""
    return tensors if any(name.startswith("resnet.") for name in tensors) else renamed(tensors, (r"^", "resnet."))


def strides(model) -> list[tuple[int, int]]:
    """Return the strides of the first convolution of each bottleneck."""
    return [layer.strides for layer in model.layers if layer.name.endswith("_conv1") and layer.kernel_size == (1, 1)]


def other_stem(model) -> str:
    """Say why of a stem of 7x7 that keeps the resolution."""
    stem = next((layer for layer in model.layers if layer.name == "stem_conv"), None)
    keeps = stem is not None and stem.kernel_size == (7, 7) and stem.strides != (2, 2)
    return "its stem keeps the resolution, and theirs halves it" if keeps else ""


def strided_first(model) -> str:
    """Say why of a bottleneck that halves the resolution in its first convolution, as v1 does."""
    early = "it halves the resolution in 1x1 convolutions, and theirs, v1.5, in those of 3x3"
    return other_stem(model) or early * ((2, 2) in strides(model))


def strided_late(model) -> str:
    """Say why of bottlenecks of which none halves the resolution in its first convolution."""
    late = "it halves the resolution in 3x3 convolutions, and theirs, v1, in those of 1x1: stride_in='1x1' here"
    return other_stem(model) or late * (bool(found := strides(model)) and (2, 2) not in found)


TABLES = [
    Table("resnet", "torchvision", "torch", [
        ("stem_conv", "conv1"), ("stem_norm", "bn1"),
        (r"stage(\d)_block(\d+)_shortcut_conv", r"layer\1.{\2-1}.downsample.0"),
        (r"stage(\d)_block(\d+)_shortcut_norm", r"layer\1.{\2-1}.downsample.1"),
        (r"stage(\d)_block(\d+)_conv(\d)", r"layer\1.{\2-1}.conv\3"),
        (r"stage(\d)_block(\d+)_norm(\d)", r"layer\1.{\2-1}.bn\3"),
        ("logits", "fc"),
    ], refuses=strided_first),
    Table("resnet", "hf", "torch", [
        ("stem_conv", "resnet.embedder.embedder.convolution"), ("stem_norm", "resnet.embedder.embedder.normalization"),
        (r"stage(\d)_block(\d+)_shortcut_conv", r"resnet.encoder.stages.{\1-1}.layers.{\2-1}.shortcut.convolution"),
        (r"stage(\d)_block(\d+)_shortcut_norm", r"resnet.encoder.stages.{\1-1}.layers.{\2-1}.shortcut.normalization"),
        (r"stage(\d)_block(\d+)_conv(\d)", r"resnet.encoder.stages.{\1-1}.layers.{\2-1}.layer.{\3-1}.convolution"),
        (r"stage(\d)_block(\d+)_norm(\d)", r"resnet.encoder.stages.{\1-1}.layers.{\2-1}.layer.{\3-1}.normalization"),
        ("logits", "classifier.1"),
    ], prepare=hf_names, refuses=strided_first),
    Table("resnet", "keras_hub", "keras", [
        ("stem_conv", "backbone/conv1_conv"), ("stem_norm", "backbone/conv1_bn"),
        (r"stage(\d)_block(\d+)_shortcut_conv", r"backbone/stack{\1-1}_block{\2-1}_0_conv"),
        (r"stage(\d)_block(\d+)_shortcut_norm", r"backbone/stack{\1-1}_block{\2-1}_0_bn"),
        (r"stage(\d)_block(\d+)_conv(\d)", r"backbone/stack{\1-1}_block{\2-1}_\3_conv"),
        (r"stage(\d)_block(\d+)_norm(\d)", r"backbone/stack{\1-1}_block{\2-1}_\3_bn"),
        ("logits", "predictions"),
    ], prepare=hub_names, refuses=strided_first),
    Table("resnet", "keras", "keras", [
        ("stem_conv", "conv1_conv"), ("stem_norm", "conv1_bn"),
        (r"stage(\d)_block(\d+)_shortcut_conv", r"conv{\1+1}_block\2_0_conv"),
        (r"stage(\d)_block(\d+)_shortcut_norm", r"conv{\1+1}_block\2_0_bn"),
        (r"stage(\d)_block(\d+)_conv(\d)", r"conv{\1+1}_block\2_\3_conv"),
        (r"stage(\d)_block(\d+)_norm(\d)", r"conv{\1+1}_block\2_\3_bn"),
        ("logits", "predictions"),
    ], prepare=without_biases, epsilon=1.001e-5, mean=CAFFE[0], deviation=CAFFE[1], refuses=strided_late),
]
