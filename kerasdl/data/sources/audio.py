"""Sounds from .wav files: a folder for each class, or classes, speakers and the test part in the names of the files.

See kerasdl.data.sounds for what is read of a file.
"""

import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from kerasdl.data import image_files, labels, layout, sounds
from kerasdl.data.chunks import Chunk, of_files
from kerasdl.data.divide import of_places
from kerasdl.data.spec import Target
from kerasdl.data.split import Split
from kerasdl.errors import DataError
from kerasdl.settings import Settings, parse

KIND, EXTENSIONS, NOUNS = "sequence", (sounds.ENDING,), ("sounds", "a sound", ".wav files")


class Args(Settings):
    """What data_args takes with audio:PATH. An expression is a regular one."""

    label: str | None = Field(None, description="an expression that is searched in the name of a file, whose first "
                                                "bracket is the class; without it, folders are classes")
    group: int | str | None = Field(None, description="what keeps sounds in one split, such as those of a speaker: an "
                                                      "expression that is searched in the path, or 1 for the folder")
    test: str | None = Field(None, description="an expression: files whose names it is found in are the test split")
    test_share: float = Field(0.2, gt=0, lt=1, description="share of the sounds that is test, where it is not said")
    rate: int | None = Field(None, ge=100, description="samples a second to which all files are converted")
    seconds: float | None = Field(None, gt=0, description="what is longer loses its end")


@dataclass(frozen=True)
class Found:
    """Files (N,), the name of each one's class or None, and the part that each lies in: train, val, test or all."""

    files: list[Path]
    labels: np.ndarray | None
    place: np.ndarray


def read(path: str, *, target: Target | None = "class", **given: Any) -> dict[str, Split]:
    """Return the splits train, val and test of sounds: sequences (T, 1) of samples, as long as the longest of all.

    Args:
        path: PATH/<class>/*.wav or, with `label`, PATH/*.wav; PATH may have the parts train, val and test, each with
            that inside. A part that is not there is carved from train.
        target: "class", or None where no labels are needed.
        **given: fields of Args.

    Raises:
        DataError: naming the folder, file or expression that is wrong.
    """
    args, root = _checked(path, target, given)
    found = _find(root, args, target)
    labels.check_parts(found.labels, found.place, root)
    y, classes = labels.of_names(found.labels)
    if len(classes) == 1:
        raise DataError(f"{root} has one class only, {classes[0]!r}. Expected sounds of at least two.")
    index = of_places(found.place, np.arange(len(found.files)) if y is None else y, classes or None,
                      image_files.groups_of(found.files, root, args.group), args.test_share)
    some, rate = sounds.read_all(found.files, args.rate)
    longest = max(map(len, some))
    length = longest if args.seconds is None else min(longest, _samples(args.seconds, rate))
    return {part: _split(part, [some[place] for place in places], None if y is None else y[places], classes, length,
                         rate, _reading(args)) for part, places in index.items()}


def look(path: str, *, target: Target | None = None, **given: Any) -> None:
    """Find mistakes that `read` would find without looking for files: the folder and the arguments."""
    _checked(path, target, given)


def look_for(facts: Mapping[str, Any], path: str, **_: Any) -> None:
    """Find mistakes that `read_for` would find without looking for files: the folder is not there."""
    _check_takes_sound(facts, path)
    _root(path)


def read_for(facts: Mapping[str, Any], path: str, split: str, /, *, target: Target | None = "class",
             classes: Any = None, **given: Any) -> Split:
    """Return a part of other sounds, as long as the model takes them.

    Args:
        facts: of the run, its data.json.
        path, target: as in `read`.
        split: "train", "val" or "test", divided as `read` does, or "all" of them.
        classes: those that the model was trained on, if it was trained on some only. Others are left out.
        **given: fields of Args.

    Raises:
        DataError: as `read` does, for a class that the model does not know, and for files that `read_files` refuses:
            of another rate, or longer than the model takes.
    """
    _check_takes_sound(facts, path)
    args, root = _checked(path, target, given)
    args = args if split != "all" else args.model_copy(update={"test": None})  # no other file need have such a name
    found, known = _find(root, args, target), tuple(facts["classes"])
    places = np.arange(len(found.files))
    if split != "all":
        y, own = labels.of_names(found.labels)
        index = of_places(found.place, places if y is None else y, own or None,
                          image_files.groups_of(found.files, root, args.group), args.test_share, learned=False)
        if split not in index:
            raise DataError(f"audio:{path} has the splits {', '.join(index)}, all. Received: {split!r}.")
        places = index[split]
    y, places = labels.of_known_names(found.labels, known, places, path, some=classes is not None)
    some = [_as_trained(found.files[place], facts) for place in places]
    return _split(split, some, y, known, facts["shape"][0], facts["build_args"]["sample_rate"], facts["reading"])


def read_files(files: Iterable[Path], facts: Mapping[str, Any], **_: Any) -> Iterator[Chunk]:
    """Yield the samples of .wav files. One that is longer than those of the training is cut as they were, if they
    were cut, and else refused, as is another rate, unless `rate` was given in training."""
    length = facts["shape"][0]
    return of_files(files, lambda file: sounds.padded([_as_trained(file, facts)], length)[0], (length, 1))


def _checked(path: str, target: Target | None, given: dict[str, Any]) -> tuple[Args, Path]:
    """Return data_args as settings, and the folder.

    Raises:
        DataError: no folder, an expression that is none, or a target that sounds do not have.
    """
    args = parse(Args, given, "data_args", "audio:PATH")
    if target not in (None, "class"):
        raise DataError(f"The target of audio:{path} is a class. Received: {target!r}.")
    if args.label is not None and not _pattern("label", args.label).groups:
        raise DataError(f"data_args.label={args.label} needs brackets around the class, such as ^([^_]+)_.")
    for name in ("test", "group"):
        if isinstance(value := getattr(args, name), str):
            _pattern(name, value)
    return args, _root(path)


def _check_takes_sound(facts: Mapping[str, Any], path: str) -> None:
    if "sample_rate" not in facts.get("build_args", {}):
        raise DataError(f"The model takes series of numbers, and no sound. Received: audio:{path}.")


def _root(path: str) -> Path:
    if not (root := Path(path).expanduser()).is_dir():
        raise DataError(f"There is no folder {str(root)!r}. Give the sounds as data=audio:PATH.")
    return root


def _pattern(name: str, value: str) -> re.Pattern:
    try:
        return re.compile(value)
    except re.error as error:
        raise DataError(f"data_args.{name}={value} is not a regular expression: {error}.") from None


def _find(root: Path, args: Args, target: Target | None) -> Found:
    """Return the files of a folder, sorted by path in each part."""
    by_folder = target == "class" and args.label is None
    below = [folder for folder in layout.folders(root) if layout.part_of(folder.name)]
    places = layout.roots(root) if by_folder else layout.named(root, below) or {"all": root}
    pairs = [(file, part) for part, folder in places.items() for file in layout.walk(folder)
             if file.suffix.lower() == sounds.ENDING]
    if not pairs:
        raise DataError(f"{root} has no {sounds.ENDING} files.")
    files = [file for file, _ in pairs]
    place = np.array([part for _, part in pairs])
    if args.test is not None:
        place = _test_by_name(files, place, root, args.test)
    names = None
    if by_folder:
        names = np.array([_folder_of(file, places[part]) for file, part in pairs])
    elif target == "class":
        names = _labels_by_name(files, str(args.label))
    return Found(files, names, place)


def _folder_of(file: Path, above: Path) -> str:
    """Return the class folder of a file. Names that are equal up to Unicode's form are one class."""
    inside = file.relative_to(above).parts
    if len(inside) < 2:
        raise DataError(f"{file} lies in no class folder. Make a folder for each class, or give data_args.label, an "
                        "expression for the class in a file's name, such as ^([^_]+)_.")
    return unicodedata.normalize("NFC", inside[0])


def _labels_by_name(files: Sequence[Path], label: str) -> np.ndarray:
    matches = [re.search(label, unicodedata.normalize("NFC", file.name)) for file in files]
    classes = [match and match[1] for match in matches]
    if wrong := [file for file, name in zip(files, classes, strict=True) if not name]:
        raise DataError(f"data_args.label={label} finds no class in the names of {len(wrong)} of {len(files)} files, "
                        f"first {wrong[0]}. Change the expression, or remove the files.")
    return np.array(classes)


def _test_by_name(files: Sequence[Path], place: np.ndarray, root: Path, test: str) -> np.ndarray:
    if (place == "test").any():
        raise DataError(f"{root} has a folder of test sounds, and data_args.test={test} names others. Give one.")
    matches = np.array([re.search(test, file.name) is not None for file in files])
    if not matches.any() or matches.all():
        raise DataError(f"data_args.test={test} is found in the names of {'all' if matches.all() else 'none'} of the "
                        f"{len(files)} files, such as {files[0].name}. Expected some of them.")
    return np.where(matches, "test", place)


def _samples(seconds: float, rate: int) -> int:
    """Return how many samples are kept of sounds that last longer than some seconds."""
    return max(1, round(seconds * rate))


def _as_trained(file: Path, facts: Mapping[str, Any]) -> np.ndarray:
    """Return the samples of a file at the rate of a model. Raises DataError for more than the model takes, unless those
    of the training may have been cut: not where all were shorter than the seconds that were asked for."""
    length, rate = facts["shape"][0], facts["build_args"]["sample_rate"]
    sound, own = sounds.read(file, facts["reading"].get("rate"))
    if own != rate:
        raise DataError(f"{file} has {own} samples a second; the model takes {rate}. Resample it, or train with "
                        f"data_args.rate={rate}, which resamples every file.")
    seconds = facts["reading"].get("seconds")
    if len(sound) > length and (seconds is None or _samples(seconds, rate) > length):
        raise DataError(f"{file} has {len(sound) / rate:.2f} seconds; the model takes at most {length / rate:.2f}. "
                        f"Cut it, or train with data_args.seconds={length / rate:.4g}, which cuts sounds.")
    return sound


def _split(name: str, some: Sequence[np.ndarray], y: np.ndarray | None, classes: tuple[str, ...], length: int,
           rate: int, reading: Mapping[str, Any]) -> Split:
    """Return sounds as one split, which remarks how many lose their end."""
    x = sounds.padded(some, length)
    cut = sum(len(sound) > length for sound in some)
    remarks = (f"{cut:,} of the {len(some):,} sounds of {name} are longer than {length / rate:g} s and lose their "
               "end.",) if cut else ()
    return Split(name, x, y, (length, 1), len(x), classes, kind=KIND, checksum=zlib.crc32(x.data), reading=reading,
                 build_args={"sample_rate": rate}, remarks=remarks)


def _reading(args: Args) -> dict[str, Any]:
    """Return what a run has to know to read other sounds alike."""
    return {"source": "audio", **({"rate": args.rate} if args.rate else {}),
            **({"seconds": args.seconds} if args.seconds else {})}
