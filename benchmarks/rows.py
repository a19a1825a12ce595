"""What is measured: networks, data and optimizer of each row. All compute exactly this. Imports no framework.

No row has augmentation, dropout or a learning-rate schedule, and each epoch is a full permutation of the images.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BATCH = 128
DATA = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
CLASSES = 10
TRAINING = 3 * 2  # operations per multiply-add of a forward pass: two, and the backward pass is twice as many again
MOMENTUM, EPSILON = 0.9, 1e-7  # of SGD (Nesterov), and of Adam: Keras' own, which PyTorch is given too


@dataclass(frozen=True)
class Row:
    """One network and how it is trained.

    Attributes:
        model, args: kerasdl's name of the network. The plain Keras and the PyTorch form go by the row's name.
        low: pixels 0..255 become low..1.
        images: an epoch, a multiple of BATCH; small where steps are slow, so that there are several epochs.
        steps: how many steps one measurement takes, so that it lasts a few seconds.
        parameters: trainable ones.
        macs: multiply-adds of a forward pass on one image, counted by kerasdl.zoo.cost.
        slow_jax: whether a step of XLA takes so long on a processor that it gets fewer of them.
    """

    model: str
    args: dict[str, Any]
    data: str
    low: float
    optimizer: str
    lr: float
    images: int
    steps: int
    parameters: int
    macs: int
    weight_decay: float = 0.0
    opponents: tuple[str, ...] = ("keras_script", "torch_eager", "torch_compiled", "keras_jax")
    slow_jax: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        return DATA[self.data]

    @property
    def test_images(self) -> int:
        """How many images everybody evaluates at the end: all of MNIST's, of CIFAR-10's two batches."""
        return 10_000 if self.data == "mnist" else 2 * BATCH

    def epochs(self, steps: int) -> tuple[int, int]:
        """(images of an epoch, epochs) for about so many steps."""
        images = min(self.images, steps * BATCH)
        return images, -(-steps * BATCH // images)


MNIST = 468 * BATCH  # 59,904 of the 60,000: whole batches, so that nobody meets a short one
ROWS = {
    "linear": Row("linear", {}, "mnist", 0.0, "adamw", 1e-3, MNIST, 5 * 468, 7_850, 7_840),
    "mlp": Row("mlp", {"size": "512"}, "mnist", 0.0, "adamw", 1e-3, MNIST, 2 * 468, 407_050, 406_528),
    "cnn": Row("cnn", {"size": "textbook"}, "mnist", 0.0, "adamw", 1e-3, 32 * BATCH, 96, 34_826, 2_440_960,
               slow_jax=True),
    "airbench": Row("cnn", {"size": "airbench"}, "cifar10", 0.0, "sgd", 0.01, 4 * BATCH, 12, 1_973_186, 146_942_464,
                    slow_jax=True),
    "resnet18": Row("resnet", {"size": "cifar18"}, "cifar10", -1.0, "sgd", 0.01, 3 * BATCH, 6, 11_000_138, 549_131_264,
                    slow_jax=True),
    "vit": Row("vit", {"size": "Ti", "patch": 4}, "cifar10", -1.0, "adamw", 1e-3, 4 * BATCH, 8, 5_362_762, 365_107_584,
               weight_decay=0.05, opponents=("keras_script", "keras_hub", "torch_eager", "torch_compiled", "keras_jax"),
               slow_jax=True),
}
# Time to accuracy: the networks of two recipes, without what only these have (augmentation, dropout, averaging).
RACES = {
    "mlp_mnist": Row("mlp", {"size": "512-512"}, "mnist", 0.0, "adamw", 1e-3, MNIST, 30 * 468, 669_706, 668_672),
    "cnn_mnist": Row("cnn", {"size": "S"}, "mnist", 0.0, "adamw", 1e-3, MNIST, 10 * 468, 160_874, 13_096_896,
                     slow_jax=True),
    "vit_mnist": Row("vit", {"size": "XS", "patch": 14, "pool": "mean"}, "mnist", -1.0, "adamw", 5e-4, MNIST, 30 * 468,
                     423_818, 1_682_688, weight_decay=0.05),
}
GOALS = {"mlp_mnist": 0.98, "cnn_mnist": 0.99, "vit_mnist": 0.98}  # test accuracy
# A reduced precision is PyTorch's and ours to show; the others stand in the first tier only.
BFLOAT16_OPPONENTS = ("torch_eager", "torch_compiled")
DTYPES = {"float32": "float32", "mixed_bfloat16": "bfloat16"}  # of a precision's products


def precisions() -> list[str]:
    """The tiers of this machine: bfloat16 only where the processor computes in it, and the libraries may."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        flags = ""
    unit = ("amx_bf16" in flags or "avx512_bf16" in flags) and "ONEDNN_MAX_CPU_ISA" not in os.environ
    return ["float32", *["mixed_bfloat16"] * unit]
