"""Who is compared in an audit, and the worst part of the examples: numbers that are large, infinite or mostly equal."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kerasdl.audit import grouping, intervals, slices
from kerasdl.audit.parts import groups
from kerasdl.data import load_splits
from kerasdl.errors import UserError
from kerasdl.recipe import Recipe
from kerasdl.run import Run


def test_quarters_of_large_numbers_have_labels_of_their_own():
    days = 20240101 + np.arange(28)
    assert grouping.binned(pd.Series(days)).value_counts().to_dict() == {
        "20240101 to 20240107": 7, "20240108 to 20240114": 7, "20240115 to 20240121": 7, "20240122 to 20240128": 7}


def test_a_column_that_is_mostly_zero_is_compared_with_the_others():
    values = pd.Series([*["0"] * 85, *map(str, range(1, 15)), ""])
    assert grouping.binned(values).value_counts().to_dict() == {"0": 85, "others": 14, "(missing)": 1}


def test_infinite_numbers_are_groups_of_their_own():
    found = grouping.binned(pd.Series([*map(float, range(100)), np.inf, np.inf, -np.inf]))
    assert found.value_counts().to_dict() == {"0 to 24": 25, "25 to 49": 25, "50 to 74": 25, "75 to 99": 25, "inf": 2,
                                              "-inf": 1}


def test_groups_that_are_always_wrong_are_compared():
    subject = SimpleNamespace(target="class", classes=("no", "yes"), seed=0, size=lambda full, quick: quick)
    names, truth = np.repeat(["a", "b"], 20), np.zeros(40, int)
    found = groups.compared(subject, "site", names, np.ones(40), truth + 1, truth)
    assert [group["value"] for group in found["groups"]] == [0, 0]
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("first, step, limit", [
    (2000, 1, "2019.5"), (1_700_000_000, 60, "1700001170"), (0, 0.001, "0.0195"), (20, 2, "59")])
def test_a_part_is_named_by_a_limit_that_divides_as_the_tree_does(first, step, limit):
    """A limit of four digits would be a number of the other side, and float32 has no minutes of this century."""
    place = np.tile(np.arange(40), 50)
    values = first + step * place
    (worst,) = slices.worst({"when": values.astype("float64")}, (place > 19).astype("float64"), 0)[:1]
    assert worst["rule"] == f"when is over {limit}" and worst["error"] == 1 and worst["others"]["error"] == 0


def test_a_column_of_texts_in_files_is_refused_as_what_it_is(tmp_path):
    """And not with advice about an option that the user has not set."""
    for name in ("fine", "poor"):
        (tmp_path / f"{name}.txt").write_text("".join(f"some {name} words {line}\n" for line in range(30)))
    run = Run.create(Recipe(model="conv1d", data=f"text:{tmp_path}"), tmp_path / "run")
    (run.path / "data.json").write_text(json.dumps({"shape": [8], "kind": "tokens", "classes": ["fine", "poor"]}))
    with pytest.raises(UserError, match="--group author is a column of a table.*--group FILE.py:NAME") as caught:
        grouping.groups_of(run, SimpleNamespace(attributes={}), "author")
    assert "attributes" not in str(caught.value)


def test_a_level_of_folders_may_have_zeros_before_it_and_no_other_digits(tmp_path):
    for person in ("ann", "bob"):
        for label in ("cat", "dog"):
            folder = tmp_path / "data" / "test" / label / person
            folder.mkdir(parents=True)
            for number in range(5):
                Image.new("L", (4, 4), number + 10 * len(label + person)).save(folder / f"{number}.png")
            shutil.copytree(folder, tmp_path / "data" / "train" / label / person)
    data = f"folder:{tmp_path / 'data'}"
    run = Run.create(Recipe(model="linear", data=data), tmp_path / "run")
    (run.path / "data.json").write_text(json.dumps(load_splits(data, {"test": "test"})["test"].describe()))
    asked = SimpleNamespace(attributes={})
    assert set(grouping.groups_of(run, asked, "01")) == {"ann", "bob"}
    with pytest.raises(UserError, match="²"):  # a digit, but no number
        grouping.groups_of(run, asked, "²")


@pytest.mark.parametrize("chances", [(0.98, 0.9), (0.9,) * 5])
def test_the_interval_of_the_largest_difference_holds_the_true_one(chances):
    random, names = np.random.default_rng(0), np.repeat(np.arange(len(chances)), 100)
    inside = 0
    for _ in range(50):
        low, high = intervals.of_spread((random.random(len(names)) < np.array(chances)[names]).astype(float), names)
        inside += low <= np.ptp(chances) <= high
    assert inside >= 46


def test_groups_that_seem_equal_may_differ():
    """A hand count by Newcombe's method 10: 14 of 14 and 14 of 14; and of errors by Student's intervals."""
    names = np.repeat(["a", "b"], 14)
    end = 1.959964 ** 2 / (14 + 1.959964 ** 2)  # what Wilson's interval of 14 of 14 leaves to 1
    assert intervals.of_spread(np.ones(28), names) == pytest.approx([0, end])
    assert intervals.of_spread(np.tile([1.0, 3.0], 14), names) == pytest.approx(
        [0, 2.160369 * np.sqrt(2 / 13)])


@pytest.mark.parametrize("streamed", [False, True])
def test_errors_of_several_numbers_are_in_standard_deviations_of_their_training_targets(monkeypatch, streamed):
    """Metres and euros, whose mean is neither: north is off by 2 metres of 2, and south by 500 euros of 1000."""
    targets, off = np.array([[0, 7, 0], [4, 7, 2000]]), np.repeat([[2.0, 0, 0], [0, 0, 500]], 20, axis=0)
    answers = {"train": (targets * 1.1, targets), "test": (off, off * 0)}
    subject = SimpleNamespace(target="number", seed=0, groups={"site": np.repeat(["north", "south"], 20)},
                              grouped_by=("site",), answers=answers.get, size=lambda full, quick: quick,
                              split=lambda name: SimpleNamespace(y=None if streamed else targets, streamed=streamed))
    monkeypatch.setattr(slices, "attributes_of", lambda subject: {})
    found = groups.measure(subject)
    (site,) = found["groupings"]
    assert groups.values(site) == pytest.approx({"north": 1 / 3, "south": 1 / 6})
    said = groups.lines(found)
    assert "off by 0.3333 standard deviations, and by 0.1667 standard deviations" in said[0] and groups.SEVERAL in said
    assert groups.SEVERAL in groups.sections(found)[0].body
    assert groups.distances(subject, off[:, :1], off[:, :1] * 0)[0] == 2  # of one number, in its unit


def test_one_of_many_groupings_is_a_failure_no_more_often_than_one_alone():
    random, errors = np.random.default_rng(0), np.repeat([1.0, 0.0], [20, 180])
    subject = SimpleNamespace(seed=0, size=lambda full, quick: quick)
    names = np.repeat(["a", "b"], 100)
    limit = groups.chance(names, errors, subject, groupings=10)
    found = [np.ptp([each[names == name].mean() for name in ("a", "b")])
             for each in (random.permutation(errors) for _ in range(1000))]
    assert np.reshape(np.array(found) > limit, (100, 10)).any(1).sum() <= 10  # 5 are expected at most
