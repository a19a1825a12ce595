"""A book, or any other long text, as windows of characters or other tokens, for a language model.

The first part of the text is for training, then comes val, and the last part is test: nothing that a model learned from
lies next to a sentence that it is measured on, but at the two borders.
"""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from kerasdl.data import layout, texts, tokens
from kerasdl.data.spec import Target
from kerasdl.data.split import Split
from kerasdl.errors import DataError
from kerasdl.settings import parse

KIND = "tokens"


class Args(tokens.TokenArgs):
    """What data_args takes with chars:PATH."""

    tokens: str = Field("char", description="char, bpe or word, a tokenizer that is trained on the training part; or "
                                            "a file or a run that has one")
    lower: bool = Field(False, description="whether a trained tokenizer ignores case and accents; char never does")
    length: int = Field(256, gt=0, description="tokens that a model sees at once")
    windows: int = Field(4, gt=0, description="windows of train that each token lies in: they begin length / windows "
                                              "tokens apart; those of val and test do not overlap")
    encoding: str = Field("utf-8", description="encoding of the file")
    val_share: float = Field(0.05, gt=0, lt=0.5, description="share of the characters that is val")
    test_share: float = Field(0.1, gt=0, lt=0.5, description="share of the characters that is test, the last ones")


def read(path: str, *, target: Target | None = None, **given: Any) -> dict[str, Split]:
    """Return the windows of a text, (N, length + 1) tokens, as the splits train, val and test.

    A window has one token more than a model sees: the one that follows. The last one of val and of test is shorter.

    Args:
        path: a text file, or a folder whose .txt files are read in the order of their names.
        target: None; a text has no labels.
        **given: fields of Args.

    Raises:
        DataError: no such file, another encoding, or a text that is too short.
    """
    args = parse(Args, given, "data_args", "chars:PATH")
    _check_target(path, target)
    content = _content(path, args.encoding)
    ends = [0, round(len(content) * (1 - args.val_share - args.test_share)),
            round(len(content) * (1 - args.test_share)), len(content)]
    parts = {name: content[ends[number]:ends[number + 1]] for number, name in enumerate(("train", "val", "test"))}
    tokenizer = tokens.Tokens.of(args, list(tokens.pieces(parts["train"])))
    reading = {"source": "chars", "length": args.length, "encoding": args.encoding}
    return {name: _split(name, part, tokenizer, args, path, reading) for name, part in parts.items()}


def look(path: str, *, target: Target | None = None, **given: Any) -> None:
    """Find mistakes that `read` would find without reading the text."""
    parse(Args, given, "data_args", "chars:PATH")
    tokens.library()
    _check_target(path, target)
    if not Path(path).expanduser().exists():
        raise DataError(f"There is no file {path!r}. Give the text as data=chars:PATH.")


def read_for(facts: Mapping[str, Any], path: str, split: str, *, target: Target | None = None, **given: Any) -> Split:
    """Return a part of another text with the tokens of a model: "train", "val", "test", or "all" of it."""
    args = parse(Args, given, "data_args", "chars:PATH")
    args = args.model_copy(update={"length": facts["reading"]["length"], "tokens": facts["run"]})
    if split == "all":
        return _split("all", _content(path, args.encoding), texts.tokens_of(facts),
                      args.model_copy(update={"windows": 1}), path, facts["reading"])
    parts = read(path, **args.model_dump())
    if split not in parts:
        raise DataError(f"{path} has the splits {', '.join(parts)}, all. Received: {split!r}.")
    return parts[split]


def _content(path: str, encoding: str) -> str:
    place = Path(path).expanduser()
    files = sorted(file for file in place.iterdir() if file.suffix.lower() == texts.DOCUMENT
                   and not layout.is_system(file.name)) if place.is_dir() else [place]
    if not files or not files[0].is_file():
        raise DataError(f"There is no file {path!r}, and no {texts.DOCUMENT} file in such a folder. Give the text as "
                        "data=chars:PATH.")
    return "\n".join(texts.decoded(file, encoding) for file in files)


def _check_target(path: str, target: Target | None) -> None:
    if target is not None:
        raise DataError(f"chars:{path} is one text without labels, for objective=language or masked. Texts with "
                        "classes are data=text:PATH.")


def _split(name: str, content: str, tokenizer: tokens.Tokens, args: Args, path: str, reading: Mapping[str, Any]
           ) -> Split:
    """Return the windows of a part of the text, which overlap in train."""
    ids = tokenizer.ids(content)
    if len(ids) <= args.length:
        raise DataError(f"The {name} part of {path} has {len(ids)} tokens. Expected more than length={args.length}.")
    step = max(1, args.length // args.windows) if name == "train" else args.length
    begins = np.arange(0, len(ids) - (args.length if name == "train" else 1), step)
    padded = np.pad(ids, (0, args.length + 1))
    x = padded[begins[:, None] + np.arange(args.length + 1)]
    unknown = int((ids == 1).sum()) if tokenizer.tokenizer.token_to_id(tokens.UNKNOWN) == 1 else 0
    remarks = (f"{unknown} of the {len(ids):,} tokens of {name} are not in the vocabulary.",) if unknown else ()
    return Split(name, x, None, (args.length + 1,), len(x), kind="tokens", checksum=zlib.crc32(x),
                 reading={**reading, "step": step}, build_args={"vocabulary": tokenizer.size},
                 files={tokens.FILE: tokenizer.text}, remarks=remarks)
