"""Images from a folder: a folder for each class, or train, val and test folders with the classes inside.

Where no labels are needed, the class folders may be missing.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from kerasdl.data import image_files, images, layout
from kerasdl.data.chunks import Chunk, of_files
from kerasdl.data.divide import completed
from kerasdl.data.image_args import ImageArgs
from kerasdl.data.spec import Target, recorded_kind
from kerasdl.data.split import Split
from kerasdl.errors import DataError, nearest
from kerasdl.settings import parse


class Args(ImageArgs):
    """What data_args takes with folder:PATH."""

    group: int | str | None = Field(
        None, description="what keeps images in one split, such as those of a patient: 1 is the folder that an image "
                          "lies in, 2 the one above it; a text is a regular expression that is searched in its path")
    attributes: Annotated[list | tuple, "list"] = Field(
        (), description="what each image keeps for audits, a list of what group takes: the names of folders")


KIND, EXTENSIONS = "image", images.EXTENSIONS
NOUNS = ("images", "an image", "image files")
logger = logging.getLogger(__name__)


def read(path: str, *, target: Target | None = "class", **given: Any) -> dict[str, Split]:
    """Return the splits train, val and test of a folder of images, as viewers show them; see kerasdl.data.images.

    What was left out, and which folders were taken for parts, is logged.

    Args:
        path: PATH/<class>/*.png, or PATH/{train,val,test}/<class>/*.png. A part that is not there is carved from train.
        target: "class", or None where labels are not needed: then PATH/*.png and PATH/{train,val,test}/*.png are read
            too, with what is in folders below, as images without labels. Class folders still give labels.
        **given: fields of Args.

    Raises:
        DataError: naming the folder or file that is wrong: empty, broken, of another size, of other classes.
    """
    args = _checked(path, target, given)
    root = _root(path)
    roots = layout.unlabelled(root) if target is None else None
    files, labels, parts, classes = _find_images(roots, root, args.group) if roots else _find(
        root, args.group, learned=target is not None)
    for line in (layout.understood(root, roots or layout.roots(root)), layout.left_out(root, files)):
        if line:
            logger.warning(line)
    noted = {str(group): image_files.names_of(files, root, group) for group in args.attributes}
    whole = replace(image_files.split_of(files, labels, classes, args), attributes=noted)
    return image_files.divided(whole, files, root, parts)


def look(path: str, *, target: Target | None = None, **given: Any) -> None:
    """Find mistakes that `read` would find without looking at files: the folder, its class folders, the arguments."""
    _checked(path, target, given)
    root = _root(path)
    if target == "class":
        above = next(iter(layout.roots(root).values()))
        _check_classes(above, layout.class_names(above))


def look_for(facts: Mapping[str, Any], path: str, **_: Any) -> None:
    """Find mistakes that `read_for` would find without looking at files: the folder is not there."""
    _root(path)


def _checked(path: str, target: Target | None, given: dict[str, Any]) -> Args:
    """Return data_args as settings.

    Raises:
        DataError: settings that do not go together, or a target that a folder does not have.
    """
    if target in ("number", "labels"):
        what = "A number" if target == "number" else "Several labels"
        raise DataError(f"The target of folder:{path} is a class. {what} can be learned from a table that names the "
                        "images: data=csv:PATH data_args.image=COLUMN.")
    args = parse(Args, given, "data_args", "folder:PATH")
    args.check()
    return args


def _check_classes(above: Path, names: Collection[str]) -> None:
    if len(names) < 2:
        raise DataError(f"{above} has {len(names)} class folders. Expected a folder for each of at least two "
                        "classes. An objective that needs no labels takes images without class folders.")


def read_for(facts: Mapping[str, Any], path: str, split: str, /, *, target: Target | None = "class",
             classes: Sequence[str] | None = None, **given: Any) -> Split:
    """Return a part of a folder that a model was not trained on.

    Args:
        facts: of the run, its data.json.
        path: as in `read`.
        split: "train", "val" or "test" with the images that `read` gives them, or "all". Of any size, and of any of
            the classes.
        target: as in `read`.
        classes: those that the model was trained on, if it was trained on some only. Others are left out.
        **given: as in `read`. Without image_size, images are fitted as in training.

    Raises:
        DataError: as `read` does, and for a class that the model does not know.
    """
    if recorded_kind(facts) != KIND:
        raise DataError(f"The model takes {recorded_kind(facts)} data. Received images of a folder.")
    root, known, shape = _root(path), facts["classes"], tuple(facts["shape"])
    roots = layout.unlabelled(root) if target is None else None
    if "image_size" not in given and "fit" in (reading := facts.get("reading", {})):
        given = {"image_size": shape[:2], **reading["fit"], **given}
    args = _checked(path, target, given)
    if split == "all":
        files, labels = _files_for(known, roots, root, classes)
        return image_files.split_of(files, labels, () if labels is None else known, args, shape=shape)
    found, y, parts, own = _find_images(roots, root, args.group) if roots else _find(root, args.group, learned=False)
    files, labels, names = _part_of(found, y, parts, own, split, root, None if target is None else known, classes)
    noted = {str(group): image_files.names_of(files, root, group) for group in args.attributes}
    part = image_files.split_of(files, labels, names, args, shape=shape)
    return image_files.divided(replace(part, attributes=noted), files, root, {split: np.arange(len(files))})[split]


def _files_for(known: Sequence[str], roots: Mapping[str, Path] | None, root: Path, classes: Sequence[str] | None
               ) -> tuple[list[Path], np.ndarray | None]:
    """Return the images that a model with these classes can be evaluated on, and their labels if there are any."""
    if roots or not known:
        return [file for folder in (roots or {"all": root}).values() for file in layout.files(folder)], None
    files: list[Path] = []
    labels: list[int] = []
    for folder in layout.roots(root).values():
        for name, found in layout.classes(folder).items():
            if name in known:
                files += found
                labels += [known.index(name)] * len(found)
            elif classes is None:
                raise _unknown(name, known, root)
    if not files:
        raise DataError(f"{root} has no class folder of the model's: {', '.join(known)}.")
    return files, np.array(labels, "int32")


def _part_of(files: Sequence[Path], labels: np.ndarray | None, parts: Mapping[str, np.ndarray], own: Sequence[str],
             split: str, root: Path, known: Sequence[str] | None, classes: Sequence[str] | None
             ) -> tuple[list[Path], np.ndarray | None, Sequence[str]]:
    """Return the images of a part, their labels and the classes' names: those that a model knows, or, of a model
    without labels, their own. What is left out was divided, too, so that no image is in another part than in `read`."""
    if split not in parts:
        raise DataError(f"folder:{root} has the splits {', '.join(parts)}, all. Received: {split!r}.")
    index = parts[split]
    if labels is None or known is None:
        return [files[place] for place in index], None if labels is None else labels[index], own
    if classes is None and (unknown := [name for name in own if name not in known]):
        raise _unknown(unknown[0], known, root)
    names = [own[label] for label in labels[index]]
    found = [(files[place], known.index(name)) for place, name in zip(index, names, strict=True) if name in known]
    if not found:
        raise DataError(f"The part {split} of {root} has no image of the model's classes: {', '.join(known)}.")
    return [file for file, _ in found], np.array([label for _, label in found], "int32"), known


def _unknown(name: str, known: Sequence[str], root: Path) -> DataError:
    return DataError(f"The classes of {root} differ: the model does not know {name!r}. {nearest(name, known)}")


def read_files(files: Iterable[Path], facts: Mapping[str, Any], *, resize: bool = False, **_: Any) -> Iterator[Chunk]:
    """Yield the pixels of image files, uint8, as a model takes them: fitted as those that it was trained on.

    Where those were not fitted, images of another size are refused, or resized if `resize`.

    Raises:
        DataError: for a model of other images than grey ones or those of three colours.
    """
    height, width, channels = facts["shape"]
    reading = facts.get("reading", {})
    ends, fit = images.checked_range(reading.get("value_range")), images.Fit.of(reading)
    fit = images.Fit() if fit is None and resize else fit
    if channels not in (1, 3):
        raise DataError(f"The model takes images of {channels} channels, and a file gives 1 or 3. Give .npy files, or "
                        "arrays from Python: kerasdl.evaluation.predict.predict(run, x).")

    def read(file: Path) -> np.ndarray:
        try:
            image = images.read_raw(file, ends)
        except DataError:
            layout.check_format([file])
            raise
        if image.shape[:2] != (height, width) and fit is None:
            raise DataError(f"{file} is {image.shape[0]}x{image.shape[1]}; the model takes {height}x{width}. "
                            "Resize it, or pass --resize.")
        return images.fitted(image, (height, width, channels), fit)

    return of_files(files, read, (height, width, channels))


def _find(root: Path, group: int | str | None, learned: bool = True
          ) -> tuple[list[Path], np.ndarray, dict[str, np.ndarray], tuple[str, ...]]:
    """Return all images, their labels, the indices of each part, and the classes.

    Args:
        learned: whether the classes are learned, so that there are several, and each is in every part.
    """
    roots = layout.roots(root)
    listed = {part: layout.classes(folder, learned) for part, folder in roots.items()}
    classes = tuple(sorted(set().union(*listed.values())))
    if learned:
        _check_parts(roots, listed)
    elif not classes:
        raise DataError(f"{root} has no class folders.")
    files: list[Path] = []
    indices: list[int] = []
    places: list[str] = []
    for part, found in listed.items():
        for index, name in enumerate(classes):
            files += found.get(name, [])
            indices += [index] * len(found.get(name, []))
            places += [part] * len(found.get(name, []))
    labels = np.array(indices, "int32")
    groups = image_files.groups_of(files, root, group)
    return files, labels, _parts(labels, np.array(places), classes, groups, learned), classes


def _check_parts(roots: Mapping[str, Path], listed: Mapping[str, Collection[str]]) -> None:
    """Raise a DataError for less than two classes, or for one that is not in every part."""
    above, classes = next(iter(roots.values())), next(iter(listed.values()))
    _check_classes(above, classes)
    for part, found in listed.items():
        if differing := sorted(set(found) ^ set(classes)):
            where, other = (roots[part], "train") if differing[0] in found else (roots["train"], part)
            raise DataError(f"The class {differing[0]!r} is in {where} but not in {other}.")


def _root(path: str) -> Path:
    if not (root := Path(path).expanduser()).is_dir():
        raise DataError(f"There is no folder {str(root)!r}. Give the images as data=folder:PATH.")
    return root


def _find_images(roots: Mapping[str, Path], root: Path, group: int | str | None
                 ) -> tuple[list[Path], None, dict[str, np.ndarray], tuple[str, ...]]:
    """Return the images without labels, as `_find` those with."""
    listed = {part: layout.files(folder) for part, folder in roots.items()}
    place = np.repeat(list(listed), [len(files) for files in listed.values()])
    files = [file for found in listed.values() for file in found]
    groups = image_files.groups_of(files, root, group)
    return files, None, _parts(np.arange(len(place)), place, None, groups), ()


def _parts(labels: np.ndarray, place: np.ndarray, classes: Sequence[str] | None, groups: np.ndarray | None,
           learned: bool = True) -> dict[str, np.ndarray]:
    parts = {part: np.flatnonzero(place == part) for part in ("val", "test") if (place == part).any()}
    return completed(parts, np.flatnonzero((place == "train") | (place == "all")), labels, classes, groups,
                     learned=learned)
