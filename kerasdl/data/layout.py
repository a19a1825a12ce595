"""What a folder of images means: its parts, its classes, their files, and what is left out, counted and named."""

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kerasdl.data.images import EXTENSIONS
from kerasdl.errors import DataError

PARTS = {"train": "train", "training": "train", "trn": "train", "val": "val", "valid": "val", "validation": "val",
         "dev": "val", "test": "test", "testing": "test", "tst": "test"}
FILLERS = {"set", "sets", "data", "dataset", "image", "images", "img", "imgs", "split", "seg", "folder", "pictures"}
SYSTEMS = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "@recycle", "@recently-snapshot", "#snapshot",
           "system volume information", "lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
OTHERS = (".heic", ".heif", ".jxl", ".psd", ".svg", ".raw", ".nef", ".cr2", ".dng", ".dcm")  # images that are not read
SHOWN = 3  # names in a line


def is_system(name: str) -> bool:
    """Return whether a file or folder is what systems add: thumbnails, bins, checkpoints, "._0.png"."""
    return name.startswith(".") or name.lower() in SYSTEMS


def part_of(name: str) -> str | None:
    """Return which part a folder's name says it is, "train" for training_set or seg_train; None if it names none."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word and word not in FILLERS]
    joined = [re.sub(rf"({'|'.join(sorted(FILLERS, key=len, reverse=True))})$", "", word) or word for word in words]
    return PARTS.get(joined[0]) if len(joined) == 1 else None


def folders(root: Path) -> list[Path]:
    """Return the folders in one, links too, sorted, without those of systems."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not is_system(path.name))


def unwrapped(root: Path) -> Path:
    """Return the folder in which the classes or parts begin: below folders that hold one folder of folders alone."""
    below = folders(root)
    while len(below) == 1 and not holds_images(root) and (inner := folders(below[0])) \
            and (len(inner) > 1 or not part_of(below[0].name) or part_of(inner[0].name)):
        root, below = below[0], inner
    return root


def holds_images(folder: Path) -> bool:
    """Return whether an image lies in a folder itself."""
    return any(is_image(path) and not is_system(path.name) and path.is_file() for path in folder.iterdir())


def is_image(path: Path) -> bool:
    """Return whether a file has the ending of an image, also of a format that is not read."""
    return path.suffix.lower() in EXTENSIONS + OTHERS


def roots(root: Path) -> dict[str, Path]:
    """Return the folders that hold class folders: "train" and the other parts, or "all" for the root itself.

    A folder of images that has the name of a part, such as "train" next to "bus", is a class.

    Raises:
        DataError: as `named` does, and for classes that hold parts, such as cat/train and cat/test.
    """
    root = unwrapped(root)
    parts = [folder for folder in folders(root) if part_of(folder.name) and folders(folder)]
    if not parts:
        _refuse_parts_within_classes(root)
    return named(root, parts) or {"all": root}


def _refuse_parts_within_classes(root: Path) -> None:
    """Raise a DataError for parts within the class folders, cat/train and cat/test, which would be divided anew."""
    below = folders(root)
    inner = [folders(folder) for folder in below if not holds_images(folder)]
    parts = {part_of(folder.name) for some in inner for folder in some}
    if len(inner) == len(below) and all(inner) and len(parts) > 1 and None not in parts:
        name, part = below[0].name, inner[0][0].name
        raise DataError(f"{root} has parts within its classes, such as {name}/{part}. Expected classes within parts: "
                        f"move those images to {part}/{name}, and so on.")


def unlabelled(root: Path) -> dict[str, Path] | None:
    """Return the folders of images without labels: "train" and the other parts, or "all"; None for class folders.

    Folders that all have names of parts and hold images are parts here. A folder that holds images itself, or less than
    two folders, has no class folders.
    """
    root = unwrapped(root)
    below = folders(root)
    if below and all(part_of(folder.name) and holds_images(folder) for folder in below):
        return named(root, below)
    found = roots(root)
    classes = all(len(folders(folder)) > 1 and not holds_images(folder) for folder in found.values())
    return None if classes else found


def named(root: Path, below: Sequence[Path]) -> dict[str, Path]:
    """Return these folders by the part that each is, "train" first.

    Raises:
        DataError: two folders for one part, or none for train.
    """
    parts: dict[str, Path] = {}
    for folder in below:
        part = part_of(folder.name) or ""
        if part in parts:
            raise DataError(f"{root} has two folders for {part}, {parts[part].name!r} and {folder.name!r}. Leave one.")
        parts[part] = unwrapped(folder)
    if parts and "train" not in parts:
        raise DataError(f"{root} has a folder {next(iter(parts.values())).name!r} but no folder 'train'.")
    return {"train": parts.pop("train"), **parts} if parts else {}


def classes(root: Path, learned: bool = True) -> dict[str, list[Path]]:
    """Return the images of each class folder, by its name. Names that are equal up to Unicode's form are one class.

    Args:
        root: the folder above them.
        learned: whether the classes are learned, so that a folder without images is a mistake; else it is left out.

    Raises:
        DataError: as `files` does.
    """
    found: dict[str, list[Path]] = {}
    for folder in folders(root):
        if learned or any(is_image(path) for path in walk(folder)):
            found.setdefault(unicodedata.normalize("NFC", folder.name), []).extend(files(folder, "class folder"))
    return dict(sorted(found.items()))


def class_names(root: Path) -> set[str]:
    """Return the names of the classes that `classes` gives, without looking for their images."""
    return {unicodedata.normalize("NFC", folder.name) for folder in folders(root)}


def files(folder: Path, what: str = "folder") -> list[Path]:
    """Return the images in a folder and below, sorted by path.

    Raises:
        DataError: an image of a format that is not read, or no image.
    """
    found = files_of_any_format(folder, what)
    check_format(found)
    return found


def check_format(found: Sequence[Path]) -> None:
    """Raise a DataError if some of these images are of a format that is not read."""
    if wrong := [path for path in found if path.suffix.lower() in OTHERS]:
        raise DataError(f"{wrong[0]} is of a format that is not read ({len(wrong)} such "
                        f"file{'s' * (len(wrong) > 1)}). Convert or remove it. Read are: {', '.join(EXTENSIONS)}.")


def files_of_any_format(folder: Path, what: str = "folder") -> list[Path]:
    """Return the images in a folder and below, sorted by path, also those of a format that is not read.

    Raises:
        DataError: no image.
    """
    found = sorted(path for path in walk(folder) if is_image(path))
    if not found:
        raise DataError(f"The {what} {folder} has no images ({', '.join(EXTENSIONS)}).")
    return found


def walk(folder: Path, systems: bool = False) -> Iterator[Path]:
    """Yield the files in a folder and below, through links, each folder once.

    Args:
        systems: whether to yield what systems added, too.
    """
    seen: set[str] = set()
    for place, below, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if systems or not is_system(name))
        yield from (Path(place, name) for name in sorted(names) if systems or not is_system(name))


def left_out(root: Path, read: Sequence[Path]) -> str:
    """Return a sentence on the files below a folder that were not read, by reason; "" if there are none.

    Args:
        root: the folder that was asked for.
        read: the files that were read.
    """
    known = set(read)
    reasons: dict[str, tuple[int, str]] = {}
    for path in walk(root, systems=True):
        if path in known:
            continue
        inside = path.relative_to(root)
        system = next((part for part in inside.parts if is_system(part)), None)
        if system and (system.startswith(".") or path.name.lower() in SYSTEMS):
            continue  # hidden files are nobody's images
        suffix = path.suffix.lower()
        reason = f"in {system}" if system else f"without a suffix, such as {inside}" if not suffix \
            else f"in {inside.parts[0]}/" if suffix in EXTENSIONS else f"{suffix}, such as {inside}"
        key = reason.partition(", such as ")[0]
        count, first = reasons.get(key, (0, reason))
        reasons[key] = (count + 1, first)
    if not reasons:
        return ""
    parts = [f"{count} {reason}" for count, reason in sorted(reasons.values(), reverse=True)]
    total = sum(count for count, _ in reasons.values())
    more = f" and {len(parts) - SHOWN} other kinds" if len(parts) > SHOWN else ""
    return f"{total} file{'s' * (total > 1)} of {root} are left out: {'; '.join(parts[:SHOWN])}{more}."


def understood(root: Path, parts: Mapping[str, Path]) -> str:
    """Return a sentence on what folders were taken for parts, where their names are not the plain ones; else ""."""
    if set(parts) == {"all"}:
        return "" if parts["all"] == root else f"The classes of {root} are read from {parts['all']}."
    if all(folder == root / part for part, folder in parts.items()):
        return ""
    read = ", ".join(f"{part}: {folder.relative_to(root)}" for part, folder in parts.items())
    return f"{root} is read as {read}."
