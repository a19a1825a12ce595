"""Texts as tokens: a tokenizer of the library `tokenizers`, trained on the training split alone or read from a file.

Token 0 is the padding, in every vocabulary. What was trained here has [UNK] as 1, [CLS], [SEP] and [MASK] as 2, 3, 4.
Importing this module imports nothing heavy.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from kerasdl.errors import DataError
from kerasdl.settings import Settings
from kerasdl.zoo.weights import public

PAD, UNKNOWN, MASK = "[PAD]", "[UNK]", "[MASK]"
SPECIAL = [PAD, UNKNOWN, "[CLS]", "[SEP]", MASK]
TRAINED = ("word", "bpe", "char")  # the library's training of WordPiece gives another vocabulary each time (0.23)
FILE = "tokenizer.json"
CHARACTER = r"[\s\S]"
BETWEEN_WORDS = re.compile(r"(?<=\w) (?=\w)")
SPACED = ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "BertNormalizer",  # of single letters and marks
          "Whitespace", "WhitespaceSplit", "BertPreTokenizer", "ByteLevel")


class TokenArgs(Settings):
    """How texts become tokens."""

    tokens: str = Field("word", description="word, bpe or char: a tokenizer that is trained on the training split; or "
                                            "a file, tokenizer.json or BERT's vocab.txt; a run's folder; or public "
                                            "weights that have one, such as minilm")
    vocabulary: int = Field(10_000, gt=len(SPECIAL), description="most tokens that a trained tokenizer has")
    least: int = Field(1, ge=1, description="how often a word or character must occur to be a token")
    lower: bool = Field(True, description="whether a trained tokenizer, or vocab.txt, ignores case and accents")
    length: int = Field(128, gt=0, description="most tokens of an example; what is longer loses its end")


class Tokens:
    """A tokenizer, and what is done with it here.

    Args:
        text: the content of a tokenizer.json.

    Raises:
        DataError: not such a file, no padding at 0, or the package is missing.
    """

    def __init__(self, text: str, source: str = FILE):
        self.text = text
        try:
            self.tokenizer = library().Tokenizer.from_str(text)
        except Exception as error:  # noqa: BLE001  the library raises its own bare Exception
            raise DataError(f"{source} is no tokenizer.json: {error}.") from None
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.tokenizer.encode_special_tokens = True  # a text that has "[PAD]" in it is not padding from there on
        if self.tokenizer.id_to_token(0) not in (PAD, "<pad>"):
            raise DataError(f"Token 0 of {source} is {self.tokenizer.id_to_token(0)!r}. Expected the padding, [PAD].")

    @classmethod
    def of(cls, args: TokenArgs, texts: Sequence[str]) -> "Tokens":
        """Return the tokenizer that `args` names, trained on these texts if it is to be trained."""
        return trained(args, texts) if args.tokens in TRAINED else opened(args.tokens, args.lower)

    @property
    def size(self) -> int:
        """How many tokens there are, with those of no text."""
        return self.tokenizer.get_vocab_size()

    @property
    def mask(self) -> int | None:
        """The token that stands for a hidden one; None: there is none."""
        return self.tokenizer.token_to_id(MASK)

    @property
    def special(self) -> list[int]:
        """The tokens that stand for no text."""
        found = json.loads(self.text).get("added_tokens", [])
        return sorted(token["id"] for token in found if token.get("special"))

    def encode(self, texts: Sequence[str], length: int) -> tuple[np.ndarray, np.ndarray]:
        """Return tokens (N, length) int32, padded with 0, and how many tokens of each text were cut off (N,).

        Tokens that end every text, such as [SEP], are not cut off.
        """
        found = self.tokenizer.encode_batch(list(texts))
        x, lost = np.zeros((len(found), length), "int32"), np.zeros(len(found), "int64")
        for row, each in enumerate(found):
            if (more := len(each.ids) - length) > 0:
                lost[row] = more
                each.truncate(length)
                x[row] = each.ids
                if (end := self.ends()) is not None:
                    x[row, -1] = end
            else:
                x[row, :len(each.ids)] = each.ids
        return x, lost

    def ids(self, content: str) -> np.ndarray:
        """Return the tokens (T,) int32 of a long text, without those that a tokenizer adds.

        The library keeps much about each token of what it encodes at once. Where it divides a text at spaces
        before anything else, as those that are trained here and BERT's do, pieces have the tokens of the whole.
        """
        found = json.loads(self.text)
        steps = [each for name in ("normalizer", "pre_tokenizer") if (step := found.get(name))
                 for each in step.get("normalizers", [step])]
        divides = found.get("pre_tokenizer") is not None and all(map(keeps_spaces, steps))
        whole = not divides or any(not token.get("special") for token in found.get("added_tokens", []))
        return np.concatenate([np.array(self.tokenizer.encode(piece, add_special_tokens=False).ids, "int32")
                               for piece in (pieces(content) if content and not whole else [content])])

    def encode_words(self, sentences: Sequence[Sequence[str]], length: int
                     ) -> tuple[np.ndarray, list[list[int]], list[int]]:
        """Return the tokens of sentences of words, padded with 0, and where each word begins.

        Returns:
            x (N, length) int32; for each sentence the place of the first token of each word, -1 for a word that is cut
            off or has no token; and how many such words each sentence has.
        """
        found = self.tokenizer.encode_batch([list(words) for words in sentences], is_pretokenized=True)
        x, first = np.zeros((len(found), length), "int32"), []
        for row, (each, words) in enumerate(zip(found, sentences, strict=True)):
            ids, owners = each.ids, each.word_ids
            if len(ids) > length:
                end = self.ends()
                ids, owners = ids[:length], owners[:length]
                if end is not None:
                    ids[-1], owners[-1] = end, None
            x[row, :len(ids)] = ids
            places = [-1] * len(words)
            for place in reversed(range(len(ids))):
                if owners[place] is not None:
                    places[owners[place]] = place
            first.append(places)
        return x, first, [places.count(-1) for places in first]

    def ends(self) -> int | None:
        """Return the token that is added at the end of every text; None: none is."""
        found = self.tokenizer.encode("a")
        added = found.special_tokens_mask
        return found.ids[-1] if 0 in added and added[-1] else None

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of some tokens, without those that stand for none."""
        return self.tokenizer.decode([int(token) for token in ids if token], skip_special_tokens=True)


def keeps_spaces(step: Mapping[str, Any]) -> bool:
    """Return whether a step of a tokenizer makes the same of a text and of its pieces."""
    return step["type"] in SPACED and step.get("use_regex", True) or \
        step["type"] == "Split" and step["pattern"] == {"Regex": CHARACTER}


def pieces(content: str, size: int = 20_000) -> Iterator[str]:
    """Yield a text in pieces of about `size` characters, each but the first with a space and a letter at its
    beginning: a single space belongs to the word after it, where it belongs to one."""
    start = 0
    while start < len(content):
        found = BETWEEN_WORDS.search(content, start + size)
        end = found.start() if found else len(content)
        yield content[start:end]
        start = end


def library() -> Any:
    """Return the package `tokenizers`.

    Raises:
        DataError: it is not installed.
    """
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.normalizers
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError:
        raise DataError("Texts are divided into tokens by the package tokenizers, which is not installed: "
                        "pip install 'kerasdl[text]'") from None
    return tokenizers


def trained(args: TokenArgs, texts: Sequence[str]) -> Tokens:
    """Return a tokenizer of one of the kinds TRAINED whose vocabulary is that of these texts."""
    made = library()
    options = {"vocab_size": args.vocabulary, "min_frequency": args.least, "special_tokens": SPECIAL,
               "show_progress": False}
    models, trainers, pre = made.models, made.trainers, made.pre_tokenizers
    if args.tokens == "word":
        tokenizer, trainer = made.Tokenizer(models.WordLevel(unk_token=UNKNOWN)), trainers.WordLevelTrainer(**options)
        tokenizer.pre_tokenizer = pre.Whitespace()
    elif args.tokens == "char":
        tokenizer, trainer = made.Tokenizer(models.WordLevel(unk_token=UNKNOWN)), trainers.WordLevelTrainer(**options)
        tokenizer.pre_tokenizer = pre.Split(made.Regex(CHARACTER), "isolated")
        tokenizer.decoder = made.decoders.Fuse()
    else:
        tokenizer = made.Tokenizer(models.BPE(unk_token=UNKNOWN))
        trainer = trainers.BpeTrainer(initial_alphabet=pre.ByteLevel.alphabet(), **options)
        tokenizer.pre_tokenizer, tokenizer.decoder = pre.ByteLevel(add_prefix_space=True), made.decoders.ByteLevel()
    if args.tokens != "char":
        tokenizer.normalizer = normalizer(args.lower)
    tokenizer.train_from_iterator(batched(texts), trainer)
    return Tokens(tokenizer.to_str())


def normalizer(lower: bool) -> Any:
    """Return what is done to a text first: accents and case are taken away, or only composed characters are joined."""
    normalizers = library().normalizers
    return normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]) if lower \
        else normalizers.NFC()


def batched(texts: Sequence[str], size: int = 1000) -> Iterator[Sequence[str]]:
    """Yield lists of texts, which the library counts in parallel."""
    for start in range(0, len(texts), size):
        yield texts[start:start + size]


def opened(name: str, lower: bool = True) -> Tokens:
    """Return the tokenizer of a file, or of a run's folder.

    Args:
        name: tokenizer.json, vocab.txt of a BERT, a folder that holds one of them, or public weights on this machine.
        lower: whether a BERT of vocab.txt ignores case.

    Raises:
        DataError: there is no such file, or it is not that of the public weights.
    """
    path = of_public(name) if name in public.KNOWN else Path(name).expanduser()
    if path.is_dir():
        path = next((path / file for file in (FILE, "vocab.txt") if (path / file).is_file()), path / FILE)
    if not path.is_file():
        raise DataError(f"data_args.tokens is {', '.join(TRAINED)}, or a file that holds a tokenizer. There is no "
                        f"file {str(path)!r}.")
    if path.suffix != ".txt":
        return Tokens(path.read_text(encoding="utf-8"), str(path))
    return Tokens(bert(path, lower), str(path))


def of_public(name: str) -> Path:
    """Return the file of the tokenizer that public weights are used with, after checking its hash."""
    file, checksum = next((one for one in public.KNOWN[name].also.items() if Path(one[0]).name == FILE),
                          (f"{name}/{FILE}", ""))
    if not public.are_here(file):
        raise DataError(f"The tokenizer of {name} is not here. Fetch it with its weights: kerasdl weights get {name}")
    path = public.folder() / file
    try:
        public.check(path, checksum, name)
    except ValueError as error:
        raise DataError(str(error)) from None
    return path


def bert(vocabulary: Path, lower: bool) -> str:
    """Return the tokenizer.json of a BERT: WordPiece between [CLS] and [SEP] (Devlin et al. 2019)."""
    made = library()
    with vocabulary.open(encoding="utf-8") as lines:  # not splitlines: Chinese BERT has a token U+2028
        words = {line.removesuffix("\n"): place for place, line in enumerate(lines)}
    if not {"[CLS]", "[SEP]", UNKNOWN} <= set(words):
        raise DataError(f"{vocabulary} is no vocabulary of a BERT: it lacks [CLS], [SEP] or [UNK].")
    tokenizer = made.Tokenizer(made.models.WordPiece(words, unk_token=UNKNOWN))
    tokenizer.add_special_tokens([token for token in SPECIAL if token in words])
    tokenizer.normalizer = made.normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = made.pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = made.decoders.WordPiece()
    tokenizer.post_processor = made.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, words[token]) for token in ("[CLS]", "[SEP]")])
    return tokenizer.to_str()
