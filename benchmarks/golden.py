"""Logits of timm, torchvision, Transformers and KerasHub that tests of ported weights are held to, without these.

Weights are drawn from their names, so that a test can draw the same. Run each where its packages are installed:

    python -m benchmarks.golden tests/golden torch      # timm 1.0.31, torchvision 0.29.1, Transformers 5.24.0
    python -m benchmarks.golden tests/golden bert       # Transformers 5.24.0
    python -m benchmarks.golden tests/golden augreg     # timm, which reads Google's .npz files
    python -m benchmarks.golden tests/golden keras_hub  # KerasHub 0.32.0
    python -m benchmarks.golden tests/golden images     # timm and torchvision: how they resize and crop an image
"""

import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np

CLASSES = 10
POSITIONS = ("pos_embed", "cls_token", "position_embeddings", "pos_embedding", "cls")


def drawn(name, shape):
    """Return random values for a tensor of this name: none has the value that it is initialised with."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, "int64")
    if len(shape) > 1 and not name.endswith(POSITIONS):
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype("float32")
    if name.endswith(("var", "gamma", "scale")) or len(shape) == 1 and name.endswith("weight"):
        return rng.uniform(0.5, 1.5, shape).astype("float32")
    return (0.2 * rng.standard_normal(shape)).astype("float32")


def drawn_for_keras(path, shape):
    """Return random values for an array of a .weights.h5 file: of four in a group the first is a gain."""
    kind = {"0": "gamma", "3": "var"}.get(path.rpartition("/")[2], "") if len(shape) == 1 else ""
    if "patching_and_embedding" in path and len(shape) in (2, 3):  # and the class token; large ones hide epsilon
        return drawn(f"{path}pos_embed", shape) / np.float32(4)
    array = drawn(f"{path}{kind}", shape)
    fan_in = np.prod(shape[:-2] if shape[-1] == 1 else shape[:-1])  # a depthwise kernel is (h, w, C, 1)
    return array * np.float32(np.sqrt(np.prod(shape[1:]) / fan_in)) if len(shape) > 1 else array


def pixels(side):
    """Return two images that are not square, (2, side, side + 32, 3) uint8; of a ViT only the square part is read."""
    return np.random.default_rng(side).integers(0, 256, (2, side, side + 32, 3), "uint8")


def pixels_of(size):
    """Return two images of (height, width), (2, height, width, 3) uint8."""
    return np.random.default_rng(sum(size)).integers(0, 256, (2, *size, 3), "uint8")


def torch_models():
    """Yield a file's name, the preprocessing, whether it takes one size only, and what builds the network."""
    import timm
    import torchvision.models as vision
    from transformers import ResNetConfig, ResNetForImageClassification, ViTConfig, ViTForImageClassification

    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    half = ((0.5,) * 3, (0.5,) * 3)
    hf = ViTConfig(hidden_size=192, num_hidden_layers=12, num_attention_heads=3, intermediate_size=768, image_size=64,
                   patch_size=16, num_labels=CLASSES)
    yield "vit_timm", half, 64, lambda: timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=CLASSES)
    yield "vit_hf", half, 64, lambda: ViTForImageClassification(hf)
    yield "resnet_hf", imagenet, None, lambda: ResNetForImageClassification(ResNetConfig(
        depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512], layer_type="basic", num_labels=CLASSES))
    yield "convnext_timm", imagenet, None, lambda: timm.create_model("convnext_atto", num_classes=CLASSES)
    yield "mobilenet_timm", imagenet, None, lambda: timm.create_model("efficientnet_lite0", num_classes=CLASSES)
    for file, name in (("resnet_torchvision", "resnet18"), ("resnet50_torchvision", "resnet50"),
                       ("alexnet_torchvision", "alexnet"), ("vgg_torchvision", "vgg11"),
                       ("vgg_bn_torchvision", "vgg11_bn"), ("convnext_torchvision", "convnext_tiny"),
                       ("mobilenet_torchvision", "mobilenet_v2"), ("inception_torchvision", "inception_v3"),
                       ("googlenet_torchvision", "googlenet")):
        more = {"init_weights": False, "transform_input": True} if name in ("inception_v3", "googlenet") else {}
        more |= {"aux_logits": False} if name == "googlenet" else {}
        yield file, imagenet, None, lambda name=name, more=more: vision.get_model(name, num_classes=CLASSES, **more)


def normalised(x, mean, deviation):
    """Return pixels (B, H, W, 3) as torch's input (B, 3, H, W), in float64."""
    import torch

    x = (torch.from_numpy(x).double() / 255 - torch.tensor(mean)) / torch.tensor(deviation)
    return x.permute(0, 3, 1, 2)


def write(folder, file, shapes, found):
    """Write the names and shapes of a source's tensors, and its logits."""
    names = [f"{name}:{','.join(map(str, shape))}" for name, shape in shapes.items()]
    np.savez_compressed(Path(folder, f"{file}.npz"), names=np.array(names), **found)
    print(file, sum(int(np.prod(shape)) for shape in shapes.values()),
          {key: value.std() for key, value in found.items()}, flush=True)


def torch_goldens(folder):
    import torch

    for file, (mean, deviation), only, make in torch_models():
        network = make().eval()
        state = network.state_dict()
        shapes = {name: tuple(value.shape) for name, value in state.items() if not name.startswith("AuxLogits")}
        network.load_state_dict({name: torch.from_numpy(drawn(name, shape)) for name, shape in shapes.items()} | {
            name: value for name, value in state.items() if name.startswith("AuxLogits")})
        found = {}
        for side in [only] if only else [96, 128] if "inception" in file else [64, 96]:
            x = pixels(side)[:, :, :side] if only else pixels(side)
            with torch.no_grad():
                out = network.double()(normalised(x, mean, deviation))
            found[f"logits{side}"] = np.asarray(getattr(out, "logits", out), "float64")
        write(folder, file, shapes, found)


def texts(vocabulary=200, steps=16):
    """Return three texts of 16, 9 and 1 tokens, padded with 0: (3, steps) int64."""
    tokens = np.random.default_rng(steps).integers(1, vocabulary, (3, steps))
    return tokens * (np.arange(steps) < np.array([[16], [9], [1]]))


def bert_goldens(folder):
    """The last steps of a BERT, in float64."""
    import torch
    from transformers import BertConfig, BertModel

    network = BertModel(BertConfig(vocab_size=200, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                                   intermediate_size=128, max_position_embeddings=24))
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict({name: torch.from_numpy(drawn(name, shape)) for name, shape in shapes.items()})
    tokens = torch.from_numpy(texts())
    with torch.no_grad():
        steps = network.double().eval()(tokens, attention_mask=tokens != 0).last_hidden_state
    write(folder, "bert_hf", shapes, {"steps": np.asarray(steps)})


def augreg_shapes(grid, width=192, depth=12, heads=3):
    """Return the names and shapes of Google's checkpoint of a ViT-Ti/16 with a grid of positions."""
    shapes = {"cls": (1, 1, width), "embedding/kernel": (16, 16, 3, width), "embedding/bias": (width,),
              "Transformer/posembed_input/pos_embedding": (1, 1 + grid * grid, width),
              "head/kernel": (width, CLASSES), "head/bias": (CLASSES,)}
    for norm in ("encoder_norm", *(f"encoderblock_{i}/LayerNorm_{j}" for i in range(depth) for j in (0, 2))):
        shapes |= {f"Transformer/{norm}/{kind}": (width,) for kind in ("scale", "bias")}
    for i in range(depth):
        attention = f"Transformer/encoderblock_{i}/MultiHeadDotProductAttention_1"
        for part in ("query", "key", "value"):
            shapes |= {f"{attention}/{part}/kernel": (width, heads, width // heads),
                       f"{attention}/{part}/bias": (heads, width // heads)}
        shapes |= {f"{attention}/out/kernel": (heads, width // heads, width), f"{attention}/out/bias": (width,)}
        for j, (rows, columns) in enumerate(((width, 4 * width), (4 * width, width))):
            dense = f"Transformer/encoderblock_{i}/MlpBlock_3/Dense_{j}"
            shapes |= {f"{dense}/kernel": (rows, columns), f"{dense}/bias": (columns,)}
    return shapes


def augreg_goldens(folder):
    """A file of 64 pixels a side, read by timm as it is, and for 96 pixels with positions that it resizes both ways."""
    import timm
    import torch

    shapes, found = augreg_shapes(4), {}
    with tempfile.TemporaryDirectory() as place:
        np.savez(file := Path(place, "ti16.npz"), **{name: drawn(name, shape) for name, shape in shapes.items()})
        for key, read_for, side in (("logits64", 64, 64), ("logits96", 64, 96), ("bilinear96", 96, 96)):
            network = timm.create_model("vit_tiny_patch16_224", img_size=read_for, num_classes=CLASSES).eval()
            network.load_pretrained(str(file))  # another grid bilinearly, as Google's own code does
            network.set_input_size((side, side))  # bicubically
            with torch.no_grad():
                out = network.double()(normalised(pixels(side)[:, :, :side], (0.5,) * 3, (0.5,) * 3))
            found[key] = np.asarray(out, "float64")
    write(folder, "vit_augreg", shapes, found)


SIDES = ((300, 451), (90, 60), (427, 640), (224, 224))  # of images that are cropped for 224 pixels a side


def scene(height, width):
    """Return an image with edges, slopes and noise, (height, width, 3) uint8."""
    rows, columns = np.mgrid[:height, :width]
    waves = 127 + 90 * np.sin(rows[..., None] / (3, 7, 17)) * np.cos(columns[..., None] / (5, 11, 23))
    waves[height // 3:height // 2, width // 4:width // 2] = (250, 5, 120)
    noise = np.random.default_rng(height).integers(-30, 31, (height, width, 3))
    return np.clip(waves + noise, 0, 255).astype("uint8")


def images_goldens(folder):
    """What the evaluation of timm and of torchvision reads of an image, at every seventh pixel."""
    from PIL import Image
    from timm.data import create_transform
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms._presets import ImageClassification

    found, scaling = {}, {"mean": (0,) * 3, "std": (1,) * 3}
    changes = {"timm-bicubic": create_transform(224, interpolation="bicubic", crop_pct=0.875, **scaling),
               "torchvision-bilinear": ImageClassification(crop_size=224, resize_size=256, **scaling,
                                                           interpolation=InterpolationMode("bilinear"))}
    for size in SIDES:
        image = Image.fromarray(scene(*size))
        for name, change in changes.items():
            pixels = np.rint(np.asarray(change(image)) * 255).astype("uint8").transpose(1, 2, 0)
            found[f"{name}-{size[0]}x{size[1]}"] = pixels[::7, ::7]
    np.savez_compressed(Path(folder, "images.npz"), **found)


def hub_models():
    """Yield a file's name, the preprocessing, the shapes of images, and what builds KerasHub's network for one."""
    from keras_hub import models as hub
    from keras_hub.src.utils.timm.convert_efficientnet import convert_backbone_config

    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    any_size, resnet = ((64, 96), (96, 128)), {
        "input_conv_filters": [64], "input_conv_kernel_sizes": [7], "stackwise_num_filters": [64, 128, 256, 512],
        "stackwise_num_strides": [1, 2, 2, 2]}
    for file, size in (("vit_hub", (64, 64)), ("vit_hub_wide", (64, 96))):
        yield file, ((0.5,) * 3, (0.5,) * 3), (size,), lambda shape: hub.ViTImageClassifier(hub.ViTBackbone(
            image_shape=shape, patch_size=16, num_layers=12, num_heads=3, hidden_dim=192, mlp_dim=768), CLASSES)
    for file, kind, blocks in (("resnet", "basic", [2, 2, 2, 2]), ("resnet50", "bottleneck", [3, 4, 6, 3])):
        yield f"{file}_hub", imagenet, any_size, lambda shape, kind=kind, blocks=blocks: hub.ResNetImageClassifier(
            hub.ResNetBackbone(**resnet, stackwise_num_blocks=blocks, block_type=f"{kind}_block", image_shape=shape),
            CLASSES)
    yield "mobilenet_hub", imagenet, any_size, lambda shape: hub.EfficientNetImageClassifier(hub.EfficientNetBackbone(
        **convert_backbone_config({"architecture": "efficientnet_lite0"}), input_shape=shape), CLASSES)
    yield "vgg_hub", imagenet, ((224, 224), (240, 255)), lambda shape: hub.VGGImageClassifier(hub.VGGBackbone(
        stackwise_num_repeats=[1, 1, 2, 2, 2], stackwise_num_filters=[64, 128, 256, 512, 512], image_shape=shape),
        CLASSES)


def hub_goldens(folder):
    import h5py
    import keras

    for file, (mean, deviation), sizes, make in hub_models():
        shapes, found = {}, {}

        def draw(path, array, shapes=shapes):
            if isinstance(array, h5py.Dataset) and not path.startswith("optimizer"):
                shapes[f"{path}|{array.parent.attrs['name']}"] = array.shape
                array[...] = drawn_for_keras(path, array.shape)

        for size in sizes:
            network = make((*size, 3))
            with tempfile.TemporaryDirectory() as place:
                network.save_weights(weights := Path(place, "of.weights.h5"))
                with h5py.File(weights, "r+") as held:
                    held.visititems(draw)
                network.load_weights(weights)
            x = (pixels_of(size).astype("float64") / 255 - mean) / deviation
            found["logits" + "x".join(map(str, size))] = np.asarray(
                keras.ops.convert_to_numpy(network(x.astype("float32"), training=False)), "float64")
        write(folder, file, shapes, found)


if __name__ == "__main__":
    {"torch": torch_goldens, "bert": bert_goldens, "augreg": augreg_goldens, "keras_hub": hub_goldens,
     "images": images_goldens}[sys.argv[2]](sys.argv[1])
