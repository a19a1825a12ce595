"""Images from a folder: a folder a class, or train, val and test folders with the classes inside."""

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasdl.data.split import Split, divide, height_width
from kerasdl.errors import UserError, nearest

FORMATS = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
OTHERS = (".webp", ".tif", ".tiff", ".heic", ".avif", ".jfif", ".jp2", ".ppm", ".pgm")  # that are not decoded
LOOKS = 100  # files that are looked at for their channels
ALIASES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
           "testing": "test"}
MEMORY = 2 * 2**30  # bytes of decoded pixels that are kept in memory; above, files are decoded as they are used


def read(path: str, *, image_size: Sequence[int] | None = None) -> dict[str, Split]:
    """Splits train, val and test of a folder of PNG, JPEG, BMP and GIF files (of a GIF, the first frame).

    Args:
        path: PATH/<class>/*.png, or PATH/{train,val,test}/<class>/*.png. A part that is not there is carved from train.
        image_size: (height, width) to resize to; by default all must have the same size.

    Raises:
        UserError: naming the folder or file that is wrong: empty, broken, of another size, of other classes.
    """
    files, labels, parts, classes = _find(_root(path))
    images, decode = _images(files, shape := _measure(files, image_size), image_size)
    inside = np.array([os.fsencode(file.relative_to(path)) + b":%d" % file.stat().st_size for file in files])
    return {name: Split(name, images[index], labels[index], shape, len(index), classes, decode=decode,
                        checksum=zlib.crc32(b"/".join(inside[index])))
            for name, index in parts.items()}


def read_for(model: Mapping[str, Any], path: str, *, image_size: Sequence[int] | None = None,
             classes: Sequence[str] | None = None) -> Split:
    """All images of a folder, of any size, that a model was not trained on. Not every class of it need be there.

    Args:
        model: what its training set says of itself, `Split.describe`.
        path: as in `read`.
        image_size: that of the model, if images were brought to it; by default all must have it.
        classes: those that the model was trained on, if it was trained on some only. Others are left out.

    Raises:
        UserError: as `read` does, and for a class that the model does not know.
    """
    known, files, labels = model["classes"], [], []
    for folder in _roots(_root(path)).values():
        for name, found in _classes(folder).items():
            if name in known:
                files += found
                labels += [known.index(name)] * len(found)
            elif classes is None:
                raise UserError(f"The classes of {path} differ: the model does not know {name!r}. "
                                f"{nearest(name, known)}")
    if not files:
        raise UserError(f"{path} has no class folder of the model's: {', '.join(known)}.")
    images, decode = _images(files, shape := tuple(model["shape"]), image_size)
    return Split("all", images, np.array(labels, "int32"), shape, len(files), tuple(known), decode=decode)


def _images(files: Sequence[Path], shape: tuple[int, ...], image_size: Sequence[int] | None
            ) -> tuple[np.ndarray, Callable | None]:
    """The files' images and None, or of too many for MEMORY their names and what reads one."""
    def decode(name):
        return _decode(tf.io.read_file(name), shape, resize=image_size is not None)

    if len(files) * np.prod(shape) > MEMORY:
        return np.array([os.fsencode(file) for file in files]), decode  # a name need not be UTF-8
    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(lambda file: load_image(file, shape, image_size), files))), None


def read_images(paths: Sequence[str | Path], shape: Sequence[int], resize: bool = False) -> np.ndarray:
    """Image files as a model of this input shape takes them: uint8 (N, H, W, C).

    Raises:
        UserError: for a file that is missing, broken, or of another size unless `resize`; for a model of other images
            than grey ones or those of three colours.
    """
    size = tuple(shape[:2])
    if shape[2] not in (1, 3):
        raise UserError(f"The model takes images of {shape[2]} channels, and a file gives 1 or 3. "
                        "Use run.model().predict(x).")
    images = []
    for path in map(Path, paths):
        if not path.is_file():
            raise UserError(f"There is no file {str(path)!r}.")
        image = _raw(path)
        if image.shape[:2] != size and not resize:
            raise UserError(f"{path} is {image.shape[0]}x{image.shape[1]}; the model takes {size[0]}x{size[1]}. "
                            "Resize it, or pass --resize.")
        images.append(load_image(path, tuple(shape), size if resize else None))
    return np.stack(images)


def _find(root: Path) -> tuple[list[Path], np.ndarray, dict[str, np.ndarray], tuple[str, ...]]:
    roots = _roots(root)
    listed = {part: _classes(folder) for part, folder in roots.items()}
    above, classes = next(iter(roots.values())), tuple(next(iter(listed.values())))
    if len(classes) < 2:
        raise UserError(f"{above} has {len(classes)} class folders. Expected a folder for each of at least two "
                        "classes.")
    for part, found in listed.items():
        if differing := sorted(set(found) ^ set(classes)):
            where, other = (roots[part], "train") if differing[0] in found else (roots["train"], part)
            raise UserError(f"The class {differing[0]!r} is in {where} but not in {other}.")
    files: list[Path] = []
    indices: list[int] = []
    places: list[str] = []
    for part, found in listed.items():
        for index, name in enumerate(classes):
            files += found[name]
            indices += [index] * len(found[name])
            places += [part] * len(found[name])
    labels = np.array(indices, "int32")
    return files, labels, _parts(labels, np.array(places), classes), classes


def _root(path: str) -> Path:
    if not (root := Path(path)).is_dir():
        raise UserError(f"There is no folder {str(root)!r}. Give the images as data=folder:PATH.")
    return root


def _roots(root: Path) -> dict[str, Path]:
    """The folders that hold class folders: "train" and what else there is of the parts, or "all" for the root itself.

    A folder of pictures that is called as a part is, such as "train" beside "bus", is a class.
    """
    parts: dict[str, Path] = {}
    for folder in _folders(root):
        part = ALIASES.get(folder.name.lower())
        if part is None or not _folders(folder):
            continue
        if part in parts:
            raise UserError(f"{root} has two folders for {part}, {parts[part].name!r} and {folder.name!r}. Leave one.")
        parts[part] = folder
    if not parts:
        return {"all": root}
    if "train" not in parts:
        raise UserError(f"{root} has a folder {next(iter(parts.values())).name!r} but no folder 'train'.")
    return {"train": parts.pop("train"), **parts}


def _parts(labels: np.ndarray, place: np.ndarray, classes: Sequence[str]) -> dict[str, np.ndarray]:
    parts = {part: np.flatnonzero(place == part) for part in ("val", "test") if (place == part).any()}
    rest = np.flatnonzero((place == "train") | (place == "all"))
    if "val" in parts and "test" in parts:
        return {"train": rest, **parts}
    carved = {name: rest[index] for name, index in divide(labels[rest], classes, "test" not in parts).items()}
    if "val" in parts:  # the folder's own validation part stays, and the one just carved goes back to train
        carved["train"] = np.sort(np.concatenate([carved["train"], carved.pop("val")]))
    return {**carved, **parts}


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not _beside(path.name))


def _beside(name: str) -> bool:
    """Whether it is what systems put beside pictures: thumbnails, checkpoints, "._0.png"."""
    return name.startswith(".") or name == "__MACOSX"


def _classes(root: Path) -> dict[str, list[Path]]:
    found = {}
    for folder in _folders(root):
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in FORMATS + OTHERS
                       and path.is_file() and not any(map(_beside, path.relative_to(folder).parts)))
        if wrong := [path for path in files if path.suffix.lower() in OTHERS]:
            raise UserError(f"{wrong[0]} is of a format that is not read ({len(wrong)} such "
                            f"file{'s' * (len(wrong) > 1)}). Convert or remove it. Read are: {', '.join(FORMATS)}.")
        if not files:
            raise UserError(f"The class folder {folder} has no images ({', '.join(FORMATS)}).")
        found[folder.name] = files
    return found


def _measure(files: list[Path], image_size: Sequence[int] | None) -> tuple[int, int, int]:
    """Height and width as asked for or as the first file has them; one channel if all that are looked at are grey."""
    size = _raw(files[0]).shape[:2] if image_size is None else height_width(image_size)
    grey = all(_raw(file).shape[2] <= 2 for file in files[::max(1, len(files) // LOOKS)])
    return *size, 1 if grey else 3


def _raw(path: Path) -> np.ndarray:
    """The image as the file has it, (H, W, channels)."""
    try:
        return tf.io.decode_image(tf.io.read_file(os.fsencode(path)), expand_animations=False).numpy()
    except tf.errors.InvalidArgumentError:
        raise UserError(f"{path} does not decode as an image. Mend or remove it.") from None
    except tf.errors.OpError as error:
        raise UserError(f"{path} cannot be read: {error.message.rpartition('; ')[2]}.") from None


def load_image(path: Path, shape: tuple[int, ...], image_size: Sequence[int] | None) -> np.ndarray:
    image = _raw(path)
    if image_size is None and image.shape[:2] != shape[:2]:
        raise UserError(f"{path} is {image.shape[0]}x{image.shape[1]}, where {shape[0]}x{shape[1]} was expected. "
                        "To bring all images to one size, pass data_args.image_size=(H, W).")
    return _conform(tf.constant(image), shape, image_size is not None).numpy()


def _decode(data: tf.Tensor, shape: tuple[int, ...], resize: bool) -> tf.Tensor:
    return _conform(tf.io.decode_image(data, expand_animations=False), shape, resize)


def _conform(image: tf.Tensor, shape: tuple[int, ...], resize: bool) -> tf.Tensor:
    """To the number of channels (alpha dropped, grey repeated, colour made grey) and the size of `shape`."""
    size, channels = tf.shape(image)[:2], tf.shape(image)[2]  # unknown until the file is read
    colour = tf.broadcast_to(image[..., : tf.where(channels <= 2, 1, 3)], tf.concat([size, [3]], 0))
    image = colour if shape[2] == 3 else tf.cond(
        channels <= 2, lambda: image[..., :1], lambda: tf.image.rgb_to_grayscale(colour))
    if resize:
        image = tf.cast(tf.round(tf.clip_by_value(
            tf.image.resize(image, shape[:2], antialias=True), 0, 255)), "uint8")
    return tf.ensure_shape(image, shape)
