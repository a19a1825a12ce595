"""Texts: tokens come from the training split alone, whatever the file, and a run answers raw text."""

import gzip
import json
import time
import unicodedata

import keras
import numpy as np
import pytest

import kerasdl
from kerasdl import objectives
from kerasdl.data import load_splits, texts, to_predict
from kerasdl.data.lengths import by_length, lengths
from kerasdl.data.sources import load_for
from kerasdl.data.sources import tags as tags_source
from kerasdl.data.sources import text as text_source
from kerasdl.data.tokens import TokenArgs, Tokens, opened
from kerasdl.errors import UserError
from kerasdl.evaluation import samples
from kerasdl.evaluation.padded import PaddedEvaluator
from kerasdl.evaluation.predict import predict
from kerasdl.objectives import ngrams
from kerasdl.objectives.tag import entity_scores, words_of
from kerasdl.objectives.token_loss import Bits, TokenAccuracy
from kerasdl.zoo.weights import public

pytest.importorskip("tokenizers")
pytest.importorskip("seqeval")
GOOD, BAD = ("good", "fine", "lovely"), ("poor", "dull", "awful")
SPLITS = {"train": "train", "val": "val", "test": "test"}
RECIPE = {"model": "rnn", "model_args": {"size": "mu", "cell": "gru"}, "epochs": 3, "batch": 8, "lr": 0.02}


def sentences(words, count, start):
    return [f"{'so ' * (number % 7)}{words[number % 3]} film number{number + start}" for number in range(count)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same sixty sentences as a table, lines of JSON, files of lines, and documents."""
    root = tmp_path_factory.mktemp("texts")
    good, bad = sentences(GOOD, 30, 0), sentences(BAD, 30, 100)
    rows = [(text, "good") for text in good] + [(text, "bad") for text in bad]
    (root / "texts.csv").write_text("review,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows))
    (root / "texts.jsonl").write_text("".join(
        json.dumps({"review": text, "label": label, "pictures": [1, 2]}) + "\n" for text, label in rows))
    (root / "lines").mkdir()
    (root / "lines" / "film.good").write_text("\n".join(good) + "\n\n")
    (root / "lines" / "film.bad").write_text("\n".join(bad) + "\n")
    for label, some in (("good", good), ("bad", bad)):
        (root / "documents" / label).mkdir(parents=True)
        for number, text in enumerate(some):
            (root / "documents" / label / f"{number:02}.txt").write_text(text)
    return root


def load(files, name, **args):
    table = {"text": "review", "label": "label"} if "." in name else {}
    return load_splits(f"text:{files / name}", SPLITS, length=10, **table, **args)


@pytest.mark.parametrize("name", ["texts.csv", "texts.jsonl", "lines", "documents"])
def test_every_form_gives_the_same_texts(files, name):
    found = load(files, name)
    assert [len(found[part]) for part in SPLITS] == [42, 6, 12]
    assert found["train"].classes == ("bad", "good") and found["train"].kind == "tokens"
    pairs = {(text, split.classes[label]) for split in found.values()
             for text, label in zip(split.texts, split.y, strict=True)}
    assert pairs == {*((text, "good") for text in sentences(GOOD, 30, 0)),
                     *((text, "bad") for text in sentences(BAD, 30, 100))}


@pytest.mark.parametrize("kind", ["word", "bpe", "char"])
def test_the_vocabulary_is_that_of_the_training_split(files, kind):
    found = load(files, "texts.csv", tokens=kind, vocabulary=300)
    tokens = Tokens(found["train"].files["tokenizer.json"])
    again = Tokens.of(TokenArgs(tokens=kind, vocabulary=300), found["train"].texts)
    assert tokens.text == again.text and tokens.size == found["train"].build_args["vocabulary"]
    assert found["train"].x.max() < tokens.size and (found["train"].x[:, 0] > 0).all()
    if kind == "word":  # each text has a number of its own, which no other text has
        assert (found["train"].x != 1).all() and ((found["test"].x == 1).sum(1) == 1).all()


def test_a_text_that_is_cut_is_counted(files):
    found = load(files, "texts.csv")["train"]
    assert found.remarks == ()
    short = load_splits(f"text:{files / 'texts.csv'}", SPLITS, length=4, text="review", label="label")["train"]
    cut = sum(len(text.split()) > 4 for text in short.texts)
    assert f"{cut} of the 42 texts of train have more than length=4 tokens" in short.remarks[0]


@pytest.mark.parametrize("args, message", [
    ({}, "Say which column"), ({"text": "reviews"}, "no column 'reviews'"),
    ({"text": "review", "label": "rating"}, "no column 'rating'"),
    ({"text": "label", "label": "review"}, "Are label and text=label swapped"),
    ({"text": "review", "label": "label", "tokens": "nowhere.json"}, "There is no file 'nowhere.json'"),
])
def test_mistakes_in_columns(files, args, message):
    with pytest.raises(UserError, match=message):
        load_splits(f"text:{files / 'texts.csv'}", SPLITS, **args)


@pytest.mark.parametrize("content, message", [
    (b"review,label\ngood film,a\n ,b\n" + b"dull,b\n" * 20, "1 of 22 texts are empty, or a word"),
    (b"review,label\ngood film,a\nN/A,b\n" + b"dull,b\n" * 20, "such as NA, None or null, first that of .*a.csv:3"),
    (b"review,label\n" + b"dull,b\n" * 20, "one class only"),
])
def test_mistakes_in_rows(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_splits(f"text:{tmp_path / 'a.csv'}", SPLITS, text="review", label="label")


def test_another_encoding_is_named(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"plain\n" * 9 + "caf\xe9\n".encode("latin-1") + b"plain\n" * 9)
    with pytest.raises(UserError, match=r"a:10 is not utf-8: it has the byte 0xe9"):
        load_splits(f"text:{tmp_path}", SPLITS)
    assert load_splits(f"text:{tmp_path}", SPLITS, encoding="latin-1")["train"].target == "class"


@pytest.mark.parametrize("name", ["texts.csv", "lines"])
def test_texts_without_labels_are_divided_as_with_them(files, name):
    args = {"length": 10, **({"text": "review", "label": "label"} if name == "texts.csv" else {})}
    with_labels, without = (load_splits(f"text:{files / name}", SPLITS, target=target, **args)
                            for target in ("class", None))
    for part in SPLITS:
        assert list(without[part].texts) == list(with_labels[part].texts) and without[part].y is None


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    return kerasdl.train(kerasdl.Recipe(**RECIPE, data=f"text:{files / 'texts.csv'}",
                                        data_args={"text": "review", "label": "label", "length": 10}),
                         workdir=tmp_path_factory.mktemp("run") / "run", verbose=False)


def test_a_run_answers_raw_text(run, files, tmp_path):
    controls = run.result["controls"]["tf-idf + logistic regression"]
    assert controls["test"]["accuracy"] == 1.0 and run.result["test"]["accuracy"] > 0.8
    (tmp_path / "holes.csv").write_text("review,more\na lovely film,1\n,2\n")
    with pytest.raises(UserError, match="holes.csv:3 is empty, or a word .* such as NA"):
        predict(run, [tmp_path / "holes.csv"])
    (tmp_path / "new.txt").write_text("a lovely film\n\nan awful film\n")  # lines are read as in training
    (tmp_path / "new.csv").write_text("review\na lovely film\nan awful film\n")
    lines, rows = (predict(run, [tmp_path / name], top=1) for name in ("new.txt", "new.csv"))
    assert [answer[0][0] for _, answer in lines] == ["good", "bad"]
    assert [name for name, _ in lines] == [f"{tmp_path / 'new.txt'}:{number}" for number in (1, 3)]
    assert [answer for _, answer in rows] == [answer for _, answer in lines]


def test_other_texts_have_the_tokens_of_the_run(run, files):
    from kerasdl.evaluation.evaluate import evaluate

    found = evaluate(run, split="all", data=f"text:{files / 'texts.csv'}")
    assert found["accuracy"] > 0.8


def test_val_of_other_texts_holds_none_of_their_test_part(run, tmp_path):
    for part, start in (("train", 200), ("test", 300)):
        for name, words in (("good", GOOD), ("bad", BAD)):
            (tmp_path / part).mkdir(exist_ok=True)
            (tmp_path / part / f"{name}.txt").write_text("\n".join(sentences(words, 20, start)))
    facts = {"target": "class", "text": "review", "label": "label"}
    found = {part: set(load_for(run.data, f"text:{tmp_path}", part, **facts).texts) for part in SPLITS}
    assert [len(texts) for texts in found.values()] == [36, 4, 40] and not found["val"] & found["test"]


def test_a_folder_of_texts_says_what_does_not_fit(tmp_path):
    """Classes that are in one part alone, arguments of tables, and files that tell of the others."""
    for part, names in (("train", ("good", "bad", "unsup")), ("test", ("good", "bad"))):
        (tmp_path / part).mkdir()
        for name in names:
            (tmp_path / part / f"{name}.txt").write_text("\n".join(f"{name} film {number}" for number in range(20)))
    with pytest.raises(UserError, match="'unsup' of .* is in train but not in test"):
        load_splits(f"text:{tmp_path}", SPLITS)
    (tmp_path / "train" / "unsup.txt").unlink()
    (tmp_path / "train" / "README.md").write_text("Films.")
    (tmp_path / "train" / "good.txt~").write_text("an older copy")
    assert load_splits(f"text:{tmp_path}", SPLITS)["train"].classes == ("bad", "good")
    for args in ({"group": "author"}, {"test": "nowhere.csv"}):
        with pytest.raises(UserError, match=f"is no table, and data_args.{next(iter(args))}"):
            load_splits(f"text:{tmp_path}", SPLITS, **args)


def test_a_folder_says_how_to_unset_the_columns_of_a_recipe(files):
    with pytest.raises(UserError, match=r"Set data_args.text=None data_args.label=None data_args.attributes=\[\]$"):
        text_source.look(str(files / "lines"), target="class", text="text", label="label", attributes="author")
    text_source.look(str(files / "lines"), target="class", text=None, label=None, attributes=[])


@pytest.mark.parametrize("name", ["texts.csv", "texts.jsonl"])
def test_a_compressed_table_is_the_table(files, run, name, tmp_path):
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress((files / name).read_bytes()))
    args = {"text": "review", "label": "label", "length": 10}
    text_source.look(str(packed), target="class", **args)
    found, wanted = load_splits(f"text:{packed}", SPLITS, **args)["test"], load(files, name)["test"]
    assert list(found.texts) == list(wanted.texts) and list(found.y) == list(wanted.y)
    asked, = list(text_source.read_files([packed], run.data | {"run": str(run.path)}))
    assert len(asked.x) == 60


def test_a_table_of_many_texts_is_read_in_one_pass(monkeypatch, tmp_path):
    class Lengths:
        def encode(self, some, length):
            return np.array([len(text) for text in some]), None

    (tmp_path / "many.csv").write_text("review\n" + "a\n,\nbbb\n".replace(",", '""') * 5000)
    monkeypatch.setattr("kerasdl.data.texts.tokens_of", lambda facts: Lengths())
    start = time.process_time()
    chunk, = text_source.read_files([tmp_path / "many.csv"], {"reading": {"text": "review"}, "shape": [1]})
    assert time.process_time() - start < 2
    assert chunk.x.tolist() == [1, 3] * 5000 and [fault.place for fault in chunk.faults] == list(range(1, 10000, 2))


@pytest.mark.parametrize("words", [["TRUE", "FALSE", "MIXED"], ["1.0", "2.0", "beta"], ["007", "008", "12A"]])
def test_labels_are_the_same_words_in_every_file(tmp_path, words):
    """Whether pandas takes TRUE or 1.0 for a text depends on the other rows."""
    for name, some in (("a.csv", words), ("b.csv", words[:2])):
        (tmp_path / name).write_text("review,label\n" + "".join(
            f"film {number},{some[number % len(some)]}\n" for number in range(60)))
    data, args = f"text:{tmp_path / 'a.csv'}", {"text": "review", "label": "label"}
    found = load_splits(data, SPLITS, test=str(tmp_path / "b.csv"), **args)
    (tmp_path / "tokenizer.json").write_text(found["train"].files["tokenizer.json"])
    facts = found["train"].describe() | {"run": str(tmp_path)}
    other = load_for(facts, f"text:{tmp_path / 'b.csv'}", "all", target="class", **args)
    assert found["train"].classes == tuple(sorted(words))
    for split in (found["test"], other):
        assert [split.classes[label] for label in split.y] == words[:2] * 30


def test_dates_of_texts_may_be_written_as_elsewhere(tmp_path):
    (tmp_path / "a.csv").write_text("review,label,day\n" + "".join(
        f"film {number},{number % 2},{number % 28 + 1:02}.{number // 28 + 1:02}.2024\n" for number in range(56)))
    args = {"text": "review", "label": "label", "order": "day"}
    with pytest.raises(UserError, match="data_args.date_format=%d.%m.%Y"):
        load_splits(f"text:{tmp_path / 'a.csv'}", SPLITS, **args)
    found = load_splits(f"text:{tmp_path / 'a.csv'}", SPLITS, date_format="%d.%m.%Y", **args)
    assert list(found["test"].texts) == [f"film {number}" for number in range(45, 56)]


def test_marks_of_utf_8_and_files_of_systems_are_no_text(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"review": f"film {number}", "label": number % 2}) + "\n"
                                              for number in range(20)), encoding="utf-8-sig")
    assert len(load_splits(f"text:{tmp_path / 'a.jsonl'}", SPLITS, text="review", label="label")["train"]) == 14
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "._1.txt").write_bytes(b"\x00\x05\x16\x07\xff")
    (tmp_path / "book" / "1.txt").write_text("one " * 60)
    (tmp_path / "book" / "2.TXT").write_text("two " * 60)
    found = load_splits(f"chars:{tmp_path / 'book'}", SPLITS, target=None, length=8)
    tokens = Tokens(found["train"].files["tokenizer.json"])
    assert {letter for row in found["test"].x for letter in tokens.decode(row)} == set("two ")


@pytest.mark.parametrize("folders", [True, False])
def test_a_class_is_the_same_in_every_form_of_unicode(tmp_path, folders):
    """macOS writes an accent as a sign of its own."""
    for part, form in (("train", "NFD"), ("test", "NFC")):
        for name in ("caf\xe9", "bar"):
            place = tmp_path / part / unicodedata.normalize(form, name)
            place.mkdir(parents=True) if folders else place.parent.mkdir(exist_ok=True)
            for number in range(10):
                with open(place / f"{number}.txt" if folders else place, "a") as file:
                    file.write(f"{name} {number}\n")
    found = load_splits(f"text:{tmp_path}", SPLITS)
    assert found["train"].classes == ("bar", "caf\xe9") and np.bincount(found["test"].y).tolist() == [10, 10]


def test_a_class_may_be_called_as_a_part_is(tmp_path):
    for name in ("bus", "car", "train"):
        (tmp_path / name).mkdir()
        for number in range(10):
            (tmp_path / name / f"{number}.txt").write_text(f"a {name} of line {number}")
    assert load_splits(f"text:{tmp_path}", SPLITS)["train"].classes == ("bus", "car", "train")
    (tmp_path / "test").mkdir()
    with pytest.raises(UserError, match="folders for parts, such as 'test', next to others, such as 'bus'"):
        load_splits(f"text:{tmp_path}", SPLITS)


@pytest.mark.parametrize("name", ["texts.csv", "lines"])
def test_texts_of_classes_that_a_model_has_not_are_left_out_if_it_learned_some(files, tmp_path, name):
    args = {"text": "review", "label": "label"} if name == "texts.csv" else {}
    train = load(files, name)["train"]
    (tmp_path / "tokenizer.json").write_text(train.files["tokenizer.json"])
    facts = train.describe() | {"run": str(tmp_path), "classes": ["good", "fair"]}
    data = f"text:{files / name}"
    with pytest.raises(UserError, match="'bad'"):
        load_for(facts, data, "all", target="class", **args)
    for part, count in (("all", 30), ("test", 6)):
        found = load_for(facts, data, part, target="class", classes="good,fair", **args)
        assert len(found) == count and not found.y.any()
    facts["classes"] = ["fair", "odd"]
    with pytest.raises(UserError, match="no class of the model's: fair, odd"):
        load_for(facts, data, "all", target="class", classes="fair,odd", **args)


def test_texts_of_one_class_alone_are_evaluated(files, tmp_path):
    train = load(files, "lines")["train"]
    (tmp_path / "tokenizer.json").write_text(train.files["tokenizer.json"])
    (tmp_path / "one" / "good").mkdir(parents=True)
    (tmp_path / "one" / "good" / "a.txt").write_text("a film that is good")
    found = load_for(train.describe() | {"run": str(tmp_path)}, f"text:{tmp_path / 'one'}", "all", target="class")
    assert found.y.tolist() == [train.classes.index("good")]


def test_the_tokenizer_of_public_weights_is_checked(monkeypatch, tmp_path):
    monkeypatch.setenv("KERASDL_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="kerasdl weights get minilm"):
        opened("minilm")
    (file := public.folder() / "minilm" / "tokenizer.json").parent.mkdir(parents=True)
    file.write_text("{}")
    with pytest.raises(UserError, match="not the file of the weights 'minilm': expected the sha256"):
        opened("minilm")


def test_other_tables_are_divided_by_group_as_the_training_was(tmp_path):
    lines = [f"text {number},{number % 2},{number // 4}" for number in range(80)]
    (tmp_path / "texts.csv").write_text("\n".join(["review,label,author", *lines]))
    args, name = {"text": "review", "label": "label", "group": "author"}, f"text:{tmp_path / 'texts.csv'}"
    splits = load_splits(name, SPLITS, **args)
    (tmp_path / "tokenizer.json").write_text(splits["train"].files["tokenizer.json"])
    facts = splits["train"].describe() | {"run": str(tmp_path)}
    for part, split in splits.items():
        assert list(load_for(facts, name, part, target="class", **args).texts) == list(split.texts)


def test_blanks_and_strange_ends_of_lines_are_read_alike_in_training_and_prediction(tmp_path):
    (films := tmp_path / "films").mkdir()
    for name in ("good", "bad"):
        (films / f"{name}.txt").write_text("".join(f"{name} \x85 film {number} \r\n" for number in range(20)))
    train = load_splits(f"text:{films}", SPLITS, tokens="char")["train"]
    assert len(train.texts) == 28 and all("\x85" in text and text == text.strip() for text in train.texts)
    (tmp_path / "tokenizer.json").write_text(train.files["tokenizer.json"])
    facts = train.describe() | {"run": str(tmp_path)}
    (chunk,) = text_source.read_files([films / "good.txt"], facts)
    known = {tuple(row) for row in load_for(facts, f"text:{films}", "all", target="class").x}
    assert len(chunk.x) == 20 and {tuple(row) for row in chunk.x} <= known


@pytest.mark.parametrize("encoding, content", [("iso2022_jp", "映画は良い\n"), ("utf-16-le", "fine film\n"),
                                               ("hz", "电影\n"), ("latin-1", "caf\xe9\n"), ("gbk", "电影\n")])
def test_a_model_reads_files_in_the_encoding_of_its_training_or_in_utf_8(tmp_path, encoding, content):
    (file := tmp_path / "a.txt").write_bytes(content.encode(encoding))
    assert texts.decoded_as_trained(file, encoding) == content
    file.write_text("caf\xe9s, 电影!\n", encoding="utf-8")
    assert texts.decoded_as_trained(file, encoding) == "caf\xe9s, 电影!\n"


def test_the_tokenizer_of_another_run_is_refused(run, files, tmp_path):
    recipe = run.recipe.override(init=str(run.path), data_args={"tokens": "char"})
    with pytest.raises(UserError, match=f"data_args.tokens={run.path}"):
        kerasdl.train(recipe, workdir=tmp_path / "run", verbose=False)


def test_batches_of_similar_lengths_hold_every_example_once(files):
    import tensorflow as tf

    split = load(files, "texts.csv")["train"]
    length = lengths(split)
    np.testing.assert_array_equal(length, [len(text.split()) for text in split.texts])
    order = np.random.default_rng(0).permutation(42)[:40]
    found = by_length(tf.constant(order), tf.constant(length), tf.constant([3, 1, 4, 0, 2], tf.int64), 8).numpy()
    assert sorted(found) == sorted(order)
    spread = np.ptp(length[found].reshape(5, 8), axis=1)
    assert spread.mean() < np.ptp(length[order].reshape(5, 8), axis=1).mean() / 2


def test_streamed_is_resident_and_resumed_is_unbroken(run, tmp_path):
    streamed = kerasdl.train(run.recipe, workdir=tmp_path / "streamed", feed="streamed", verbose=False)
    part = kerasdl.train(run.recipe, workdir=tmp_path / "part", verbose=False, stop_after=1)
    whole = kerasdl.train(run.recipe, workdir=part.path, verbose=False)
    for other in (streamed, whole):
        for ours, theirs in zip(run.model().get_weights(), other.model().get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_batch_of_texts_in_parts_is_the_batch(run, tmp_path):
    """A token of both parts has the sum of what they say."""
    parts = kerasdl.train(run.recipe.override(accumulate=2), workdir=tmp_path / "parts", verbose=False)
    for ours, theirs in zip(run.model().get_weights(), parts.model().get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


# A book


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    file = tmp_path_factory.mktemp("book") / "book.txt"
    file.write_text("the cat sat on the mat.\n" * 60)
    recipe = kerasdl.Recipe(model="transformer", model_args={"size": "mu"}, objective="language",
                            data=f"chars:{file}", data_args={"length": 16}, epochs=2, batch=16, lr=0.01)
    return kerasdl.train(recipe, workdir=file.parent / "run", verbose=False)


def test_windows_cover_each_part_and_no_other(book):
    found = load_splits(book.recipe.data, SPLITS, target=None, length=16)
    text = "the cat sat on the mat.\n" * 60
    tokens = Tokens(found["train"].files["tokenizer.json"])
    test = "".join(tokens.decode(row[:16]) for row in found["test"].x)
    assert text.endswith(test) and len(test) == round(len(text) * 0.1)
    assert (found["train"].x[1:, 0] == found["train"].x[:-1, 4]).all()  # four windows hold a character


def test_a_language_model_learns_and_continues(book):
    bits, control = book.result["test"]["bits"], book.result["controls"]["frequencies of tokens"]["test"]["bits"]
    assert bits < control / 2
    assert book.result["test"]["loss"] == pytest.approx(bits * np.log(2), rel=0.05)
    text = samples.continued(book, "the c", 20, temperature=0.5, seed=1)
    assert text == samples.continued(book, "the c", 20, temperature=0.5, seed=1)
    assert text.startswith("the c") and len(text) == 25 and text != samples.continued(book, "the c", 20, seed=2)
    with pytest.raises(UserError, match="--prompt"):
        samples.sample(book)


def test_ngrams_are_those_of_witten_and_bell_counted_once():
    """Against their formula, token by token; of rows that overlap, as the windows of a book do, each token counts once.
    """
    text = np.random.default_rng(0).integers(1, 5, 400)
    def rows(tokens, step):
        return np.stack([tokens[begin:begin + 9] for begin in range(0, len(tokens) - 8, step)])
    train, asked = rows(text[:201], 2), rows(text[200:], 8)
    found = ngrams.bits(train, 2, {"test": asked}, 5)

    def likely(context, token):
        after = [text[place + len(context)] for place in range(1 if not context else 0, 201 - len(context))
                 if tuple(text[place:place + len(context)]) == context]
        shorter = likely(context[1:], token) if context else 1 / 4
        return (after.count(token) + len(set(after)) * shorter) / (len(after) + len(set(after))) if after else shorter

    for order in (0, 1, 3):
        bits = [-np.log2(likely(tuple(row[max(0, place - order):place]), row[place]))
                for row in asked for place in range(1, 9)]
        assert found[order]["test"] == pytest.approx(np.mean(bits), rel=1e-12)
    short = np.pad(text[:40].reshape(-1, 2), ((0, 0), (0, 7)))
    assert len(ngrams.bits(short, 8, {"test": short}, 5)) == 2  # no token has two before it


@pytest.mark.parametrize("metric", [Bits, TokenAccuracy])
def test_batches_of_other_lengths_count_by_their_tokens(metric):
    random, whole = np.random.default_rng(0), metric()
    logits, y = random.normal(size=(6, 20, 4)).astype("float32"), random.integers(0, 4, (6, 20))
    y[:2, 5:] = -1  # two short ones
    whole.update_state(y, logits, np.arange(6.0))
    parts = metric()
    parts.update_state(y[:2, :5], logits[:2, :5], np.arange(2.0))
    parts.update_state(y[2:], logits[2:], np.arange(2.0, 6.0))
    assert float(parts.result()) == pytest.approx(float(whole.result()), rel=1e-6)


def test_hidden_tokens_are_the_same_however_an_evaluation_is_fed(files, monkeypatch):
    train = load_splits(f"text:{files / 'texts.csv'}", SPLITS, length=64, text="review", label="label",
                        tokens="bpe")["train"]
    objective = objectives.of(kerasdl.Recipe(**RECIPE, objective="masked", data="text:texts.csv"))
    evaluator = PaddedEvaluator(objective, objective.network(train), 3)
    resident = evaluator(train)
    monkeypatch.setattr("kerasdl.devices.on_device.fits", lambda split: False)
    assert evaluator(train) == pytest.approx(resident, rel=1e-5)


def test_a_masked_run_is_evaluated_by_the_tokenizer_that_it_keeps(files, tmp_path):
    from kerasdl.evaluation.evaluate import evaluate

    recipe = kerasdl.Recipe(**RECIPE, objective="masked", data=f"text:{files / 'texts.csv'}", data_args={
        "text": "review", "label": "label", "tokens": "bpe", "length": 16})
    run = kerasdl.train(recipe, epochs=1, workdir=tmp_path / "run", verbose=False)
    assert evaluate(run, "val") == pytest.approx(run.result["val"], rel=1e-5)


def test_hidden_tokens_are_15_percent_and_80_10_10(files):
    import tensorflow as tf

    from kerasdl.objectives.masked import Masked

    split = load(files, "texts.csv", tokens="bpe", vocabulary=300)["train"]
    objective = Masked(kerasdl.Recipe(model="transformer", model_args={"size": "mu"}, objective="masked", data="x"))
    objective.check(split)
    objective.network(split)
    x = np.tile(split.x, (200, 1))
    shown, target = (value.numpy() for value in objective.prepare(tf.constant(x), None, tf.constant([1, 2], tf.int64)))
    chosen = target >= 0
    assert (target[chosen] == x[chosen]).all() and (shown[~chosen] == x[~chosen]).all() and not chosen[x == 0].any()
    assert chosen.sum() / (x > 4).sum() == pytest.approx(0.15, abs=0.01)
    assert (shown[chosen] == objective.tokens.mask).mean() == pytest.approx(0.8, abs=0.02)
    assert (shown[chosen] == x[chosen]).mean() == pytest.approx(0.1, abs=0.02)
    again = objective.prepare(tf.constant(x), None, tf.constant([1, 3], tf.int64))[0].numpy()
    assert (again != shown).any()


# Words with tags

CONLL = """-DOCSTART- -X- O

Ada B-PER
Lovelace I-PER
met O
Babbage B-PER

London B-LOC
is O
large O

"""


@pytest.fixture
def tags(tmp_path):
    (tmp_path / "train.conll").write_text(CONLL * 12)
    return tmp_path / "train.conll"


def test_first_tokens_are_scored_and_words_that_are_cut_count_as_missed(tags):
    found = load_splits(f"tags:{tags}", SPLITS, target="tags", length=3, tokens="word")["train"]
    assert found.classes == ("O", "B-LOC", "B-PER", "I-PER") and found.target == "tags" and found.y.shape[1] == 4
    row = found.y[[text.startswith("Ada") for text in found.texts]][0]
    assert row.tolist() == [2, 3, 0, 2]  # Babbage is cut off, and is in the targets
    assert "with" in found.remarks[0] and "entities, which count as missed" in found.remarks[0]


def test_the_last_word_is_the_word_that_it_is_elsewhere(tags, tmp_path):
    """The token that ends every sentence is none of its last word."""
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz",
                                                  *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]))
    tags.write_text("ada B-PER\nmet O\nbob B-PER\n\nbob B-PER\nmet O\nada B-PER\n\n" * 8)
    train = load_splits(f"tags:{tags}", SPLITS, target="tags", tokens=str(tmp_path / "vocab.txt"), length=12)["train"]
    assert len({word for _, _, word in words_of(train)}) == 3


def test_f1_of_a_fixture_that_was_counted_by_hand():
    truth = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-LOC", "I-LOC"], ["O", "I-PER"]]
    answer = [["B-PER", "O", "O", "B-LOC"], ["O", "B-LOC", "I-LOC"], ["B-PER", "O"]]
    found = entity_scores(truth, answer)["micro avg"]  # 3 true entities, 4 answered, 2 right
    assert (found["precision"], found["recall"], found["support"]) == (0.5, pytest.approx(2 / 3), 3)


def test_another_file_of_tags_is_divided_itself(tags, tmp_path):
    """And not scored on the test file of the training."""
    other, own = tmp_path / "other.conll", tmp_path / "own.conll"
    other.write_text("".join(f"Zoe{number} B-PER\nruns O\n\n" for number in range(20)))
    own.write_text("Ada B-PER\nmet O\nLondon B-LOC\n\n" * 12)
    args = {"test": str(own), "tokens": "word"}
    train = load_splits(f"tags:{own}", SPLITS, target="tags", tokens="word")["train"]
    (tmp_path / "tokenizer.json").write_text(train.files["tokenizer.json"])
    facts = train.describe() | {"run": str(tmp_path)}
    found = load_for(facts, f"tags:{other}", "test", target="tags", **args)
    assert len(found) == 4 and all("Zoe" in text for text in found.texts)
    with pytest.raises(UserError, match="train, val, test, all"):
        load_for(facts, f"tags:{other}", "foo", target="tags", **args)
    for number, tagged in enumerate((own.read_text(), "-DOCSTART- -X- O X\n\nAda B-PER NNP\nmet O VBD\n",
                                     "New York\tB-LOC\tx y\nmet\tO\tz\n")):
        facts["reading"] = facts["reading"] | {"columns": facts["reading"]["columns"] | {"tag": 1 if number else -1}}
        (tmp_path / "columns.txt").write_text(tagged)
        with pytest.raises(UserError, match="Call it .conll"):
            list(tags_source.read_files([tmp_path / "columns.txt"], facts))
    (tmp_path / "columns.txt").write_text("Ada met Babbage\nO\n")
    assert len(next(tags_source.read_files([tmp_path / "columns.txt"], facts)).x) == 2
    (tmp_path / "columns.tsv").write_text(tagged)
    (found,) = to_predict.read(str(tmp_path / "columns.tsv"), facts)
    assert [word for word, _ in found.words[0]] == ["New York", "met"]


def test_parts_that_lose_other_numbers_of_words_are_one_training_split(tags, tmp_path):
    (tmp_path / "long.conll").write_text("Ada B-PER\n" + "met O\n" * 8 + "\n")
    args = {"length": 3, "val": str(tmp_path / "long.conll"), "target": "tags"}
    found = load_splits(f"tags:{tags}", SPLITS | {"train": "train+val"}, **args)
    assert found["train"].y.shape[1] == found["test"].y.shape[1] == 9
    assert len(found["train"]) == len(found["train"].y) and (found["train"].y[-1] >= 0).all()


def test_tags_that_continue_nothing_are_reported(tags):
    tags.write_text(CONLL * 12 + "a O\nb I-LOC\n")
    found = load_splits(f"tags:{tags}", SPLITS, target="tags", length=8)["train"]
    assert f"1 tag of train continues an entity that did not begin, first {tags}:134" in found.remarks[0]
    found = load_splits(f"tags:{tags}", SPLITS, target="tags", length=8, scheme="iob1")
    assert not found["train"].remarks


def test_blanks_other_than_spaces_and_tabs_are_parts_of_words(tags):
    tags.write_text("10\u00a0000  O\n\u3000 O\n\u3000\tO\nAda B-PER\u00a0\n \t \nBob B-PER\n")
    found = tags_source.sentences(str(tags), tags_source.Args())
    assert found.words == [["10\u00a0000", "\u3000", "\u3000", "Ada"], ["Bob"]] and found.tags[0][-1] == "B-PER"


@pytest.mark.parametrize("line, message", [("word\n", "train.conll:1 has 1 column, 'word'"),
                                           ("word X-LOC\n", "has the tag 'X-LOC'")])
def test_mistakes_in_columns_of_words(tags, line, message):
    tags.write_text(line + CONLL)
    with pytest.raises(UserError, match=message):
        load_splits(f"tags:{tags}", SPLITS, target="tags")


def test_a_tagger_learns_and_names_each_word(tags, tmp_path, command):
    recipe = kerasdl.Recipe(**RECIPE | {"epochs": 40}, objective="tag", data=f"tags:{tags}", data_args={"length": 8})
    run = kerasdl.train(recipe, workdir=tmp_path / "run", verbose=False)
    assert run.result["test"]["f1"] > 0.9 and run.result["entities"]["micro avg"]["support"] > 0
    control = run.result["controls"]["most frequent tag of each word"]
    assert control["test"]["f1"] == 1.0  # each word has one tag in this file
    (tmp_path / "new.txt").write_text("London met Babbage\n")
    (_, answers), = predict(run, [tmp_path / "new.txt"])
    assert [word.partition("/")[0] for word, _ in answers] == ["London", "met", "Babbage"]
    assert command("predict", run.path, tmp_path / "new.txt", "--out", tmp_path / "new.csv").code == 0
    assert (tmp_path / "new.csv").read_text().splitlines() == [
        "example,prediction", f"{tmp_path / 'new.txt'}:1,{' '.join(word for word, _ in answers)}"]
    assert isinstance(run.model(), keras.Model)
