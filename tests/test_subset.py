"""Some classes of a set, and a few examples of each: the same ones every time, and as a recipe says."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import wavfile

from kerasdl import Recipe, objectives
from kerasdl.data import Split, from_frame, load, load_splits, subset
from kerasdl.data.sources import load_for
from kerasdl.errors import DataError, UserError
from kerasdl.evaluation import controls
from kerasdl.evaluation.splits import load_split
from kerasdl.train.fit import train


def test_classes_are_numbered_anew_in_the_order_given():
    whole, some = load("digits", "test"), load("digits", "test", classes=["7", "0", "3"])
    assert some.classes == ("7", "0", "3") and len(some) == np.isin(whole.y, (7, 0, 3)).sum()
    for new, old in enumerate((7, 0, 3)):
        np.testing.assert_array_equal(some.x[some.y == new], whole.x[whole.y == old])
    assert some.y.dtype == whole.y.dtype


def test_a_split_without_the_classes_is_refused():
    one = load("digits", "test[:1]")
    others = [name for label, name in enumerate(one.classes) if label != one.y[0]][:2]
    with pytest.raises(DataError, match=f"test.* has no example of {others[0]}, {others[1]}"):
        load("digits", "test[:1]", classes=others)


def test_per_class_takes_the_first_of_each_from_the_training_split_alone():
    splits = load_splits("digits", {"train": "train[200:]", "test": "test"}, per_class=5)
    assert len(splits["test"]) == 360 and np.bincount(splits["train"].y).tolist() == [5] * 10
    whole = load("digits", "train[200:]")
    for label in range(10):
        np.testing.assert_array_equal(splits["train"].x[splits["train"].y == label], whole.x[whole.y == label][:5])
    assert len(load("digits", "test", per_class=3)) == 30


def test_a_seed_draws_others_and_the_same_again():
    def drawn(seed: int | None) -> list[bytes]:
        split = load_splits("digits", {"train": "train"}, per_class=5, per_class_seed=seed)["train"]
        assert np.bincount(split.y).tolist() == [5] * 10
        return [image.tobytes() for image in split.x]

    assert drawn(0) == drawn(0)
    assert len({*drawn(0)} & {*drawn(1)}) < 10 and len({*drawn(0)} & {*drawn(None)}) < 10
    with pytest.raises(DataError, match="per_class_seed is a whole number, 0 or more"):
        drawn(-1)


def test_other_slices_give_other_examples():
    one, other = (load("digits", f"train[{start}:]", per_class=5) for start in (0, 300))
    pictures = [{image.tobytes() for image in split.x} for split in (one, other)]
    assert not pictures[0] & pictures[1]


def test_a_run_has_them_and_eval_reads_them_again(here, hard_recipe):
    run = train(hard_recipe, data_args={"classes": ("1", "2"), "per_class": 8}, batch=16, epochs=1, verbose=False)
    assert run.data["classes"] == ["1", "2"] and run.result["train"]["steps"] == 1
    assert len(load_split(run, "train")) == 16
    test = load_split(run, "test")
    assert test.classes == ("1", "2") and len(test) > 60


def test_folders_and_tables_have_them_too(table):
    split = load(f"csv:{table}", label="kind", per_class=4)
    assert np.bincount(split.y).tolist() == [4, 4] and split.x.shape[0] == 8


@pytest.mark.parametrize("args, words", [
    ({"classes": ["1", "elven"]}, "no class 'elven'"), ({"classes": ["1"]}, "two different ones"),
    ({"classes": ["1", "1"]}, "two different ones"), ({"per_class": 0}, "1 or more"), ({"per_class": 2.5}, "2.5"),
    ({"per_class": 500}, "class '0' has"), ({"clases": ["1", "2"]}, "Did you mean 'classes'"),
])
def test_what_cannot_be(args, words):
    with pytest.raises(UserError, match=words):
        load("digits", **args)


def written(root, form):
    """Write ninety examples of the classes x, y and z in a form; return the name of the data and its arguments."""
    rows = pd.DataFrame({"kind": np.random.default_rng(0).choice(list("xyz"), 90), "number": np.arange(90) % 88})
    rows["text"], rows["who"] = [f"film {number}" for number in range(90)], np.arange(90)
    rows.to_csv(file := root / f"{form}.csv", index=False)
    if form in ("text", "csv", "series"):
        return f"{form}:{file}", {"text": {"text": "text", "label": "kind"},
                                  "csv": {"label": "kind", "drop": ["text", "who"], "keep": ["number"]},
                                  "series": {"id": "who", "value": "number", "label": "kind"}}[form]
    (root / form).mkdir()
    for number, kind in enumerate(rows.kind):
        if form == "images":
            Image.new("L", (2, 2), number).save(root / form / f"{number}.png")
        elif form == "audio":
            wavfile.write(root / form / f"{kind}_{number}.wav", 8000, np.full(9, number, "int16"))
        else:
            with open(root / form / kind, "a") as lines:
                lines.write(f"film {number}\n")
    return {"images": (f"csv:{file}", {"image": "who", "suffix": ".png", "root": str(root / form), "label": "kind"}),
            "audio": (f"audio:{root / form}", {"label": "^(.)_"}), "lines": (f"text:{root / form}", {})}[form]


@pytest.mark.parametrize("form, target", [
    *((form, "class") for form in ("csv", "text", "lines", "series", "images", "audio")),
    *((form, None) for form in ("csv", "text", "lines", "images"))])
def test_another_file_is_divided_with_what_is_left_out(tmp_path, form, target):
    """So the same file under another name has the parts of the training, also where nobody learns the label."""
    if form in ("text", "lines"):
        pytest.importorskip("tokenizers")
    name, args = written(tmp_path, form)
    args |= {"classes": ["z", "y"]} if target else {}
    parts = load_splits(name, {part: part for part in ("train", "val", "test")}, target=target, **args)
    for file, text in parts["train"].files.items():
        (tmp_path / file).write_text(text)
    facts = parts["train"].describe() | {"run": str(tmp_path)}
    for part, wanted in parts.items():
        found = load_for(facts, name, part, target=target, **args)
        np.testing.assert_array_equal(found.x, wanted.x)
        np.testing.assert_array_equal(found.y, wanted.y)
    if target:
        assert len(load_for(facts, name, "all", target=target, **args)) == sum(map(len, parts.values()))
        with pytest.raises(UserError, match="no class of the model's: v, w"):
            load_for(facts | {"classes": ["v", "w"]}, name, "test", target=target, **args)


def test_a_table_without_the_label_that_divided_it_is_taken_whole(tmp_path):
    name, args = written(tmp_path, "csv")
    facts = load(name, target=None, **args).describe()
    pd.read_csv(tmp_path / "csv.csv").drop(columns="kind").to_csv(tmp_path / "csv.csv", index=False)
    assert len(load_for(facts, name, "all", target=None, **args)) == 90
    with pytest.raises(UserError, match="no column 'kind', by which the training data was divided.*--split all"):
        load_for(facts, name, "test", target=None, **args)


def test_a_frame_whose_label_nobody_learns_and_its_file_have_the_same_parts(tmp_path):
    name, args = written(tmp_path, "csv")
    parts = from_frame(pd.read_csv(tmp_path / "csv.csv"), "kind", target=None, drop=args["drop"], keep=args["keep"])
    found = load_for(parts["test"].describe(), name, "test", target=None, keep=args["keep"])
    np.testing.assert_array_equal(found.x, parts["test"].x)


def test_numbers_have_no_classes(table):
    with pytest.raises(UserError, match="the target here is a number"):
        load(f"csv:{table}", label="size", target="number", per_class=3)


def test_examples_without_labels_have_no_classes(table):
    with pytest.raises(UserError, match="this set has no labels"):
        load(f"csv:{table}", target=None, per_class=3)


@pytest.mark.parametrize("joined", ["train+val", "val+train"])
def test_a_control_of_a_training_that_has_seen_val_is_chosen_without_it(tmp_path, joined):
    """The n-grams count each token of both parts once, in either order."""
    pytest.importorskip("tokenizers")
    (tmp_path / "a.txt").write_text("".join(np.random.default_rng(0).choice(list("abc d"), 2000)))
    parts = {"train": "train", "val": "val", "test": "test"}
    apart = load_splits(f"chars:{tmp_path / 'a.txt'}", parts, target=None, length=8, val_share=0.3)
    found = apart | load_splits(f"chars:{tmp_path / 'a.txt'}", parts | {"train": joined}, target=None, length=8,
                                val_share=0.3)
    (name, scores), *_ = objectives.of(Recipe(model="rnn", objective="language", data="chars:a.txt")).facts(
        found, None)["controls"].items()
    new = [*apart["train"].x[0, 1:], *apart["train"].x[1:, -2:].ravel(), *apart["val"].x[:, 1:].ravel()]
    counts = np.bincount(np.array(new)[np.array(new) > 0], minlength=found["train"].build_args["vocabulary"])
    asked = found["test"].x[:, 1:][found["test"].x[:, 1:] > 0]
    kinds = np.count_nonzero(counts)
    likely = (counts + kinds / (len(counts) - 1)) / (counts.sum() + kinds)  # Witten and Bell's
    assert name == "frequencies of tokens" and scores["test"]["bits"] == pytest.approx(-np.log2(likely[asked]).mean())
    mask = subset.unseen(found["train"], found["val"])
    np.testing.assert_array_equal(found["train"].x[mask], apart["train"].x)
    assert subset.unseen(apart["train"], apart["val"]).all()


def test_tf_idf_of_many_words_is_bounded_and_says_so(monkeypatch):
    random = np.random.default_rng(0)
    some = np.array([" ".join(random.choice(["a", "b", "c", "good"[:4 * label]], 9)) for label in (0, 1) * 30], object)
    whole = Split("train", np.arange(240, dtype="int32").reshape(60, 4), np.tile([0, 1], 30).astype("int32"), (4,), 60,
                  ("x", "y"), kind="tokens", texts=some)
    splits = {"train": whole, "val": replace(whole, name="val"), "test": replace(whole, name="test")}
    assert set(controls.tf_idf(splits)) == {"val", "test", "C"}
    again = controls.tf_idf(splits | {"train": replace(whole, name="train+val")})  # nothing is left without val
    assert again == controls.tf_idf(splits)
    chosen = []
    monkeypatch.setattr(controls, "_fitted", lambda splits, taken, strengths, own=controls._fitted: (
        chosen.append((len(taken), len(strengths))), own(splits, taken, strengths))[1])
    controls.tf_idf(splits | {"train": replace(whole, name="train+val"),
                              "val": replace(whole.part(np.arange(20)), name="val")})
    assert chosen == [(40, 6), (60, 1)]
    monkeypatch.setattr(controls, "MOST_WEIGHTS", 5)
    monkeypatch.setattr(controls, "MOST_WORDS", 200)
    found = controls.tf_idf(splits)
    assert found["bounded"].startswith("the 5 most frequent words and pairs of ") and found["test"]["accuracy"] > 0.9
    monkeypatch.setattr(controls, "tf_idf", lambda splits: (_ for _ in ()).throw(MemoryError))
    assert controls.controls(objectives.of(Recipe(model="rnn", data="text:a.csv")), splits) == {}
