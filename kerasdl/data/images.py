"""Image files as examples: what a viewer shows, of one size and number of channels. What would be lost is refused.

A photograph is turned as its EXIF says, colours with a profile become sRGB, and what is transparent lies over white.
Values of more than 8 bits need a range that becomes 0..255: nobody can know whether 4095 is white. TensorFlow is
imported where it is used, so that a missing file is reported without it.
"""

import io
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image, ImageCms

from kerasdl.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf

EXTENSIONS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif", ".jp2",
              ".ppm", ".pgm", ".pbm", ".pnm")
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # modes of more than 8 bits
ORIENTATION = 274  # the EXIF tag
TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
         5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
         8: Image.Transpose.ROTATE_90}  # by its value
WHITE = 255
Range = tuple[float, float]
Interpolation = Literal["bilinear", "bicubic"]
DEEP_COLOURS = re.compile(r";16[BLN]")  # in the raw mode of colours of 16 bits each; a BMP of 5-6-5 bits is BGR;16


@dataclass(frozen=True)
class Fit:
    """How an image of any size gets the size of an example.

    Attributes:
        crop: None: the whole image, whose proportions may change. Else the image is resized until the example covers
            this share of it, 0 to 1, and the centre is kept, as timm does to evaluate: of squares of 224 pixels and
            0.875 the shorter side becomes 256.
        interpolation: "bilinear" or "bicubic", both with an antialiasing filter, as Pillow has them.
    """

    crop: float | None = None
    interpolation: Interpolation = "bilinear"

    @classmethod
    def of(cls, reading: Mapping[str, Any]) -> "Fit | None":
        """Return how a split's examples were fitted, from its `reading`; None if they were not."""
        return cls(**reading["fit"]) if "fit" in reading else None

    def covered(self, height: Any, width: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
        """Return the height and width that an image gets before its centre is cut; tensors or whole numbers."""
        import tensorflow as tf

        rows, columns = shape[:2]
        if self.crop is None:
            return rows, columns
        wide = tf.cast(height * columns, "int64") <= tf.cast(width * rows, "int64")  # the height decides
        inner, outer = int(rows / self.crop), int(columns / self.crop)
        return (tf.where(wide, inner, tf.maximum(rows, outer * height // width)),
                tf.where(wide, tf.maximum(columns, inner * width // height), outer))


def read_raw(path: Path, value_range: Range | None = None) -> np.ndarray:
    """Return an image file as viewers show it, uint8 (H, W, 1 or 3); of several frames the first.

    Args:
        path: the file.
        value_range: of a file of more than 8 bits, the values that become 0 and 255; those beyond are clipped. Files of
            8 bits stay as they are.

    Raises:
        DataError: the file cannot be read, does not decode, has values of more than 8 bits and there is no range, or
            shows nothing on white.
    """
    with decoding(path), open(path, "rb") as file:
        if file.read(3) == b"\xff\xd8\xff":
            from kerasdl.data import jpeg

            file.seek(0)
            if (pixels := jpeg.read(file.read())) is not None:
                return pixels
        file.seek(0)
        with Image.open(file) as image:
            return shown(image, path, value_range)


@contextmanager
def decoding(name: Path | str) -> Iterator[None]:
    """Within it, what goes wrong with an image file becomes a DataError that calls it `name`."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"There is no file {str(name)!r}.") from None
    except Image.DecompressionBombError:
        raise DataError(f"{name} is larger than Pillow reads. Make it smaller.") from None
    except OSError as error:
        if error.errno:
            raise DataError(f"{name} cannot be read: {error.strerror}.") from None
        raise DataError(f"{name} does not decode as an image. Mend or remove it.") from None
    except (ValueError, TypeError, SyntaxError, EOFError, RuntimeError, struct.error, ImageCms.PyCMSError):  # of Pillow
        raise DataError(f"{name} does not decode as an image. Mend or remove it.") from None


def shown(image: Image.Image, path: Path, value_range: Range | None) -> np.ndarray:
    """Return the pixels of an opened file, uint8 (H, W, 1 or 3); see `read_raw`."""
    if image.mode in DEEP or has_deep_colours(image):
        return _scaled(_deep_values(image, path), path, value_range)
    image = turned(image)
    if image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        image = _over_white(image, path)
    elif image.mode not in ("L", "RGB"):
        image = _in_srgb(image) if image.mode == "CMYK" else image.convert("L" if image.mode == "1" else "RGB")
    if image.mode == "RGB" and image.info.get("icc_profile"):
        image = _in_srgb(image)
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def turned(image: Image.Image) -> Image.Image:
    """Return an opened file as its EXIF orientation says.

    Pillow's own exif_transpose writes all EXIF anew, and fails of one tag that is not of its type.
    """
    image.load()  # which turns a TIFF already
    method = TURNS.get(image.getexif().get(ORIENTATION, 1))
    return image if method is None else image.transpose(method)


def has_deep_colours(image: Image.Image) -> bool:
    """Return whether an opened file has colours of 16 bits each: Pillow reads them as 8, and says so only in how it
    calls what a pixel is stored as, "RGB;16B", or by the largest value of a PNM file."""
    _, args = _tile(image)
    raw = str(args[0] if isinstance(args, tuple) and args else args)
    return bool(DEEP_COLOURS.search(raw)) or image.mode != "I" and (_largest_of_pnm(image) or 0) > WHITE


def _tile(image: Image.Image) -> tuple[str, Any]:
    """Return by what codec an opened file is decoded, and the codec's arguments; "" both once it is."""
    tiles = getattr(image, "tile", None)
    return (tiles[0][0], tiles[0][3]) if tiles else ("", "")


def _largest_of_pnm(image: Image.Image) -> int | None:
    """Return the largest value of an opened PNM file, which Pillow stretches to 255 or 65535 as it decodes; else None.
    """
    codec, args = _tile(image)
    return args[1] if codec in ("ppm", "ppm_plain") and isinstance(args, tuple) else None


def _deep_values(image: Image.Image, path: Path) -> np.ndarray:
    """Return the numbers of a file of more than 8 bits, (H, W, 1 or 3)."""
    if image.mode in DEEP:
        largest = _largest_of_pnm(image)  # before the file is decoded
        values = np.asarray(turned(image))[..., None]
        return values if largest is None else np.round(values * (largest / 65535))
    if image.getexif().get(ORIENTATION, 1) != 1:
        raise DataError(f"{path} has colours of 16 bits and an EXIF orientation. Turn it, and save it without.")
    import tensorflow as tf

    try:  # TensorFlow reads the 16 bits of colours in a PNG
        values = tf.io.decode_png(path.read_bytes(), dtype=tf.uint16).numpy()
        if values.shape[2] in (2, 4) and (values[..., -1] < 65535).any():
            raise DataError(f"{path} has 16-bit colours and transparency, which cannot be read together. Put it on a "
                            "background, and save it without.")
        return values[..., : 1 if values.shape[2] <= 2 else 3]
    except tf.errors.InvalidArgumentError:
        raise DataError(f"{path} has colours of 16 bits, which are read from PNG files only. Convert it.") from None


def _scaled(values: np.ndarray, path: Path, value_range: Range | None) -> np.ndarray:
    """Return values with the range made 0..255, uint8 (H, W, 1 or 3)."""
    if value_range is None:
        least, most = (f"{end:.6g}" for end in (values.min(), values.max()))
        raise DataError(f"{path} has values of more than 8 bits, here {least}..{most}. Say which range becomes 0..255: "
                        "data_args.value_range='(0, 4095)' if they have 12 bits, '(0, 65535)' if 16.")
    low, high = value_range
    if not np.isfinite(values).all():
        raise DataError(f"{path} has a value that is infinite or no number.")
    return np.clip(np.round((values.astype("float64") - low) / (high - low) * 255), 0, 255).astype("uint8")


def _over_white(image: Image.Image, path: Path) -> Image.Image:
    """Return an image with transparency laid over white, grey if it is grey.

    Raises:
        DataError: nothing is seen there, because what is drawn is white, too.
    """
    grey = image.mode in ("L", "LA", "La", "1")
    layers = image.convert("RGBA")
    ground = Image.new("RGBA", layers.size, (WHITE, WHITE, WHITE, 255))
    shown = Image.alpha_composite(ground, layers)
    low, high = layers.getchannel("A").getextrema()
    if low != high and all(ends == (WHITE, WHITE) for ends in shown.convert("RGB").getextrema()):
        raise DataError(f"{path} is white on a transparent ground, and nothing is seen on white. Lay it over a ground.")
    found = shown.convert("L" if grey else "RGB")
    if profile := image.info.get("icc_profile"):
        found.info["icc_profile"] = profile
    return found


def _in_srgb(image: Image.Image) -> Image.Image:
    """Return RGB or CMYK as sRGB, by the profile in the file if there is one."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image.convert("RGB")
    try:
        found = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(found):
            return image
        return ImageCms.profileToProfile(image, found, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError):  # a profile that is broken, or of other channels: viewers ignore it
        return image.convert("RGB")


def load_image(path: Path, shape: tuple[int, ...], fit: Fit | None, value_range: Range | None = None) -> np.ndarray:
    """Return an image file as an example, uint8 of this shape.

    Raises:
        DataError: as `read_raw` does, and for another size if there is no `fit`.
    """
    image = read_raw(path, value_range)
    if fit is None and image.shape[:2] != shape[:2]:
        raise DataError(f"{path} is {image.shape[0]}x{image.shape[1]}, where {shape[0]}x{shape[1]} was expected. "
                        "To bring all images to one size, pass data_args.image_size=(H, W).")
    return fitted(image, shape, fit)


def fitted(image: np.ndarray, shape: tuple[int, ...], fit: Fit | None) -> np.ndarray:
    """Return what `conform` makes of an array; one that has the shape and is not cropped is returned as it is."""
    as_it_is = image.shape == tuple(shape) and (fit is None or fit.crop is None)
    return image if as_it_is else _fitting(tuple(shape), fit)(image).numpy()


@lru_cache
def _fitting(shape: tuple[int, ...], fit: Fit | None) -> Callable:
    """Return `conform` compiled for any image: op by op it takes twice as long."""
    import tensorflow as tf

    return tf.function(lambda image: conform(image, shape, fit),
                       input_signature=[tf.TensorSpec((None, None, None), "uint8")], autograph=False)


def decode(name: "tf.Tensor", shape: tuple[int, ...], fit: Fit | None, value_range: Range | None = None
           ) -> "tf.Tensor":
    """Return the image file of this name (a string tensor) as an example, uint8 of this shape. For a graph."""
    import tensorflow as tf

    from kerasdl.data import jpeg

    def read(file: bytes | np.ndarray) -> np.ndarray:
        return read_raw(Path(os.fsdecode(file.item() if isinstance(file, np.ndarray) else file)), value_range)

    def as_viewers_do() -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(read, [name], tf.uint8), (None, None, None))

    image = jpeg.pixels(tf.io.read_file(name))
    return conform(tf.cond(tf.size(image) > 0, lambda: image, as_viewers_do), shape, fit)


def conform(image: "tf.Tensor", shape: tuple[int, ...], fit: Fit | None) -> "tf.Tensor":
    """Return an image with the channels (grey repeated, colour made grey) and, by `fit`, the size of `shape`."""
    import tensorflow as tf

    grey = tf.shape(image)[2] == 1  # unknown until the file is read
    if shape[2] == 3:
        image = tf.cond(grey, lambda: tf.repeat(image, 3, axis=2), lambda: image)
    else:
        image = tf.cond(grey, lambda: image,
                        lambda: tf.image.rgb_to_grayscale(tf.ensure_shape(image, (None, None, 3))))
    if fit is not None:
        image = resized(image, shape, fit)
    return tf.ensure_shape(image, shape)


def resized(image: "tf.Tensor", shape: tuple[int, ...], fit: Fit) -> "tf.Tensor":
    """Return the image with the height and width of `shape`, uint8."""
    import tensorflow as tf

    def whole(pixels: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.round(tf.clip_by_value(pixels, 0, 255)), "uint8")

    if fit == Fit():
        return whole(tf.image.resize(image, shape[:2], antialias=True))
    height, width = fit.covered(tf.shape(image)[0], tf.shape(image)[1], shape)
    for size in ((tf.shape(image)[0], width), (height, width)):  # as Pillow: columns first, and whole numbers between
        image = whole(tf.image.resize(image, size, fit.interpolation, antialias=True))
    if fit.crop is not None:
        top, left = (tf.cast(tf.round((held - side) / 2), "int32")
                     for held, side in zip((height, width), shape, strict=False))
        image = image[top:top + shape[0], left:left + shape[1]]
    return image


def height_width(image_size: Sequence[int] | int) -> tuple[int, int]:
    """Return the image_size of a recipe, (height, width) or one number for both, as (height, width).

    Raises:
        DataError: anything else.
    """
    size = tuple(image_size) if isinstance(image_size, (list, tuple)) else (image_size,) * 2
    if len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise DataError(f"image_size must be (height, width). Received: {image_size!r}.")
    return size


def checked_range(value_range: Sequence[float] | None) -> Range | None:
    """Return the value_range of a recipe as (low, high).

    Raises:
        DataError: anything else than two numbers, the smaller one first.
    """
    if value_range is None:
        return None
    ends = tuple(value_range) if isinstance(value_range, (list, tuple)) else ()
    if len(ends) != 2 or not all(type(end) in (int, float) for end in ends) or not ends[0] < ends[1]:
        raise DataError(f"value_range is (low, high), the values that become 0 and 255. Received: {value_range!r}.")
    return ends
