"""Tokens: a vocabulary keeps its numbers, words in a text are no commands, and networks of one's own read them."""

import logging
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import kerasdl
from kerasdl import objectives
from kerasdl.data import load_splits, tokens
from kerasdl.data.tokens import TokenArgs, Tokens, library, opened
from kerasdl.errors import UserError
from kerasdl.files import write_json
from kerasdl.objectives.language import Language
from kerasdl.objectives.tag import Tag, named
from kerasdl.run import Run

pytest.importorskip("tokenizers")
SPLITS = {"train": "train", "val": "val", "test": "test"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
OWN = """
import keras
from keras import layers


def build(shape, tokens):
    inputs = keras.Input(shape, dtype="int32")
    x = layers.Embedding(tokens, 8)(inputs)
    x = layers.Conv1D(8, 3, padding="causal")(x) + x
    return keras.Model(inputs, layers.Dense(tokens)(x))
"""


def vocabulary(file, *more):
    file.write_text("".join(f"{token}\n" for token in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *more]),
                    encoding="utf-8")
    return str(file)


def test_a_separator_of_lines_is_a_token_of_vocab_txt(tmp_path):
    """That of bert-base-chinese has U+2028, and those after it kept their numbers."""
    found = opened(vocabulary(tmp_path / "vocab.txt", "\u2028", "one", "two"))
    assert found.encode(["one two"], 4)[0].tolist() == [[2, 6, 7, 3]] and found.size == 8


@pytest.mark.parametrize("kind", ["word", "bpe", "char", "vocab.txt"])
def test_special_tokens_that_a_text_writes_are_its_words(tmp_path, kind):
    texts = ["a [PAD] b [UNK] c", "a b c d"]
    name = vocabulary(tmp_path / kind, *"[]abcd", "pad", "unk") if kind == "vocab.txt" else kind
    tokens = Tokens.of(TokenArgs(tokens=name), texts)
    x, _ = tokens.encode(texts, 40)
    words, _, lost = tokens.encode_words([text.split() for text in texts], 40)
    for rows in (x, words):
        assert all((row[:np.count_nonzero(row)] > 0).all() for row in rows)
    assert not any(lost) and (x[0] != 1).all()
    assert x[1, [0, np.count_nonzero(x[1]) - 1]].tolist() == [2, 3] if kind == "vocab.txt" else (x[1] != 2).all()


def test_a_text_that_is_cut_keeps_the_end_that_a_tokenizer_adds():
    """T5's adds </s>, and nothing at the beginning."""
    made = library()
    tokenizer = made.Tokenizer(made.models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = made.pre_tokenizers.Whitespace()
    assert Tokens(tokenizer.to_str()).ends() is None
    for form, end in (("$A </s>", 1), ("</s> $A </s>", 1), ("</s> $A", None)):
        tokenizer.post_processor = made.processors.TemplateProcessing(single=form, special_tokens=[("</s>", 1)])
        found = Tokens(tokenizer.to_str())
        assert found.ends() == end
        assert found.encode(["a a a a"], 3)[0][0, -1] == (end or 3)


# Language models


@pytest.fixture
def book(tmp_path):
    (tmp_path / "book.txt").write_text("the cat sat on the mat.\n" * 30)
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


def language(book, model="transformer", **args):
    return kerasdl.Recipe(model=model, model_args=args, objective="language", data=f"chars:{book / 'book.txt'}",
                          data_args={"length": 16}, epochs=1, batch=16, lr=0.01)


def test_a_network_of_ones_own_takes_what_training_gives_it_and_continues(book):
    """Windows have one token more than it sees; each of its answers needs the whole text."""
    run = kerasdl.train(language(book, f"{book / 'own.py'}:build"), workdir=book / "run", verbose=False)
    model = run.model()
    assert model.input_shape == (None, 16)
    text = objectives.of(run.recipe, run.path).continued(model, "the cat", 12, seed=1)
    assert text.startswith("the cat") and len(text) == 19
    with pytest.raises(UserError, match="The prompt is not UTF-8"):
        objectives.of(run.recipe, run.path).continued(model, "\udcff", 3)
    assert 'id="sample"' in kerasdl.report(run).read_text()


def test_causal_may_be_said_as_the_objective_has_it(book):
    split = load_splits(f"chars:{book / 'book.txt'}", SPLITS, target=None, length=16)["train"]
    for objective, causal in (("language", True), ("masked", False)):
        recipe = language(book, size="mu", causal=causal).override(objective=objective)
        assert objectives.of(recipe).network(split).output_shape[-1] == split.build_args["vocabulary"]
        wrong = recipe.override(f"model_args.causal={not causal}")
        with pytest.raises(UserError, match=f"{objective} needs model_args.causal={causal}, .* Received: {not causal}"):
            objectives.of(wrong).network(split)


@pytest.mark.parametrize("rows, note", [([[1] * 9, [5] * 9], "of window 2 of the test split"),
                                        ([[5] * 9], "of the test split"), ([[1] * 9], "")])
def test_the_sample_of_a_report_begins_with_what_can_be_read(book, monkeypatch, caplog, rows, note):
    split = load_splits(f"chars:{book / 'book.txt'}", SPLITS, target=None, length=16)["train"]
    (book / "tokenizer.json").write_text(split.files["tokenizer.json"])
    write_json(book / "data.json", split.describe())
    monkeypatch.setattr("kerasdl.zoo.generation.sample", lambda *args, **kwargs: [6])
    findings = SimpleNamespace(splits=lambda name: SimpleNamespace(x=np.array(rows)), model=lambda: None, folder=book)
    with caplog.at_level(logging.WARNING):
        sections = Language(language(book), book).sampled(findings)
    assert [note in section.body for section in sections] == [True] * bool(note)
    assert bool(note) != ("The report has no sample: UserError: The prompt '' has no token" in caplog.text)


@pytest.mark.parametrize("kind", ["char", "word", "bpe", "bert", "whole"])
def test_a_book_in_pieces_has_the_tokens_of_the_whole(monkeypatch, tmp_path, kind):
    """And trains the same tokenizer; one that does not divide texts at spaces has a single piece."""
    letters = [*"abcdeZ", *" \n\t'.,_-1", "  ", "\n\n", "\u0301", "\u00a0", "\u3000", "\u4e2d", "\u03a3", "\x1c",
               " don't "]
    book = "".join(np.random.default_rng(0).choice(letters, 4000))
    parts = list(tokens.pieces(book, 40))
    assert "".join(parts) == book and len(parts) > 20
    args = tokens.TokenArgs(tokens=kind if kind in tokens.TRAINED else "word", vocabulary=400, lower=False)
    found = tokens.trained(args, [book])
    assert tokens.trained(args, parts).text == found.text
    if kind == "bert":
        vocabulary(tmp_path / "vocab.txt", *"abcdez", *(f"##{letter}" for letter in "abcdez"))
        found = tokens.opened(str(tmp_path / "vocab.txt"))
    if kind == "whole":
        found.tokenizer.pre_tokenizer = tokens.library().pre_tokenizers.Metaspace()
        found = tokens.Tokens(found.tokenizer.to_str())
    taken = []
    monkeypatch.setattr(tokens, "pieces", lambda content: taken.append(content) or parts)
    np.testing.assert_array_equal(found.ids(book), found.tokenizer.encode(book, add_special_tokens=False).ids)
    assert len(taken) == (kind != "whole")


# Words with tags


def test_words_without_a_token_keep_their_place(tmp_path):
    """What a tokenizer leaves nothing of stands between others, and an entity around it is missed."""
    file = tmp_path / "words.conll"
    file.write_text("a B-LOC\n\u200b I-LOC\nb I-LOC\nc O\nd B-LOC\n\n" * 20)
    args = {"target": "tags", "tokens": vocabulary(tmp_path / "vocab.txt", *LETTERS), "length": 5}
    split = load_splits(f"tags:{file}", SPLITS, **args)["train"]
    assert split.x[0].tolist() == [2, 5, 6, 7, 3]
    guess = np.array([[0, 1, 2, 0, 0]] * len(split))
    assert split.classes == ("O", "B-LOC", "I-LOC")
    truth, answer = named(split.y, guess, split.classes)
    assert truth[0] == ["B-LOC", "I-LOC", "I-LOC", "O", "B-LOC"]
    assert answer[0] == ["B-LOC", "O", "I-LOC", "O", "O"]
    objective = Tag(kerasdl.Recipe(model="rnn", objective="tag", data=f"tags:{file}"))
    objective.targets(split)
    assert objective.overall("f1", split.y, keras.ops.one_hot(guess, 3).numpy()) == 0
    assert objective.defined("f1", split.y)


def test_a_split_without_an_entity_has_no_f1(tmp_path):
    pytest.importorskip("seqeval")
    (tmp_path / "train.conll").write_text("Ada B-PER\nmet O\n\n" * 12)
    (tmp_path / "none.conll").write_text("she O\nmet O\n\n" * 4)
    recipe = kerasdl.Recipe(model="rnn", model_args={"size": "mu"}, objective="tag", epochs=1, batch=4,
                            data=f"tags:{tmp_path / 'train.conll'}")
    for part in ("val", "test"):
        with pytest.raises(UserError, match=f"f1 is undefined on the {part} split"):
            kerasdl.train(recipe, data_args={part: str(tmp_path / "none.conll")}, workdir=tmp_path / "run",
                          verbose=False)
    run = kerasdl.train(recipe, data_args={"test": str(tmp_path / "none.conll")}, monitor="accuracy",
                        workdir=tmp_path / "run", verbose=False)
    assert "f1" not in Run.open(run.path).result["test"] and "accuracy" in run.result["test"]
    assert "undefined" in kerasdl.report(run).read_text()
