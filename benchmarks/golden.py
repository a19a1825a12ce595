"""Logits of timm, torchvision and Transformers that tests of ported weights are held to, without torch.

Weights are drawn from their names, so that a test can draw the same. Run where these packages are installed:

    python benchmarks/golden.py tests/golden
"""

import sys
import zlib
from pathlib import Path

import numpy as np

CLASSES = 10


def drawn(name, shape):
    """Return random values for a tensor of this name: none has the value that it is initialised with."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, "int64")
    if len(shape) > 1 and not name.endswith(("pos_embed", "cls_token", "position_embeddings")):
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype("float32")
    if name.endswith(("var", "gamma")) or len(shape) == 1 and name.endswith("weight"):
        return rng.uniform(0.5, 1.5, shape).astype("float32")
    return (0.2 * rng.standard_normal(shape)).astype("float32")


def pixels(side):
    """Return two images that are not square, (2, side, side + 32, 3) uint8; of a ViT only the square part is read."""
    return np.random.default_rng(side).integers(0, 256, (2, side, side + 32, 3), "uint8")


def models():
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
        more = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
        more |= {"aux_logits": False} if name == "googlenet" else {}
        yield file, imagenet, None, lambda name=name, more=more: vision.get_model(name, num_classes=CLASSES, **more)


def main(folder):
    import torch

    torch.set_num_threads(1)
    for file, (mean, deviation), only, make in models():
        network = make().eval()
        state = network.state_dict()
        shapes = {name: tuple(value.shape) for name, value in state.items() if not name.startswith("AuxLogits")}
        network.load_state_dict({name: torch.from_numpy(drawn(name, shape)) for name, shape in shapes.items()} | {
            name: value for name, value in state.items() if name.startswith("AuxLogits")})
        found = {}
        for side in [only] if only else [96, 128] if "inception" in file else [64, 96]:
            x = pixels(side)[:, :, :side] if only else pixels(side)
            x = (torch.from_numpy(x).double() / 255 - torch.tensor(mean)) / torch.tensor(deviation)
            with torch.no_grad():
                out = network.double()(x.permute(0, 3, 1, 2))
            found[f"logits{side}"] = np.asarray(getattr(out, "logits", out), "float64")
        names = [f"{name}:{','.join(map(str, shape))}" for name, shape in shapes.items()]
        np.savez_compressed(Path(folder, f"{file}.npz"), names=np.array(names), **found)
        print(file, sum(int(np.prod(shape)) for shape in shapes.values()), {key: value.std() for key, value in
                                                                            found.items()}, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
