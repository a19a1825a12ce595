"""Words with a tag each, in CoNLL's columns: a word on a line, an empty line after a sentence.

Tags are B-TYPE, I-TYPE and O (IOB2; Tjong Kim Sang & Veenstra 1999). A word's tag belongs to the first of its tokens.
Words that are cut off stay in the targets, so that what a model does not see counts as missed.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from kerasdl.data import texts, tokens
from kerasdl.data.chunks import ROWS, Chunk
from kerasdl.data.divide import of_places
from kerasdl.data.spec import Target
from kerasdl.data.split import Split
from kerasdl.errors import DataError, nearest
from kerasdl.settings import parse

KIND, NOUNS = "tokens", ("words", "a text", "files of words")
EXTENSIONS = (".conll", ".iob", ".iob2", ".bio", ".tsv", ".txt")
OUTSIDE = "O"
BOUNDARY = "-DOCSTART-"
BLANKS = " \t"  # no others separate words: a no-break space is a part of one


class Args(tokens.TokenArgs):
    """What data_args takes with tags:PATH."""

    lower: bool = Field(False, description="whether a trained tokenizer, or vocab.txt, ignores case and accents")
    val: str | None = Field(None, description="the file of the val split; None: a tenth of the sentences")
    test: str | None = Field(None, description="the file of the test split; None: a fifth of the sentences")
    word: int = Field(0, description="the column of the words; -1 is the last one")
    tag: int = Field(-1, description="the column of the tags; -1 is the last one")
    scheme: Literal["iob2", "iob1"] = Field(
        "iob2", description="iob1: I- begins an entity, and B- only one right behind another of its type; it becomes "
                            "iob2")
    encoding: str = Field("utf-8", description="encoding of the files")


@dataclass
class Sentences:
    """Sentences of files.

    Attributes:
        words, tags: of each sentence.
        orphans: FILE:LINE of each tag that continues an entity which did not begin.
    """

    words: list[list[str]] = field(default_factory=list)
    tags: list[list[str]] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)


def read(path: str, *, target: Target | None = "tags", **given: Any) -> dict[str, Split]:
    """Return the splits train, val and test of sentences with tags.

    Args:
        path: a file in columns that spaces or tabs separate.
        target: "tags", or None, where the words are enough.
        **given: fields of Args.

    Raises:
        DataError: a line without columns, a tag that is not one, or less than one type of entity.
    """
    args = parse(Args, given, "data_args", "tags:PATH")
    _check(path, args, target)
    files = {"train": path, **{part: name for part in ("val", "test") if (name := getattr(args, part))}}
    found = {part: sentences(file, args) for part, file in files.items()}
    counts = [len(each.words) for each in found.values()]
    places = np.repeat(list(found), counts)
    index = of_places(places, np.arange(len(places)), None)
    words = [each for part in found.values() for each in part.words]
    tags = [each for part in found.values() for each in part.tags]
    classes = (OUTSIDE, *sorted({tag for each in tags for tag in each} - {OUTSIDE}))
    if len(classes) < 2:
        raise DataError(f"{path} has no entity: every tag is {OUTSIDE}. The tags are read from column "
                        f"data_args.tag={args.tag}.")
    tokenizer = tokens.Tokens.of(args, [" ".join(words[place]) for place in index["train"]])
    lines = [line for part, each in found.items() for line in _remarks(part, each)]
    splits = {part: split_of(part, [words[place] for place in some], [tags[place] for place in some], classes,
                             tokenizer, args) for part, some in index.items()}
    y = {part: np.asarray(split.y) for part, split in splits.items()}
    widest = max(each.shape[1] for each in y.values())  # so that splits can be joined
    splits = {part: replace(split, y=_widened(y[part], widest)) for part, split in splits.items()}
    train = splits["train"]
    return {**splits, "train": replace(train, remarks=(*lines, *train.remarks))}


def look(path: str, *, target: Target | None = None, **given: Any) -> None:
    """Find mistakes that `read` would find without reading the files."""
    args = parse(Args, given, "data_args", "tags:PATH")
    tokens.library()
    _check(path, args, target)


def read_for(facts: Mapping[str, Any], path: str, split: str, /, *, target: Target | None = "tags", **given: Any
             ) -> Split:
    """Return a part of other sentences, with the tokens and the tags of a model; "all" is the file itself."""
    args = parse(Args, given, "data_args", "tags:PATH")
    args = args.model_copy(update={"length": facts["shape"][0], "tokens": facts["run"]})
    if split not in (known_parts := ("train", "val", "test", "all")):
        raise DataError(f"{path} has the splits {', '.join(known_parts)}. Received: {split!r}.")
    if split != "all":  # of this file: in the training, val and test may have been other files
        return read(path, target=target, **args.model_dump() | {"val": None, "test": None})[split]
    found, known = sentences(path, args), tuple(facts["classes"])
    for tag in sorted({tag for each in found.tags for tag in each} - set(known)):
        raise DataError(f"{path} has a tag {tag!r}, which the model does not know. {nearest(tag, known)}")
    return split_of("all", found.words, found.tags, known, texts.tokens_of(facts), args)


def read_files(files: Iterable[Path], facts: Mapping[str, Any], **_: Any) -> Iterator[Chunk]:
    """Yield the sentences of files: of .txt and of standard input a line each, of other files columns of words."""
    tokenizer, length = texts.tokens_of(facts), facts["shape"][0]
    for file in files:
        if file.suffix.lower() in (".txt", ""):
            content = texts.decoded_as_trained(file, facts["reading"]["encoding"])
            lines = texts.lines_of(content)
            if len(lines) > 1 and are_tagged(lines, facts["reading"]["columns"]["tag"], facts["classes"]):
                raise DataError(f"{file} has a word and its tag on each line, and a .txt file is read as sentences. "
                                "Call it .conll.")
            names = [f"{file}:{number}" for number, line in enumerate(lines, 1) if line.strip()]
            words = [line.split() for line in lines if line.strip()]
        else:
            words = sentences(str(file), Args(**facts["reading"]["columns"]), tagged=False).words
            names = [f"{file}:{number}" for number in range(len(words))]
        for start in range(0, len(words), ROWS):
            some = words[start:start + ROWS]
            x, first = tokenizer.encode_words(some, length)[:2]
            yield Chunk(names[start:start + ROWS], x, words=[list(zip(each, places, strict=True))
                                                              for each, places in zip(some, first, strict=True)])


def are_tagged(lines: Sequence[str], tag: int, classes: Sequence[str]) -> bool:
    """Return whether each line that is not empty has a word and, in the column `tag`, one of the tags `classes`."""
    rows = [columns for line in lines if (columns := columns_of(line)) and columns[0] != BOUNDARY]
    return bool(rows) and all(len(row) > 1 and -len(row) <= tag < len(row) and row[tag].strip() in classes
                              for row in rows)


def columns_of(line: str) -> list[str]:
    """Return the columns of a line, which tabs separate if it has some, and else spaces; [] of an empty line."""
    if not line.strip(BLANKS):
        return []
    return line.split("\t") if "\t" in line else [column for column in line.split(" ") if column]


def sentences(path: str, args: Args, tagged: bool = True) -> Sentences:
    """Return the sentences of a file in columns.

    Args:
        path: the file.
        args: which columns, and how tags are written.
        tagged: whether there is a column of tags.

    Raises:
        DataError: FILE:LINE of a line that lacks a column, or has a tag other than O, B-TYPE and I-TYPE.
    """
    found, words, tags = Sentences(), [], []  # type: ignore[var-annotated]
    lines = texts.lines_of(texts.decoded(Path(path).expanduser(), args.encoding))
    for number, line in enumerate([*lines, ""], 1):
        columns = columns_of(line)
        if not columns or columns[0] == BOUNDARY:
            if words:
                found.words.append(words)
                found.tags.append(tags)
            words, tags = [], []
            continue
        word = _column(columns, args.word, f"{path}:{number}", 2 if tagged else 1)
        tag = _column(columns, args.tag, f"{path}:{number}").strip() if tagged else OUTSIDE
        if tag != OUTSIDE and tag[:2] not in ("B-", "I-"):
            raise DataError(f"{path}:{number} has the tag {tag!r}. Expected O, B-TYPE or I-TYPE in column {args.tag}.")
        orphan = tag.startswith("I-") and (not tags or tags[-1][2:] != tag[2:])
        if orphan and args.scheme == "iob2":
            found.orphans.append(f"{path}:{number}")
        tags.append(f"B-{tag[2:]}" if orphan and args.scheme == "iob1" else tag)
        words.append(word)
    if not found.words:
        raise DataError(f"{path} has no words. Expected a word and its tag on each line.")
    return found


def split_of(name: str, words: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], classes: tuple[str, ...],
             tokenizer: tokens.Tokens, args: Args) -> Split:
    """Return sentences as a split of tokens (N, length) and of tags (N, length + L) for the most words cut off, L.

    The tag of a word without a token that others follow comes with its place in the sentence; see kerasdl.data.spec.
    """
    x, first, lost = tokenizer.encode_words(words, args.length)
    known, most = {tag: place for place, tag in enumerate(classes)}, max(lost, default=0)
    y = np.full((len(x), args.length + most), -1, "int32")
    for row, (places, each) in enumerate(zip(first, tags, strict=True)):
        extra, last = args.length, max((word for word, place in enumerate(places) if place >= 0), default=-1)
        for word, (place, tag) in enumerate(zip(places, each, strict=True)):
            within = len(classes) * (word + 1) if place < 0 and word < last else 0
            if place < 0:
                place, extra = extra, extra + 1
            y[row, place] = known[tag] + within
    entities = sum(tag.startswith("B-") for places, each in zip(first, tags, strict=True)
                   for place, tag in zip(places, each, strict=True) if place < 0)
    remarks = (f"{sum(lost):,} words of {name} are cut off or have no token, with {entities} entities, which count as "
               "missed.",) if most else ()
    columns = {key: getattr(args, key) for key in ("word", "tag", "scheme", "encoding")}
    return Split(name, x, y, (args.length,), len(x), classes, kind="tokens", checksum=zlib.crc32(x.data),
                 texts=np.array([" ".join(each) for each in words], object), files={tokens.FILE: tokenizer.text},
                 build_args={"vocabulary": tokenizer.size}, remarks=remarks,
                 reading={"source": "tags", "length": args.length, "encoding": args.encoding, "columns": columns})


def _widened(y: np.ndarray, width: int) -> np.ndarray:
    """Return tags (N, width) of tags (N, fewer), -1 where there is none."""
    return np.pad(y, ((0, 0), (0, width - y.shape[1])), constant_values=-1)


def _column(columns: Sequence[str], place: int, where: str, least: int = 2) -> str:
    if len(columns) < least or not -len(columns) <= place < len(columns):
        raise DataError(f"{where} has {len(columns)} column{'s' * (len(columns) != 1)}, {' '.join(columns)[:40]!r}. "
                        "Expected a word and its tag, separated by a space or a tab.")
    return columns[place].strip(BLANKS)


def _remarks(part: str, found: Sentences) -> list[str]:
    count = len(found.orphans)
    return [f"{count} tag{'s' * (count > 1)} of {part} continue{'s' * (count == 1)} an entity that did not begin, "
            f"first {found.orphans[0]}; strict scores see no entity there. If the file is in IOB1, give "
            "data_args.scheme=iob1."] if count else []


def _check(path: str, args: Args, target: Target | None) -> None:
    if target not in (None, "tags"):
        raise DataError(f"tags:{path} has a tag for each word, for objective=tag. Texts with classes are "
                        "data=text:PATH.")
    for file in (path, args.val, args.test):
        if file is not None and not Path(file).expanduser().is_file():
            raise DataError(f"There is no file {file!r}. Give words and tags as data=tags:PATH.")
