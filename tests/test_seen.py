"""What learned without labels is not measured on examples that it has seen, whatever their data is called."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from kerasdl.data import from_arrays, image_files
from kerasdl.data.sources import load_splits
from kerasdl.errors import UserError
from kerasdl.recipe import Recipe
from kerasdl.run import SEEN, Run
from kerasdl.train import seen

SPLITS = {"train": "train", "val": "val", "test": "test"}
RANDOM = np.random.default_rng(0)
LEARNED = "learned, without labels, from examples that are in val or test here"


def recipe_of(data, objective="classify", **args):
    return Recipe(model="vit", data=data, data_args=args, objective=objective)


def loaded(recipe, target):
    return load_splits(recipe.data, SPLITS, target=target, **recipe.data_args)


def learned(recipe, splits, path):
    """A run without labels on these splits, as far as it is looked at."""
    run = Run.create(recipe, path)
    facts = {"kind": splits["train"].kind, "classes": [],
             "examples": {name: split.fingerprint() for name, split in splits.items()}}
    (run.path / "data.json").write_text(json.dumps(splits["train"].describe() | facts))
    seen.note(run, splits["train"])
    return run


def pictures(folder, count):
    """Write a number of images, and return their names."""
    folder.mkdir()
    names = [f"{number:03}.png" for number in range(count)]
    for name in names:
        Image.fromarray(RANDOM.integers(0, 256, (8, 8, 3)).astype("uint8")).save(folder / name)
    return names


def written(path, column, values, **others):
    """A table as data."""
    rows = zip(values, *others.values(), strict=True)
    path.write_text("\n".join([",".join([column, *others]), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


@pytest.mark.parametrize("labelled", [False, True])
def test_arrays_that_were_seen_are_known_again_and_others_of_their_size_are_others(labelled, tmp_path):
    """Data without labels is divided at random, and by its classes with them."""
    x, y = RANDOM.integers(0, 256, (200, 4, 4, 1)).astype("uint8"), RANDOM.integers(0, 4, 200)
    before, recipe = recipe_of("arrays", "mae"), recipe_of("arrays")
    run = learned(before, from_arrays(x, y if labelled else None), tmp_path / "run")
    if labelled:
        seen.check_apart(run, recipe, from_arrays(x, y))
    else:
        with pytest.raises(UserError, match=f"{LEARNED}: its data was divided otherwise, as it named no labels"):
            seen.check_apart(run, recipe, from_arrays(x, y))
    with pytest.raises(UserError, match=rf"{LEARNED}: .*\d+ of the 20 of test\. Train it anew without them"):
        seen.check_apart(run, recipe, from_arrays(x[:100], y[:100]))
    seen.check_apart(run, recipe, from_arrays(255 - x, y))


@pytest.mark.parametrize("decoded, size", [("all", 8), ("all", 16), ("few", 8)])
def test_images_are_known_again_by_their_files(decoded, size, tmp_path, monkeypatch):
    """Seen in a folder without labels, and then in a table of those that have some; in memory, or decoded when used."""
    names = pictures(tmp_path / "photos", 60)
    before = recipe_of(f"folder:{tmp_path}/photos", "contrast")
    with monkeypatch.context() as patch:
        if decoded == "few":
            patch.setattr(image_files, "MEMORY", 0)
        run = learned(before, loaded(before, None), tmp_path / "run")
    some = written(tmp_path / "some.csv", "file", names[:40], kind=[number % 2 for number in range(40)])
    recipe = recipe_of(f"csv:{some}", image="file", root=str(tmp_path / "photos"), label="kind", image_size=size)
    with pytest.raises(UserError, match=LEARNED):
        seen.check_apart(run, recipe, loaded(recipe, "class"))
    pictures(tmp_path / "others", 40)
    seen.check_apart(run, recipe, loaded(recipe.override(data_args={**recipe.data_args, "root": str(
        tmp_path / "others")}), "class"))


def test_texts_are_known_again_in_another_length_and_table(tmp_path):
    texts = [f"{'so ' * (number % 7)}good film number{number}" for number in range(60)]
    before = recipe_of(f"text:{written(tmp_path / 'all.csv', 'text', texts)}", "masked", text="text", length=8)
    run = learned(before, loaded(before, None), tmp_path / "run")
    for count in (60, 40):
        classes = ["ab"[number % 2] for number in range(count)]
        some = written(tmp_path / "some.csv", "text", texts[:count], label=classes)
        recipe = recipe_of(f"text:{some}", text="text", label="label", length=12)
        with pytest.raises(UserError, match=LEARNED):
            seen.check_apart(run, recipe, loaded(recipe, "class"))


@pytest.mark.parametrize("column, values, target, sep", [
    ("stars", [number % 5 for number in range(200)], "number", {}),
    ("tags", ["a|b" if number % 3 else "ac"[number % 2] for number in range(200)], "labels", {"label_sep": "|"})])
def test_what_regress_and_multilabel_begin_with_is_divided_as_they_are(column, values, target, sep, tmp_path):
    """By chance: stars look like classes, but are not learned as such."""
    table = written(tmp_path / "x.csv", "size", RANDOM.integers(0, 10**6, 200), **{column: values})
    recipe = recipe_of(f"csv:{table}", label=column, **sep)
    named, left_out = recipe.override(objective="mae"), recipe_of(f"csv:{table}", "mae", drop=column)
    splits = loaded(recipe, target)
    runs = [learned(each, loaded(each, None), tmp_path / name) for name, each in (("named", named), ("left", left_out))]
    seen.check_apart(runs[1], recipe, splits)
    if sep:
        return seen.check_apart(runs[0], recipe, splits)
    with pytest.raises(UserError, match=r"by the classes of data_args\.label\. Train it anew without data_args"):
        seen.check_apart(runs[0], recipe, splits)


def test_data_that_has_grown_is_looked_at_or_said_to_be_unknown(tmp_path):
    table = tmp_path / "x.csv"
    rows = RANDOM.integers(0, 10**6, 300)
    before = recipe_of(f"csv:{written(table, 'size', rows[:200])}", "mae")
    run = learned(before, loaded(before, None), tmp_path / "run")
    recipe = recipe_of(f"csv:{written(table, 'size', rows, kind=[i % 2 for i in range(300)])}", label="kind")
    grown = loaded(recipe, "class")
    with pytest.raises(UserError, match=r"as it has changed since, or is read otherwise\. Train it anew"):
        seen.check_apart(run, recipe, grown)
    new = from_arrays(RANDOM.normal(size=(100, 1)), np.arange(100) % 2)
    seen.check_apart(run, recipe, {**grown, "val": new["val"], "test": new["test"]})
    (run.path / SEEN).unlink()
    with pytest.raises(UserError, match="It cannot be known .* Train it anew, or give data") as caught:
        seen.check_apart(run, recipe, grown)
    assert "kerasdl eval" not in str(caught.value)


def test_a_run_that_has_noted_nothing_is_remarked(tmp_path, caplog):
    """Of an earlier version, private, or on streamed data."""
    splits = from_arrays(np.arange(800).reshape(100, 8), np.arange(100) % 4)
    run = learned(recipe_of("arrays", "mae"), splits, tmp_path / "run")
    (run.path / SEEN).unlink()
    private = Run.create(run.recipe.override(private={"noise": 1.0, "clip": 1.0, "delta": 1e-5}), tmp_path / "private")
    seen.note(private, splits["train"])
    assert not (private.path / SEEN).exists()
    seen.check_apart(run, recipe_of("csv:x.csv"), splits)
    assert "run has not noted which examples it learned from" in caplog.text


def test_a_split_is_found_in_another_division_of_the_same_data(monkeypatch, tmp_path):
    x, y = np.arange(800).reshape(100, 8), np.arange(100) % 4
    before, splits = from_arrays(x), from_arrays(x, y)
    monkeypatch.setattr(seen, "load_split", lambda run, name: before[name])
    run = SimpleNamespace(path=tmp_path, recipe=Recipe(model="vit", data="csv:x.csv", objective="mae"), data={})
    with pytest.raises(UserError, match="from examples that are in val or test"):
        seen.check_apart(run, Recipe(model="mlp", data="csv:x.csv"), splits)
    seen.check_apart(run, Recipe(model="mlp", data="csv:x.csv"), before)
    seen.check_apart(run, Recipe(model="mlp", data="csv:y.csv"), splits)
    with pytest.raises(UserError, match="from examples that are in val or test"):
        seen.check_apart(run, Recipe(model="mlp", data="csv:./x.csv"), splits)


def test_a_run_with_labels_of_another_division_is_remarked(monkeypatch, caplog):
    x, y = np.arange(800).reshape(100, 8), np.arange(100) % 4
    before, splits = from_arrays(x), from_arrays(x, y)
    run = SimpleNamespace(path=Path("runs/old"), recipe=Recipe(model="mlp", data="csv:x.csv"), data={
        "examples": {name: split.fingerprint() for name, split in splits.items()}})
    recipe = run.recipe.override(seed=1)
    monkeypatch.setattr(seen, "load_split", lambda run, name: before[name])
    seen.check_apart(run, recipe, splits)
    assert not caplog.messages
    run.data["examples"]["test"] = "another"
    seen.check_apart(run, recipe, splits)
    assert "runs/old has learned from examples that are in val or test here" in caplog.messages.pop()

    def changed(run, name):
        raise UserError("something was added")

    monkeypatch.setattr(seen, "load_split", changed)
    seen.check_apart(run, recipe, splits)
    assert "runs/old was trained before its data changed" in caplog.messages[-1]
