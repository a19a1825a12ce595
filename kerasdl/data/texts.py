"""Texts as splits: found in tables, in folders of documents and in files of lines, and divided into tokens."""

import io
import sys
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.data import layout
from kerasdl.data.split import Split
from kerasdl.data.tokens import FILE, TokenArgs, Tokens
from kerasdl.errors import DataError

DOCUMENT = ".txt"
GAP = "empty, or a word that stands for a missing value, such as NA, None or null"  # of a field of a table


@dataclass(frozen=True)
class Texts:
    """Texts with what is known of them.

    Attributes:
        texts: (N,) strings.
        names: (N,) what messages call each, FILE or FILE:LINE.
        labels: (N,) the name of each one's class; None without classes.
        place: (N,) the part that each lies in, "train", "val" or "test"; "all" where it is not said.
        form: "lines" or "documents".
    """

    texts: np.ndarray
    names: Sequence[str]
    labels: np.ndarray | None
    place: np.ndarray
    form: str


def found(root: Path, encoding: str, labelled: bool) -> Texts:
    """Return the texts of a file of lines or of a folder; with `labelled` it has to have several classes.

    A folder with folders for parts has them as `parts_of` says. A folder of class folders has a document in each
    file; one of files has a class in each file, and an example in each of its lines. Names that are equal up to
    Unicode's form are one class.

    Raises:
        DataError: no text, an empty document, or bytes that are not of the encoding.
    """
    if root.is_file():
        return joined([(root, "all", None)], True, encoding)
    if not root.is_dir():
        raise DataError(f"There is no file or folder {str(root)!r}. Give the texts as data=text:PATH.")
    places = parts_of(root)
    documents = any(layout.folders(folder) for folder in places.values())
    files: list[tuple[Path, str, str | None]] = []
    for part, folder in places.items():
        if documents:
            for below in layout.folders(folder):
                name = unicodedata.normalize("NFC", below.name)
                files += [(file, part, name) for file in layout.walk(below) if file.suffix.lower() == DOCUMENT]
        else:
            lines = [file for file in sorted(folder.iterdir()) if file.is_file() and not layout.is_system(file.name)
                     and not about_the_data(file)]
            files += [(file, part, name) for file, name in zip(lines, class_names(lines), strict=True)]
    if not files:
        raise DataError(f"{root} has no texts. Expected a folder of {DOCUMENT} files, or a file of lines, for each "
                        "class.")
    if labelled and len({name for _, _, name in files}) < 2:
        raise DataError(f"{root} has one class only, {files[0][2]!r}. Expected a folder, or a file of lines, for each "
                        "of at least two classes.")
    return joined(files, not documents, encoding)


def parts_of(root: Path) -> dict[str, Path]:
    """Return the folders of the parts that a folder has, or {"all": root}: a class may be called as parts are.

    Raises:
        DataError: some folders are called as parts and others are not, and both may be meant.
    """
    parts = [folder for folder in layout.folders(root) if layout.part_of(folder.name)]
    others = [folder for folder in layout.folders(root) if folder not in parts
              and any(file.suffix.lower() == DOCUMENT for file in layout.walk(folder))]
    if not (parts and others):
        return layout.named(root, parts) or {"all": root}
    if len(parts) > 1 or layout.folders(parts[0]):
        raise DataError(f"{root} has folders for parts, such as {parts[0].name!r}, next to others, such as "
                        f"{others[0].name!r}. If these are classes, rename the first; if not, move them elsewhere.")
    return {"all": root}


def about_the_data(file: Path) -> bool:
    """Return whether a file in a folder of lines describes the others, or is an editor's copy of one."""
    return file.stem.lower() in ("readme", "license", "licence", "changelog") or file.name.endswith("~")


def class_names(files: Sequence[Path]) -> list[str]:
    """Return what the files of a folder are called as classes: by their stems, or by their endings if those differ."""
    stems = [file.stem for file in files]
    names = stems if len(set(stems)) == len(files) else [file.suffix[1:] or file.stem for file in files]
    return [unicodedata.normalize("NFC", name) for name in names]


def joined(files: Sequence[tuple[Path, str, str | None]], lines: bool, encoding: str) -> Texts:
    """Return the texts of files, each a (file, part, class): their lines without the empty ones, or each as a whole."""
    texts: list[str] = []
    names: list[str] = []
    places: list[str] = []
    labels: list[str | None] = []
    for file, part, label in files:
        content = decoded(file, encoding)
        some = [(f"{file}:{number}", line.strip()) for number, line in enumerate(lines_of(content), 1)
                if line.strip()] if lines else [(str(file), content.strip())]
        if not some or not some[0][1]:
            raise DataError(f"{file} is empty. Remove it, or write a text into it.")
        names += [name for name, _ in some]
        texts += [text for _, text in some]
        places += [part] * len(some)
        labels += [label] * len(some)
    named = None if labels[0] is None else np.array(labels)
    return Texts(np.array(texts, object), names, named, np.array(places), "lines" if lines else "documents")


def lines_of(content: str) -> list[str]:
    """Return the lines of a text, which line feeds and carriage returns end, and no other sign of str.splitlines."""
    return [line.removesuffix("\n") for line in io.StringIO(content, newline=None)]


def encoding_of(name: str) -> str:
    """Return the encoding of a name. UTF-8 may begin with a mark that says so, which is no part of the text."""
    return "utf-8-sig" if name.lower() in ("utf-8", "utf8") else name


def decoded(file: Path, *encodings: str) -> str:
    """Return the content of a file of text in the first of some encodings that fits; "-" is standard input.

    Raises:
        DataError: it is not of the last one: which byte in which line is not.
    """
    content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    for encoding in encodings:
        try:
            return content.decode(encoding_of(encoding))
        except LookupError:
            raise DataError(f"There is no encoding {encoding!r}. Common ones are utf-8, latin-1, cp1252.") from None
        except UnicodeDecodeError as error:
            place = error.start
    line = content.count(b"\n", 0, place) + 1
    raise DataError(f"{file}:{line} is not {encodings[-1]}: it has the byte 0x{content[place]:02x}. Give "
                    "data_args.encoding, such as latin-1 or cp1252.")


def decoded_as_trained(file: Path, encoding: str) -> str:
    """Return the content of a file that a model is asked about: in UTF-8 or in the encoding of its training.

    Bytes above 127 that are valid UTF-8 are hardly ever text of another encoding. Where there are none, UTF-8 fits
    whatever they mean, as in iso2022_jp or utf-16-le. What a terminal writes to standard input is UTF-8 first.
    """
    own_first = str(file) != "-" and file.read_bytes().isascii()
    return decoded(file, *((encoding, "utf-8") if own_first else ("utf-8", encoding)))


def check_there(texts: Sequence[str], names: Sequence[str]) -> None:
    """Raise a DataError for texts of a table that are missing."""
    if empty := [name for text, name in zip(texts, names, strict=True) if not text.strip()]:
        raise DataError(f"{len(empty)} of {len(texts)} texts are {GAP}, first that of {empty[0]}. Remove those rows, "
                        "or write another word.")


def splits_of(texts: np.ndarray, y: np.ndarray | None, classes: tuple[str, ...], index: Mapping[str, np.ndarray],
              args: TokenArgs, reading: Mapping[str, Any], weights: np.ndarray | None = None) -> dict[str, Split]:
    """Return texts as splits of tokens. A tokenizer that is to be trained sees the training split only.

    Args:
        texts: (N,) all texts.
        y, classes: what is to be learned, as in Split.
        index: {part: the places of its texts}.
        args: how texts become tokens.
        reading: what a run has to know to read others alike, for Split.reading.
        weights: as in Split.
    """
    tokens = Tokens.of(args, texts[index["train"]])
    return {part: split_of(part, texts[places], None if y is None else y[places], classes, tokens, args.length, reading,
                           None if weights is None else weights[places]) for part, places in index.items()}


def split_of(name: str, texts: np.ndarray, y: np.ndarray | None, classes: tuple[str, ...], tokens: Tokens, length: int,
             reading: Mapping[str, Any], weights: np.ndarray | None = None) -> Split:
    """Return texts as one split of tokens (N, length), which remarks how many texts lose their end."""
    x, lost = tokens.encode(list(texts), length)
    cut = int((lost > 0).sum())
    remarks = (f"{cut:,} of the {len(x):,} texts of {name} have more than length={length} tokens and lose their end, "
               f"{lost.sum() / (lost.sum() + np.count_nonzero(x)):.1%} of all tokens.",) if cut else ()
    return Split(name, x, y, (length,), len(x), classes, kind="tokens", checksum=zlib.crc32(x.data), weights=weights,
                 texts=texts, reading={**reading, "length": length}, build_args={"vocabulary": tokens.size},
                 files={FILE: tokens.text}, remarks=remarks)


def tokens_of(facts: Mapping[str, Any]) -> Tokens:
    """Return the tokenizer of a run, by its data.json."""
    file = Path(facts["run"], FILE)
    if not file.is_file():
        raise DataError(f"{facts['run']} has no {FILE}, which divides texts into tokens.")
    return Tokens(file.read_text(encoding="utf-8"), str(file))
