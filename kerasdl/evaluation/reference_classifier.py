"""The classifier through which generated images are measured; a score carries its recipe's name.

Those of SHIPPED come with the package, next to the result.json of their training. For other data each machine trains
its own, once, and keeps it in the cache. Another processor, or another number of cores, rounds otherwise, and makes it
another classifier.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasdl import objectives, zoo
from kerasdl.data import Split
from kerasdl.environment import environment
from kerasdl.errors import UserError
from kerasdl.evaluation.located import located, located_args
from kerasdl.files import cache
from kerasdl.installation import backend
from kerasdl.objectives.base import Objective
from kerasdl.recipe import Recipe, load, names
from kerasdl.run import Run, load_model, located_path

SMALL = 16  # pixels a side, below which images are seen as cnn_digits sees them
DECIDES = ("kerasdl", "keras", "tensorflow", "numpy", "cpu", "cores")  # versions and machine that decide its weights
BATCH = 512  # images that it sees at once
SHIPPED = Path(__file__).parent / "classifiers"


@dataclass(frozen=True)
class FeatureExtractor:
    """A network that sees images (N, H, W, C) uint8.

    Attributes:
        name: what scores that look through it are called by.
        network: a classifier of the zoo, or the user's network.
        recipe: of the classifier; None for the user's network.
        digest: see Found.
    """

    name: str
    network: keras.Model
    recipe: Recipe | None
    digest: str = ""

    @property
    def classifies(self) -> bool:
        """Whether it knows the data's classes."""
        return self.recipe is not None

    @cached_property
    def trunk(self) -> keras.Model:
        """The network up to its representation: its layer "features" if it has one, else its outputs."""
        named = any(layer.name == "features" for layer in self.network.layers)
        return zoo.features(self.network) if named else self.network

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return the representation of images, (N, D) float32."""
        return self.trunk.predict(images, batch_size=BATCH, verbose=0)

    def classes(self, features: np.ndarray) -> np.ndarray:
        """Return the classes (N,) that it assigns to images with these features."""
        return keras.ops.convert_to_numpy(self.network.get_layer("logits")(features)).argmax(1)


@dataclass(frozen=True)
class Found:
    """A reference classifier that is there, or the recipe to train it by.

    Attributes:
        recipe: the classifier's; None for the user's network.
        name: see FeatureExtractor.
        file: the model, if it comes with the package or from the user.
        folder: of the run in the cache, which may not be there yet.
        network: the user's network.
        digest: the SHA-256 of the recipe's settings, or of the file of the user's network.
    """

    name: str
    recipe: Recipe | None = None
    file: Path | None = None
    folder: Path | None = None
    network: keras.Model | None = None
    digest: str = ""

    @property
    def ready(self) -> bool:
        """Whether nothing needs to be trained first."""
        return self.folder is None or (self.folder / "result.json").exists()

    def extractor(self) -> FeatureExtractor:
        """Load it."""
        network = self.network or (load_model(self.file) if self.file else Run.open(self.folder or "").model())
        return FeatureExtractor(self.name, network, self.recipe, self.digest)

    def keep(self, trained: Path) -> None:
        """Move a finished training of its recipe to its place in the cache."""
        assert self.folder is not None, "only a classifier that is trained here has a place in the cache"
        try:
            os.replace(trained, self.folder)
        except OSError:  # another process was faster
            if not self.ready:
                raise

    @staticmethod
    @contextmanager
    def scratch() -> Iterator[Path]:
        """Yield the name of a folder in the cache, which is removed afterwards."""
        folder = cache() / "referees" / f".partial-{secrets.token_hex(4)}"
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def of_objective(objective: Objective, splits: Mapping[str, Split]) -> Found | None:
    """Return the reference classifier that an objective's scores look through; None: they look through none.

    Raises:
        UserError: as `find`; or the user has changed it since the objective's run began.
    """
    wanted = objective.reference()
    if wanted is None:
        return None
    began = objective.run is not None and (objective.run / "data.json").is_file()
    facts = Run(objective.run).data if began else {}  # type: ignore[arg-type]
    found = find(objective.recipe, wanted, splits, facts.get("folder"))
    if facts.get("noted", {}).get("reference", found.digest) != found.digest:
        raise UserError(f"{wanted} is no longer the reference classifier that {objective.run} began with, so that "
                        "scores do not compare with those of before. Undo the change, or start a new run.")
    return found


def find(recipe: Recipe, wanted: str, splits: Mapping[str, Split], folder: str | None = None) -> Found:
    """Return the reference classifier for a recipe's data: the package's own, or what `wanted` names.

    KERASDL_CACHE names the folder where those are kept that are trained here. Your own network is a .keras file, which
    takes the images as they are: uint8 of the data's shape.

    Args:
        recipe: of the generator.
        wanted: the name of a recipe or a .keras file; "" for the default.
        splits: the recipe's data.
        folder: in which the generator's training began, from which its paths are; None: this one.

    Raises:
        UserError: a classifier that does not exist, or does not take such images.
    """
    shape, wanted = splits["train"].shape, wanted if wanted in names() else located_path(wanted, folder)
    if wanted.endswith(".keras"):
        file = Path(wanted)
        return Found(file.stem, network=own(file, shape), digest=hashlib.sha256(file.read_bytes()).hexdigest())
    chosen = choose(recipe, shape, wanted)
    digest = hashlib.sha256(json.dumps(settings(chosen), sort_keys=True).encode()).hexdigest()
    file = SHIPPED / f"{chosen.name}.keras"
    shipped = file.is_file() and chosen == load(chosen.name)
    chosen = chosen.model_copy(update={"batch": min(chosen.batch, len(splits["train"]))})  # of few examples
    there = chosen.model_copy(update={"data": located(chosen.data, folder),
                                      "data_args": located_args(chosen.data_args, folder)})
    if shipped:
        return Found(chosen.name, there, file=file, digest=digest)
    return Found(chosen.name, there, folder=home(chosen, splits, folder), digest=digest)


def choose(recipe: Recipe, shape: tuple[int, ...], wanted: str = "") -> Recipe:
    """Return the recipe of a classifier for that recipe's data: the package's own for it, or one made like it."""
    if wanted:
        found = load(wanted)
    elif f"cnn_{recipe.data}" in names():
        found = load(f"cnn_{recipe.data}")
    else:
        found = load("cnn_digits" if min(shape[:2]) < SMALL else "cnn_mnist")
    if not objectives.get(found.objective).augments_views:
        raise UserError(f"A reference classifier classifies, and the objective of {wanted} is {found.objective}. "
                        "Name another.")
    if found.data == recipe.data and not recipe.data_args:
        return found
    name = f"{found.model}_{re.sub('[^a-z0-9]+', '_', recipe.data.lower())}"
    if recipe.data_args:  # it sees parts or other forms of the data differently
        name += "_" + hashlib.sha256(json.dumps(recipe.data_args, sort_keys=True).encode()).hexdigest()[:8]
    return found.model_copy(update={"name": name, "data": recipe.data, "data_args": recipe.data_args,
                                    "splits": recipe.splits, "claim": None})


def settings(recipe: Recipe) -> dict[str, Any]:
    """Return what decides a classifier, of its recipe."""
    return {key: value for key, value in recipe.diff().items() if key != "claim"}


def home(recipe: Recipe, splits: Mapping[str, Split], folder: str | None = None) -> Path:
    """Return where the run of a classifier is kept: by its recipe, the versions, and data that has no name.

    Args:
        recipe: the classifier's, with paths as the generator's recipe has them.
        splits, folder: as in `find`.
    """
    seen = hashlib.sha256()
    for name in sorted(splits) if recipe.data == "arrays" else ():
        seen.update(splits[name].x.tobytes() + np.asarray(splits[name].y).tobytes())
    if ":" in recipe.data and "train" in splits:  # all that an evaluation has
        seen.update(splits["train"].fingerprint().encode())
    if recipe.data.startswith("folder:"):
        root = Path(located(recipe.data, folder).removeprefix("folder:")).resolve()
        for file in sorted(path for path in root.rglob("*") if path.is_file()):
            facts = file.stat()
            seen.update(f"{file} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    versions = {key: value for key, value in environment().items() if key in DECIDES}
    if backend.jax():
        versions["backend"] = "jax"
    key = json.dumps([settings(recipe), versions, seen.hexdigest()])
    return cache() / "referees" / f"{recipe.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def own(file: Path, shape: tuple[int, ...]) -> keras.Model:
    """Return the user's network, which must take the images."""
    if not file.is_file():
        raise UserError(f"There is no reference classifier {file}.")
    network = load_model(file, "The reference classifier ")
    takes = tuple(network.input_shape[1:])
    if takes != tuple(shape):
        raise UserError(f"The reference classifier {file} takes {takes}, and the images are {tuple(shape)}. "
                        "Give it layers of its own that bring them to its size.")
    seen = FeatureExtractor(file.stem, network, None).trunk.output_shape
    if len(seen) != 2:
        raise UserError(f"The reference classifier {file} gives {tuple(seen[1:])} of an image. Expected a row of "
                        "numbers: let it end in keras.layers.GlobalAveragePooling2D(), for example.")
    return network
