"""Bring back what was taken from an image: noise, a hole, or its colour. A body learns from images without labels.

Denoising: Vincent et al. 2008. Inpainting: Pathak et al. 2016, "Context Encoders", arXiv:1604.07379, here with the
squared error alone. Colourisation: Zhang et al. 2016, arXiv:1603.08511, here by regression, which gives paler colours
than their classes do. The layers of the body are called as those of `build`, so that `init=RUN` starts a classifier.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from pydantic import Field

from kerasdl import figures, user_code, zoo
from kerasdl.data.split import Split
from kerasdl.errors import UserError
from kerasdl.objectives import features, fills, film, painting
from kerasdl.objectives.base import Objective
from kerasdl.objectives.corruptions import CORRUPTIONS, GREY
from kerasdl.objectives.decoders import DECODERS
from kerasdl.objectives.images import enlarged, grid
from kerasdl.objectives.sections import Findings, Section, image, note, table
from kerasdl.settings import Settings
from kerasdl.text import typed

SHOWN = 10  # images in the report, and in each frame of the film
COLOURS = 2000  # training images, at most, whose mean colour is a control
LOOKED = 64  # images that are looked at for colours


class ReconstructSettings(Settings):
    """Settings of reconstruction."""

    corruption: Literal["block", "freeform", "grey", "noise"] = Field(
        "freeform", description="what is hidden: rectangles, strokes, colour, or what noise covers")
    share: float = Field(0.25, gt=0, lt=1, description="share of the pixels that block and freeform hide")
    holes: int = Field(1, ge=1, description="how many rectangles block hides, all of one size")
    deviation: float = Field(25.0, gt=0, le=255, description="deviation of the noise, in grey levels of 0..255")
    decoder: Literal["unet", "light"] = Field(
        "unet", description="unet: with skip connections from each resolution, for the best images; light: from the "
                            "body's last grid alone, which then has to hold everything")
    width: int = Field(32, ge=1, description="channels of the decoder at full resolution, twice as many at each "
                                             "coarser one; light: a quarter of its hidden layer's")


class Reconstruct(Objective):
    """Learn to bring back what was hidden. The kept model maps images to pixels (B, H, W, C) float32, 0..255.

    A target is an image, what the network sees of it, and what is hidden, as one array (B, H, W, 2C + 1) in the dtype
    of the images.
    """

    inputs = ("image",)
    scores = {"loss": "min", "psnr": "max", "ssim": "max"}
    overall_scores = {"ssim": "max"}
    monitor = "psnr"
    Settings = ReconstructSettings

    def __init__(self, recipe: Any, run: Path | None = None):
        super().__init__(recipe, run)
        self.corruption = CORRUPTIONS[self.settings.corruption]

    def check(self, split: Split, replicas: int = 1) -> None:
        super().check(split, replicas)
        settings, (height, width, channels) = self.settings, split.shape
        word = f"objective_args.corruption={settings.corruption}"
        if settings.holes > 1 and settings.corruption != "block":
            raise UserError(f"objective_args.holes is for corruption=block, and {word}. Leave one of them out.")
        hidden = self.corruption.count(height, width, settings)
        if hidden < 1 or (self.corruption.holes and hidden >= height * width):
            holes = f"{settings.holes} holes" if settings.holes > 1 else "a hole"
            raise UserError(f"{word} hides {holes} of {settings.share:.0%} of the pixels, {hidden} of {height * width} "
                            f"in images of {height}x{width}, which does not fit. Change objective_args.share or holes.")
        if self.corruption.colour and (channels != 3 or colourless(split.sample(LOOKED, spread=True))):
            raise UserError(f"{word} learns colours, and the images are grey. Give images in colour, or "
                            "another corruption.")
        if len(split) < 2:
            raise UserError(f"objective={self.recipe.objective} learns from many images, and the {split.name} split "
                            "has one.")

    def network(self, split: Split) -> keras.Model:
        """Build image (B, H, W, C) 0..255 -> pixels (B, H, W, C) float32, about 0..255; its luma stays under grey."""
        recipe = self.recipe
        if user_code.is_reference(recipe.model) or recipe.model not in zoo.MODELS:
            raise UserError(f"objective={recipe.objective} needs a model of images from the zoo. Received: "
                            f"{recipe.model}.")
        body = zoo.body(recipe.model, split.shape, **recipe.model_args)
        if "maps" not in body.output:
            raise UserError(f"objective={recipe.objective} needs a model whose last layer is a grid, such as cnn, "
                            f"resnet or vit. Received: {recipe.model}.")
        self.shown = split.sample(SHOWN)
        channels = 2 if self.corruption.colour else split.shape[2]
        answer = 127.5 * DECODERS[self.settings.decoder](body, self.settings.width, channels)
        if self.corruption.colour:
            pixels = fills.with_chroma(luma(ops.cast(body.input, "float32")), answer)
        else:
            pixels = answer + 127.5
        return keras.Model(body.input, pixels, name=recipe.model)

    def prepare(self, x: tf.Tensor, y: None, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return what the network sees, and images, what it sees and what is hidden side by side."""
        seen, hidden = self.corruption.corrupt(x, seed, self.settings)
        return seen, tf.concat([x, seen, hidden], axis=-1)

    def compute_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        """Return the mean squared error of what was hidden (B,), with pixels of 0..1; under grey that of Cb and Cr."""
        truth, _, hidden = parts(y)
        error = (y_pred - truth) / fills.PEAK
        error = fills.chroma(error) if self.corruption.colour else error
        total = ops.sum(ops.mean(ops.square(error), axis=-1, keepdims=True) * hidden, axis=(1, 2, 3))
        return total / ops.maximum(ops.sum(hidden, axis=(1, 2, 3)), 1.0)  # padding of an evaluation hides nothing

    def metrics(self) -> list[keras.metrics.Metric]:
        return [fills.Psnr(psnr_of)]

    def overall(self, score: str, y: np.ndarray, y_pred: np.ndarray) -> float:
        """Return the SSIM of the completed images."""
        found = []
        for start in range(0, len(y), fills.ROWS):
            truth, seen, hidden = numbers(y[start:start + fills.ROWS])
            filled = np.where(hidden > 0, y_pred[start:start + fills.ROWS], seen)
            found += [fills.ssim(truth, filled)] * len(truth)
        return float(np.mean(found))

    def facts(self, splits: Mapping[str, Split], answers: Callable[[Split], tuple[Any, Any]]) -> dict[str, Any]:
        """Return the scores of what fills the same holes without a network."""
        colour = None
        if self.corruption.colour:
            some = splits["train"].sample(COLOURS).astype("float32")
            colour = np.asarray(fills.chroma(some)).mean((0, 1, 2))
        found: dict[str, dict[str, Any]] = {}
        for name in ("val", "test"):
            y = answers(splits[name])[0]
            cells = np.split(y, bounds(y), axis=-1)
            for control, fill in fills.controls(self.corruption, colour).items():
                found.setdefault(control, {})[name] = fills.scored(fill, *cells)
        return {"controls": found}

    def preview(self, kept: keras.Model) -> Callable[[], np.ndarray]:
        """Return what draws some training images: as the network sees them, brought back, and as they were."""
        return lambda: self.sheet(kept, self.shown)

    def sheet(self, kept: keras.Model, images: np.ndarray) -> np.ndarray:
        """Return images (N, H, W, C) as one: a row as seen, a row brought back, and a row as they are."""
        seen, y = self.prepare(tf.constant(images), None, tf.zeros(2, tf.int64))
        truth, seen, hidden = numbers(y.numpy())
        filled = np.where(hidden > 0, ops.convert_to_numpy(kept(seen, training=False)), seen)
        rows = painting.whole_pixels(np.concatenate([seen, filled, truth]))
        return grid(enlarged(rows), len(images))

    def sections(self, findings: Findings) -> list[Section]:
        images = findings.splits("test").take(np.arange(min(SHOWN, len(findings.splits("test")))))[0]
        result, scores = findings.result, ("psnr", "ssim")
        rows = {"this network": result, **{name: one for name, one in result.get("controls", {}).items()}}
        cells = [(name, *(f"{one[split][score]:.4g}" for split in ("val", "test") for score in scores))
                 for name, one in rows.items() if "val" in one and "test" in one]
        head = ("", *(f"{split} {figures.label(score)}" for split in ("val", "test") for score in scores))
        encoder = features.means(findings.model())
        what = "chroma that the network adds to the luma" if self.corruption.colour else "pixels that were hidden"
        return [
            Section("Reconstructions", note(
                f"Test images of {findings.data}: what the network sees, what it makes of it, and the original.")
                + image(self.sheet(findings.model(), images), "corrupted, reconstructed and original images"),
                id="reconstructions", above=True),
            Section("Against controls", table(head, cells) + note(
                f"PSNR is that of the {what}, SSIM that of the completed image; both are means over images, and more "
                "is better. Controls see the same images with the same pixels hidden."), id="controls", above=True),
            film.section(findings.folder), *features.sections(encoder, findings, labels_seen=False)]

    def painted(self, kept: keras.Model, image: np.ndarray, hole: np.ndarray | None) -> painting.Painted:
        given = self.checked(kept, image, hole)
        if hole is not None:
            return self.filled(kept, given, hole)
        seen = given
        if self.corruption.colour:  # noise is there already
            seen = self.corruption.corrupt(tf.constant(given[None]), tf.zeros(2, tf.int64), self.settings)[0][0].numpy()
        what = "coloured, with the luma of the image," if self.corruption.colour else "denoised"
        how = f"{what} in tiles of {painting.shown(kept.input_shape[1:])} pixels that overlap by half"
        answer, everywhere = painting.tiled(kept, seen), (slice(None), slice(None))
        answer = painting.in_gamut(seen[..., :1].astype("float32"), answer) if self.corruption.colour else answer
        return painting.Painted(painting.whole_pixels(answer), seen, np.ones(given.shape[:2], bool), everywhere, how,
                                self.corruption)

    def filled(self, kept: keras.Model, given: np.ndarray, hole: np.ndarray) -> painting.Painted:
        """Return an image with its holes filled; all other pixels stay as they are."""
        seen = np.where(hole[..., None], np.uint8(GREY), given)
        answer, boxes = painting.filled(kept, seen, hole)
        part = tuple(slice(min(box[axis].start for box in boxes), max(box[axis].stop for box in boxes))
                     for axis in (0, 1))
        side, holes = kept.input_shape[1:3], f"{len(boxes):,} hole{'s' * (len(boxes) > 1)}"
        most = max(float(hole[box].mean()) for box in boxes)
        trained = self.corruption.count(side[0], side[1], self.settings) / (side[0] * side[1])
        how = (f"{hole.sum():,} pixels in {holes} filled, each from the {painting.shown(side)} pixels around it, of "
               f"which {most:.0%} are hidden at most; training hid {trained:.0%}")
        new = np.where(hole[..., None], painting.whole_pixels(answer), given)
        return painting.Painted(new, seen, hole, part, how, self.corruption)

    def checked(self, kept: keras.Model, image: np.ndarray, hole: np.ndarray | None) -> np.ndarray:
        """Return an image with the channels of the network, after a look at it and its mask.

        Raises:
            UserError: a mask that is missing or not wanted, an image that is too small, or of other channels.
        """
        word, channels = f"corruption={self.settings.corruption}", kept.input_shape[3]
        if self.corruption.holes and hole is None:
            raise UserError(f"The model fills holes ({word}), and nothing says where. Give an image whose hole is "
                            "white on black: --mask FILE")
        if not self.corruption.holes and hole is not None:
            raise UserError(f"The model changes the whole image ({word}). Leave out --mask.")
        painting.check_size(image, kept.input_shape[1:3])
        image = painting.in_channels(image, channels)
        if image.shape[2] != channels:
            was, wanted = ("grey" if number == 1 else f"of {number} channels" if number != 3 else "in colour"
                           for number in (image.shape[2], channels))
            raise UserError(f"The image is {was}, and the model takes images that are {wanted}. Convert it, or train "
                            "on such images.")
        return image

    def next_command(self, folder: Path) -> str:
        mask = " --mask MASK" if self.corruption.holes else ""
        return f"kerasdl paint {typed(folder)} IMAGE{mask} --out FILE.png"


def luma(images: Any) -> Any:
    """Return the luma of images (B, H, W, 3) in 0..255, (B, H, W, 1)."""
    red, green, blue = (weight * images[..., i:i + 1] for i, weight in enumerate(fills.LUMA))
    return red + green + blue


def bounds(y: Any) -> tuple[int, int]:
    """Return where in the channels of a target what the network sees begins, and what is hidden."""
    channels = (y.shape[-1] - 1) // 2
    return channels, 2 * channels


def parts(y: Any) -> tuple[Any, Any, Any]:
    """Return images, what the network sees of them, and what is hidden, of targets (B, H, W, 2C + 1), float32."""
    first, second = bounds(y)
    y = ops.cast(y, "float32")
    return y[..., :first], y[..., first:second], y[..., second:]


def numbers(y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the same as `parts` as NumPy has it."""
    truth, seen, hidden = np.split(y.astype("float32"), bounds(y), axis=-1)
    return truth, seen, hidden


def psnr_of(y: Any, y_pred: Any) -> Any:
    """Return the PSNR of what was hidden in each image, (B,)."""
    truth, _, hidden = parts(y)
    return fills.psnr(truth, y_pred, hidden)


def colourless(images: np.ndarray) -> bool:
    """Return whether all images (N, H, W, 3) have the same in each channel."""
    return bool(len(images)) and bool((images == images[..., :1]).all())
