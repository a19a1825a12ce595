"""Masked autoencoder: He et al. 2021, "Masked Autoencoders Are Scalable Vision Learners", arXiv:2111.06377.

A ViT encodes the visible patches of an image; a small decoder, which is thrown away, predicts the pixels of the others.
The encoder's layers are called as those of kerasdl.zoo.vit, so that `init=RUN` starts a classifier from them.

Departs from the paper: positions are learned and not sines, so that a learned mask token would be redundant: it is a
constant that the decoder's positions can hold. Hidden tokens are zero.
"""

from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from markupsafe import Markup
from pydantic import Field

from kerasdl import zoo
from kerasdl.data.split import Split
from kerasdl.objectives import features, film
from kerasdl.objectives.base import Objective
from kerasdl.objectives.images import enlarged, grid
from kerasdl.objectives.sections import Findings, Section, image, note
from kerasdl.settings import Settings
from kerasdl.zoo import vit

SHOWN = 10  # images in the report


class MaeSettings(Settings):
    """Settings of the masked autoencoder."""

    mask: float = Field(0.75, gt=0, lt=1, description="share of the patches that are hidden")
    decoder_width: int = Field(64, gt=0, description="width of the decoder's tokens")
    decoder_depth: int = Field(1, ge=1, description="blocks of the decoder")
    decoder_heads: int = Field(4, gt=0, description="attention heads of the decoder")


class MaskedAutoencoder(Objective):
    """Learn to predict the hidden patches of an image from the others. Labels are not read."""

    inputs = ("image",)
    classifier_args = {"size": "XS", "patch": 4, "pool": "mean"}  # of which kerasdl.zoo.vit has other defaults
    Settings = MaeSettings

    def network(self, split: Split) -> keras.Model:
        """Build image (B, H, W, C) 0..255 and noise (B, N) -> pixels of each patch (B, N, patch * patch * C).

        The patches with the least noise are visible.
        """
        self.shown = split.sample(SHOWN)
        if self.recipe.model != "vit":
            raise ValueError(f"a masked autoencoder needs model=vit. Received: {self.recipe.model}")
        if "weights" in self.recipe.model_args:
            raise ValueError("a masked autoencoder begins with random weights, or with those of a run: init=RUN. Leave "
                             "out model_args.weights")
        zoo.check_args(vit_args, self.recipe.model_args, "a masked autoencoder")
        size, patch, pool, drop, drop_path = vit_args(**self.recipe.model_args)
        width, depth, heads = vit.SIZES[size]
        inputs, embedded = vit.patches(split.shape, width, patch)
        count = embedded.shape[1] * embedded.shape[2]
        if self.visible(count) == count:
            raise ValueError(f"objective_args.mask={self.settings.mask:g} hides none of the {count} patches of an "
                             "image. Hide more, or take a smaller model_args.patch")
        noise = keras.Input((count,), name="noise")
        order = ops.argsort(noise, axis=1)
        tokens, first = vit.tokens(embedded, pool=pool, drop=drop), int(pool == "token")  # which is always visible
        visible = ops.take_along_axis(tokens[:, first:], order[:, :self.visible(count), None], axis=1)
        if first:
            visible = ops.concatenate([tokens[:, :1], visible], axis=1)
        x = vit.encode(visible, depth, heads, drop=drop, drop_path=drop_path)[:, first:]

        x = layers.Dense(self.settings.decoder_width, name="decoder_in")(x)
        x = ops.pad(x, ((0, 0), (0, count - x.shape[1]), (0, 0)))  # hidden tokens, in the order of the noise
        x = ops.take_along_axis(x, ops.argsort(order, axis=1)[:, :, None], axis=1)  # each at its place
        x = vit.PositionEmbedding(name="decoder_position")(x)
        x = vit.encode(x, self.settings.decoder_depth, self.settings.decoder_heads, prefix="decoder_")
        x = layers.Dense(patch * patch * split.shape[2], dtype="float32", name="pixels")(x)
        return keras.Model({"image": inputs, "noise": noise}, x, name="mae")

    def visible(self, count: int) -> int:
        """Return how many of so many patches are visible, at least one."""
        return max(1, round(count * (1 - self.settings.mask)))

    def bind(self, network: keras.Model) -> None:
        self.count = network.output.shape[1]
        self.patch = network.get_layer("patches").kernel_size[0]

    def prepare(self, x: tf.Tensor, y: None, seed: tf.Tensor) -> tuple[dict[str, tf.Tensor], None]:
        """Add the noise that decides which patches of each image are visible."""
        return {"image": x, "noise": tf.random.stateless_uniform((tf.shape(x)[0], self.count), seed)}, None

    def compute_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        """Return the mean squared error of the hidden patches, each normalised by its own mean and deviation."""
        target, _, _ = normalised(patches_of(x["image"], self.patch))
        rank = ops.argsort(ops.argsort(x["noise"], axis=1), axis=1)
        hidden = ops.cast(rank >= self.visible(self.count), "float32")
        error = ops.mean(ops.square(y_pred - target), axis=-1)
        return ops.sum(error * hidden, axis=1) / ops.sum(hidden, axis=1)

    def preview(self, kept: keras.Model) -> Callable[[], np.ndarray]:
        """Return what draws some training images: as the network sees them, brought back, and as they were."""
        return lambda: self.sheet(kept, self.shown)

    def sections(self, findings: Findings) -> list[Section]:
        model = findings.model()
        self.bind(model)
        parts = {"test": "Test images, which are new to the network:", "train": "Training images:"}
        sheets = [note(text) + image(self.sheet(model, findings.splits(name).sample(SHOWN)),
                                     "masked, reconstructed and original images") for name, text in parts.items()]
        encoder = features.encoder(model, self.recipe.model, self.classifier_args | self.recipe.model_args,
                                   findings.splits("test").shape)
        return [
            Section("Reconstructions", note(
                f"Images of {findings.data}: what the model sees, what it makes of it, and the original. Predicted "
                "patches have the mean and deviation of the originals.") + Markup("").join(sheets),
                id="reconstructions"),
            film.section(findings.folder), *features.sections(encoder, findings, labels_seen=False)]

    def sheet(self, model: keras.Model, images: np.ndarray) -> np.ndarray:
        """Return images (N, H, W, C) as one: a row as seen, a row brought back, and a row as they are."""
        noise = np.random.default_rng(0).random((len(images), self.count), "float32")
        patches, mean, deviation = normalised(patches_of(images, self.patch))
        seen = noise.argsort(1).argsort(1) < self.visible(self.count)
        found = ops.convert_to_numpy(model({"image": images, "noise": noise}, training=False))
        answer = found * ops.convert_to_numpy(deviation) + ops.convert_to_numpy(mean)
        original = ops.convert_to_numpy(patches * deviation + mean)
        rows = [np.where(seen[..., None], original, 128), np.where(seen[..., None], original, answer), original]
        sheet = np.concatenate([pixels_of(np.asarray(row), images.shape, self.patch) for row in rows])
        return grid(enlarged(sheet), len(images))


def vit_args(*, size: str = "XS", patch: int = 4, pool: Literal["mean", "token"] = "mean", drop: float = 0.0,
             drop_path: float = 0.0) -> tuple[str, int, str, float, float]:
    """Return the arguments of kerasdl.zoo.vit that a masked autoencoder takes."""
    if pool not in ("mean", "token"):
        raise ValueError(f"Expected pool='token' or 'mean'. Received: {pool!r}")
    return size, patch, pool, drop, drop_path


def patches_of(images: Any, patch: int) -> Any:
    """(B, H, W, C) -> (B, N, patch * patch * C) float32, row by row."""
    height, width, channels = images.shape[1:]
    x = ops.reshape(ops.cast(images, "float32"), (-1, height // patch, patch, width // patch, patch, channels))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, height * width // patch**2, patch**2 * channels))


def pixels_of(patches: np.ndarray, shape: tuple[int, ...], patch: int) -> np.ndarray:
    """Undo `patches_of`: images (B, H, W, C) uint8 of this shape."""
    x = patches.reshape(-1, shape[1] // patch, shape[2] // patch, patch, patch, shape[3]).transpose(0, 1, 3, 2, 4, 5)
    return np.rint(x.reshape(-1, *shape[1:]).clip(0, 255)).astype("uint8")


def normalised(patches: Any) -> tuple[Any, Any, Any]:
    """Return patches with mean 0 and deviation 1, and the mean and deviation (B, N, 1) that they had."""
    mean = ops.mean(patches, axis=-1, keepdims=True)
    deviation = ops.sqrt(ops.var(patches, axis=-1, keepdims=True) + 1.0)  # of one level of grey, where all are equal
    return (patches - mean) / deviation, mean, deviation
