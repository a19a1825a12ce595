"""Rows of a CSV: numbers and categories, what is missing, mistakes named."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_harness import PARTS, read_rows, refused

from kerasdl.data import load, load_splits, to_predict
from kerasdl.data.sources import load_for
from kerasdl.data.sources.csv import read_files, read_for
from kerasdl.errors import DataError


@pytest.fixture
def csv(tmp_path):
    """Writes a frame, or text, to a CSV and gives its name as data."""

    def write(frame, name="rows.csv"):
        path = tmp_path / name
        path.write_text(frame) if isinstance(frame, str) else frame.to_csv(path, index=False)
        return f"csv:{path}"

    return write


@pytest.fixture
def frame():
    n = 200
    return pd.DataFrame({"size": np.arange(n) / 2, "colour": np.resize(["red", "green", "blue"], n),
                         "ripe": np.resize([True, False], n), "id": [f"apple {i}" for i in range(n)],
                         "price": np.arange(n) * 1.5, "kind": np.resize(["good", "bad"], n)})


def test_rows_become_numbers_and_one_hot_categories(csv, frame):
    parts = load_splits(csv(frame), PARTS, label="kind", drop=["id", "price"])
    assert {name: len(part) for name, part in parts.items()} == {"train": 140, "val": 20, "test": 40}
    train = parts["train"]
    assert train.classes == ("bad", "good") and train.shape == 5 and train.x.dtype == np.float32
    assert train.columns == {"size": None, "colour": ["blue", "green", "red"], "ripe": None}
    every = np.concatenate([part.x for part in parts.values()])
    every, labels = every[order := np.argsort(every[:, 0])], np.concatenate([part.y for part in parts.values()])
    np.testing.assert_array_equal(every[:, 0], frame["size"])
    for column, name in enumerate(["blue", "green", "red"], 1):
        np.testing.assert_array_equal(every[:, column], frame.colour == name)
    np.testing.assert_array_equal(every[:, 4], frame.ripe)
    np.testing.assert_array_equal(np.array(train.classes)[labels[order]], frame.kind)
    for part in parts.values():
        assert abs(part.y.mean() - 0.5) < 0.03
    again = load(csv(frame), "val", label="kind", drop=["id", "price"])
    np.testing.assert_array_equal(again.x, parts["val"].x)


def test_rows_are_known_again(csv, frame):
    def marks(frame):
        parts = load_splits(csv(frame), PARTS, label="kind", drop=["id", "price"])
        return [part.fingerprint() for part in parts.values()]

    assert marks(frame) == marks(frame)
    changed = frame.assign(size=np.where(frame.index == 7, 0, frame["size"]))
    assert sum(one != other for one, other in zip(marks(frame), marks(changed), strict=True)) == 1
    assert not set(marks(frame)) & set(marks(frame.iloc[:-1]))


def test_a_number_to_predict(csv, frame):
    train = load(csv(frame), label="price", drop="id", target="number")
    assert train.y.shape == (140, 1) and train.classes == () and train.outputs == 1
    np.testing.assert_allclose(train.y[:, 0], train.x[:, 0] * 3)


def test_a_file_of_its_own_for_test(csv, frame, tmp_path):
    source, test = csv(frame.iloc[:150], "train.csv"), csv(frame.iloc[150:, ::-1], "test.csv").removeprefix("csv:")
    parts = load_splits(source, PARTS, label="kind", drop="id", test=test)
    assert {name: len(part) for name, part in parts.items()} == {"train": 135, "val": 15, "test": 50}
    np.testing.assert_array_equal(parts["test"].x[:, 0], frame["size"][150:])
    assert parts["test"].columns == parts["train"].columns
    csv(frame.iloc[150:].drop(columns="colour"), "test.csv")
    refused(lambda: load(source, label="kind", drop="id", test=test), "test.csv", "'colour'", "train.csv")
    csv(frame.iloc[150:].assign(kind="rotten"), "test.csv")
    refused(lambda: load(source, label="kind", drop="id", test=test), "test.csv", "'rotten'", "train.csv")
    csv(frame.iloc[150:].assign(size=["heavy", *range(49)]), "test.csv")
    refused(lambda: load(source, label="kind", drop="id", test=test), "'size'", "row 2 of", "test.csv", "'heavy'")


def test_missing_values(csv, frame):
    frame = frame.drop(columns=["id", "price"])
    frame.loc[[3, 8, 11], "size"], frame.loc[[5], "colour"] = np.nan, None
    refused(lambda: load(csv(frame), label="kind"), "'size'", "3 missing values", "200 rows", "fill=median")
    refused(lambda: load(csv(frame), label="kind", drop="size"), "'colour'", "1 missing value in")
    refused(lambda: load(csv(frame), label="kind", fill="mean"), "'median'", "'mean'")
    parts = load_splits(csv(frame), PARTS, label="kind", fill="median")
    assert parts["train"].columns["colour"] == ["blue", "green", "red", "(missing)"]
    every = np.concatenate([part.x for part in parts.values()])
    assert every[:, 4].sum() == 1 and np.isfinite(every).all()


def test_what_is_missing_is_filled_with_the_median_of_train_alone(csv, frame):
    frame = frame.drop(columns=["id", "price", "colour"])
    test = csv(frame.iloc[150:].assign(size=np.nan), "test.csv").removeprefix("csv:")
    parts = load_splits(csv(frame.iloc[:150], "train.csv"), PARTS, label="kind", fill="median", test=test)
    assert set(parts["test"].x[:, 0]) == {np.median(parts["train"].x[:, 0])}
    assert np.median(parts["train"].x[:, 0]) != np.median(frame["size"][:150])


@pytest.mark.parametrize("text, args, words", [
    ("a,kind\n1,x\n2,y\n", {}, ["label=COLUMN", "a, kind"]),
    ("a,kind\n1,x\n2,y\n", {"label": "knid"}, ["'knid'", "'kind'"]),
    ("a,kind\n1,x\n2,y\n", {"label": "kind", "drop": "b"}, ["'b'", "to drop"]),
    ("a,kind\n1,x\n2,y\n", {"label": "kind", "drop": ["kind"]}, ["'kind'", "dropped"]),
    ("a,kind\n1,x\n2,y\n", {"label": "kind"}, ["2 examples", "10"]),
    ("a,kind\n1,x\n2,x\n", {"label": "kind"}, ["one class only", "'x'"]),
    ("a,kind\n1,x\n2,\n", {"label": "kind"}, ["label column 'kind'", "1 of 2 rows"]),
    ("kind\nx\ny\n", {"label": "kind"}, ["no column but the label"]),
    ("a,kind\n", {"label": "kind"}, ["no rows"]),
    ("", {"label": "kind"}, ["not a CSV"]),
    ("a,kind\n1,x\n2,y,3\n", {"label": "kind"}, ["not a CSV"]),
    ("a,kind\n" + "1,x\n2,y\n" * 9 + "1 kg,x\n", {"label": "kind"}, ["'a'", "row 20", "'1 kg'", "1 such value"]),
    ("a,kind\n" + "1,x\n2,y\n" * 9 + "inf,x\n", {"label": "kind"}, ["'a'", "infinite"]),
    ("a,kind\n" + "".join(f"n {i},{i % 2}\n" for i in range(20)), {"label": "kind"}, ["20 different", "drop='a'"]),
    ("a,kind\n" + "".join(f"{i % 7},{i / 2}\n" for i in range(20)), {"label": "kind"}, ["'kind'", "objective=regress"]),
    ("a,kind\n" + "".join(f"{i % 7},{i}\n" for i in range(200)), {"label": "kind"}, ["200 different", "regress"]),
    ("a,kind\n" + "1,2\n3,many\n" * 9, {"label": "kind", "target": "number"}, ["'kind'", "row 3", "'many'"]),
    ("a,kind\n" + "1,x,\n2,y,\n" * 9, {"label": "kind"}, ["more fields than its header"]),
    (",kind\n" + "7,x\n2,y\n" * 9, {"label": "kind"}, ["no name", "drop='Unnamed: 0'"]),
    ("id,kind\n" + "".join(f"{i},{'xy'[i % 2]}\n" for i in range(20)), {"label": "kind"}, ["'id'", "rises with"]),
    ("a,kind,kind\n" + "1,x,x\n2,y,y\n" * 9, {"label": "kind"}, ["two columns called 'kind'"]),
    ("a ,a,kind\n" + "1,2,x\n2,3,y\n" * 9, {"label": "kind"}, ["two columns called 'a'"]),
    ("a;kind\n" + "1;x\n2;y\n" * 9, {"label": "kind"}, ["separates fields by ';'", "sep=';'"]),
    ("a,kind\n" + '"1,200",x\n900,y\n' * 9, {"label": "kind"}, ["'a'", "row 2", "'1,200'"]),
    ("a,kind\n" + "12%,x\n5%,y\n" * 9, {"label": "kind"}, ["'a'", "row 2", "'12%'"]),
    ("a,kind\n" + "1e39,x\n2,y\n" * 9, {"label": "kind"}, ["'a'", "too large"]),
    ("a,kind\n" + "1,x\n2,None\n" * 9, {"label": "kind"}, ["9 of 18 rows, first in row 3", "None"]),
    ("a,kind\n" + "1,0.5\n2,1.0\n" * 9, {"label": "kind"}, ["2 different", "objective=regress"]),
])
def test_csv_mistakes(csv, text, args, words):
    refused(lambda: load(csv(text), **args), *words)


def test_whole_classes_are_the_same_where_pandas_wrote_a_point(csv, frame):
    frame = frame.drop(columns=["id", "price"]).assign(kind=np.resize([2, 10], len(frame)))
    train = load(csv(frame), label="kind")
    told = train.describe()
    for kind in (frame["kind"].astype(float), frame["kind"].where(frame.index > 3)):
        path = csv(frame.assign(kind=kind).dropna(), "floats.csv").removeprefix("csv:")
        assert load(f"csv:{path}", label="kind").classes == train.classes == ("2", "10")
        read = read_for(told, path, "all", label="kind", classes=["2", "10"])
        np.testing.assert_array_equal(read.y, kind.dropna() == 10)
        assert len(load_splits(csv(frame), PARTS, label="kind", test=path)["test"]) == len(read)


def test_a_column_of_ids_and_one_without_a_name_can_be_left_out(csv, frame):
    text = frame.drop(columns="id").to_csv()
    train = load(csv(text), label="kind", drop=["Unnamed: 0"])
    np.testing.assert_array_equal(train.x, load(csv(frame), label="kind", drop="id").x)


def test_a_count_of_rows_is_seen_beside_a_file_for_test(csv, frame):
    frame = frame.assign(id=np.arange(len(frame)) + 1)
    test = csv(frame.iloc[:50], "test.csv").removeprefix("csv:")
    refused(lambda: load(csv(frame), label="kind", test=test), "'id'", "rises with the rows")


@pytest.mark.soak
def test_a_large_file_has_the_categories_of_its_texts(csv):
    """pandas reads a large one in pieces, and takes 007 for 7 in those that hold nothing but numbers."""
    texts = [f"{i % 60:03}" for i in range(300_000)] + [f"n{i % 60}" for i in range(300_000)]
    parts = load_splits(csv("a,kind\n" + "".join(f"{text},{'xy'[i % 2]}\n" for i, text in enumerate(texts))), PARTS,
                        label="kind")
    assert len(parts["train"].columns["a"]) == 120


def test_a_compressed_file(csv, frame, tmp_path):
    frame.to_csv(tmp_path / "rows.csv.gz", index=False)
    parts = [load(source, label="kind", drop="id") for source in (csv(frame), f"csv:{tmp_path}/rows.csv.gz")]
    np.testing.assert_array_equal(parts[0].x, parts[1].x)
    (tmp_path / "torn.csv.gz").write_bytes(b"not one")
    refused(lambda: load(f"csv:{tmp_path}/torn.csv.gz", label="kind"), "torn.csv.gz", "cannot be read")


def test_csv_that_is_not_there_or_not_text(tmp_path, csv, frame):
    refused(lambda: load("csv:none.csv", label="kind"), "none.csv", "csv:PATH")
    (tmp_path / "picture.csv").write_bytes(bytes(range(256)))
    refused(lambda: load(f"csv:{tmp_path}/picture.csv", label="kind"), "not a CSV")
    refused(lambda: load(csv(frame), "valid", label="kind", drop="id"), "train, val, test", "'valid'")


def test_rows_to_predict(csv, frame):
    columns = {"size": None, "colour": ["blue", "green", "red"]}

    def read(new):
        return read_rows(csv(new).removeprefix("csv:"), columns, {})

    np.testing.assert_array_equal(read(frame.iloc[:2, ::-1]), [[0, 0, 0, 1], [0.5, 0, 1, 0]])
    refused(lambda: read(frame.drop(columns="size")), "'size' is missing", "size, colour")
    refused(lambda: read(frame.assign(colour="blu")), "'colour'", "'blu'", "'blue'")
    refused(lambda: read(frame.assign(size="big")), "'size'", "csv:2: ", "'big'")
    refused(lambda: read(frame.assign(size=np.nan)), "'size'", "csv:2: ", "missing", "fill=median")


def test_rows_to_predict_are_filled_as_the_training_rows_were(csv, frame):
    frame = frame.drop(columns=["id", "price"])
    frame.loc[[5], "colour"] = None
    train = load(csv(frame), label="kind", fill="median")
    told = json.loads(json.dumps(train.describe()))
    new = frame.iloc[:3].assign(size=[np.nan, 1.0, 2.0], colour=["red", None, "red"])
    rows = read_rows(csv(new, "new.csv").removeprefix("csv:"), told["columns"], told["medians"])
    assert rows[0, 0] == told["medians"]["size"] == np.median(train.x[:, 0]) and rows[1, 0] == 1
    np.testing.assert_array_equal(rows[:, 1:5], [[0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    train = load(csv(frame.dropna(), "whole.csv"), label="kind", fill="median")
    refused(lambda: read_rows(csv(new, "new.csv").removeprefix("csv:"), train.columns, train.medians),
            "'colour'", "none was missing there in training")


def test_another_file_is_read_as_the_training_rows_were(csv, frame):
    """To evaluate a model on it: its columns in any order, its fillings, fewer categories and classes."""
    frame = frame.drop(columns=["id", "price"])
    frame.loc[[5], "kind"] = None
    train = load(csv(frame), label="colour", fill="median")
    told = json.loads(json.dumps(train.describe()))
    assert told["classes"] == ["blue", "green", "red"] and told["columns"]["kind"] == ["bad", "good", "(missing)"]

    new = frame.query("colour != 'blue'").assign(kind="good", extra=1.0)
    new.loc[new.index[:30], "size"] = np.nan
    path = csv(new[["extra", "kind", "colour", "ripe", "size"]], "new.csv").removeprefix("csv:")
    parts = {name: read_for(told, path, name, label="colour") for name in (*PARTS, "all")}
    assert {name: len(part) for name, part in parts.items()} == {"train": 93, "val": 14, "test": 27, "all": 134}
    assert all(part.describe() == told for part in parts.values())
    x, y = parts["all"].x, parts["all"].y
    np.testing.assert_array_equal(x[:30, 0], np.float32(told["medians"]["size"]))
    np.testing.assert_array_equal(x[30:, 0], new["size"][30:])
    np.testing.assert_array_equal(np.unique(x[:, 2:], axis=0), [[0, 1, 0]])
    np.testing.assert_array_equal(np.array(told["classes"])[y], new["colour"])
    np.testing.assert_array_equal(
        np.sort(np.concatenate([parts[name].x[:, 0] for name in PARTS])), np.sort(x[:, 0]))

    def read(split="all", model=told, label="colour", **args):
        return read_for(model, path, split, label=label, **args)

    two = told | {"classes": ["red", "blue"]}
    some = read(model=two, classes=["red", "blue"])
    np.testing.assert_array_equal(some.x, x[new["colour"] == "red"])
    assert set(some.y) == {0}
    refused(lambda: read(model=two), "'green'", "not know")
    refused(lambda: read(label="color"), "'color'", "'colour'")
    refused(lambda: read("tset"), "'tset'", "train, val, test, all")
    csv(new.assign(colour=None), "new.csv")
    refused(read, "'colour'", "missing in 134 of 134")


@pytest.mark.parametrize("how", [{"group": "who"}, {"order": "when"}, {"split": "part"}])
def test_another_file_is_divided_as_the_training_rows_were(csv, frame, how):
    count = len(frame)
    frame = frame.drop(columns=["id", "price"]).assign(who=np.arange(count) // 4, when=np.arange(count)[::-1],
                                                       part=np.where(np.arange(count) % 5, "train", "test"))
    used = {name: name for name in ("who", "when", "part") if name not in how.values()}
    path, args = csv(frame), {"label": "colour", "drop": list(used), **how}
    splits = load_splits(path, {part: part for part in PARTS}, **args)
    for part, split in splits.items():
        other = load_for(splits["train"].describe(), path, part, target="class", **args)
        np.testing.assert_array_equal(other.x, split.x)
    (column,) = how.values()
    lacking = csv(frame.drop(columns=column), "lacking.csv")
    facts = splits["train"].describe()
    refused(lambda: load_for(facts, lacking, "test", target="class", **args), column, "--split all")


def test_a_column_that_is_empty_in_training_has_no_median(csv, frame):
    frame = frame.assign(size=np.nan)
    refused(lambda: load(csv(frame), label="kind", drop="id", fill="median"), "'size' has no value", "drop='size'")


def test_columns_that_are_named_by_numbers(csv, frame):
    named = frame.drop(columns=["id", "price"]).rename(columns={"size": 2019, "kind": 7})
    assert load(csv(named), label=7, drop=2019).columns == {"colour": ["blue", "green", "red"], "ripe": None}
    assert list(load(csv(named), label=7, drop=None).columns) == ["2019", "colour", "ripe"]
    refused(lambda: load(csv(named), label=7, classes=3), "no class '3'")


def test_a_text_is_the_same_text_in_every_file(csv):
    """Whether pandas takes TRUE or 007 for a text depends on the other rows, which a second file has not."""
    def rows(flags, codes, n):
        return pd.DataFrame({"flag": np.resize(flags, n), "code": np.resize(codes, n), "size": np.arange(n) / 3,
                             "kind": np.resize(flags, n)})

    data = csv(rows(["TRUE", "FALSE", "UNKNOWN"], ["007", "12A", "12B", "x"], 80))
    path = csv(rows(["TRUE", "FALSE"], ["007"], 20), "other.csv").removeprefix("csv:")
    splits = load_splits(data, {"train": "train", "test": "test"}, label="kind", test=path)
    model = splits["train"].describe()
    assert model["columns"] == {"flag": ["FALSE", "TRUE", "UNKNOWN"], "code": ["007", "12A", "12B", "x"], "size": None}
    assert model["classes"] == ["FALSE", "TRUE", "UNKNOWN"]
    other = read_for(model, path, "all", label="kind")
    for found in (splits["test"].x, other.x, read_rows(path, model["columns"], {})):
        np.testing.assert_array_equal(found[:2, :4], [[0, 1, 0, 1], [1, 0, 0, 1]])
    np.testing.assert_array_equal(other.y, np.resize([1, 0], 20))


def test_blanks_around_a_text_are_none_of_it(csv):
    found = load_splits(csv("colour,kind\n" + "red,pos\nred ,pos \nblue,neg\n blue,neg \n" * 6), {"train": "train"},
                        label="kind")["train"]
    assert found.classes == ("neg", "pos") and found.columns == {"colour": ["blue", "red"]}


def test_rows_without_labels(csv, frame):
    frame = frame.drop(columns=["id", "price"])
    labelled = load_splits(csv(frame), PARTS, label="kind")
    parts = load_splits(csv(frame), PARTS, target=None)
    assert {name: len(part) for name, part in parts.items()} == {"train": 140, "val": 20, "test": 40}
    assert list(parts["train"].columns) == list(frame.columns) and parts["train"].kind == "row"
    assert all(part.y is None and part.target is None for part in parts.values())
    assert parts["train"].spec["row"].names == tuple(frame.columns)
    without = load_splits(csv(frame), PARTS, target=None, label="kind")["train"]  # the answer is no part of a row
    assert without.columns == labelled["train"].columns and without.y is None
    np.testing.assert_array_equal(without.x, labelled["train"].x)  # divided by the same classes
    facts = json.loads(json.dumps(without.describe()))
    path = csv(frame.assign(kind=None), "new.csv").removeprefix("csv:")
    other = read_for(facts, path, "all", target=None, label="kind")
    assert other.y is None and len(other) == len(frame)
    np.testing.assert_array_equal(read_for(facts, path, "test", target=None).x, other.x[np.isin(
        other.x[:, 0], read_for(facts, path, "test", target=None).x[:, 0])])
    refused(lambda: load(csv(frame), target=None, drop=list(frame.columns)), "no column left after drop")
    with pytest.raises(DataError):
        load(csv(frame), target=None, label="knid")


def test_truths_are_those_that_prediction_reads(csv):
    """A gap, or another spelling, makes pandas take them for texts."""
    table = pd.DataFrame({"flag": np.resize([True, False, True], 60), "z": np.arange(60) % 7 / 3,
                          "kind": np.resize(["a", "b"], 60)})
    train = load(csv(table), label="kind", fill="median")
    model = train.describe()
    assert model["columns"]["flag"] is None
    for texts in (["True", "False", None], ["TRUE", "0", "true"], ["true", "1", None]):
        path = csv(table[:3].assign(flag=texts), "other.csv").removeprefix("csv:")
        found = read_for(model, path, "all", label="kind").x
        np.testing.assert_array_equal(found, read_rows(path, model["columns"], model["medians"]))
    holes = load(csv(table.assign(flag=table["flag"].astype(object).where(table.index % 5 > 0))), label="kind",
                 fill="median").describe()
    assert holes["columns"]["flag"] == ["False", "True", "(missing)"]
    path = csv(table[:3].assign(flag=["TRUE", "what", "False"]), "other.csv").removeprefix("csv:")
    np.testing.assert_array_equal(read_for(holes, path, "all", label="kind").x[:, :3], np.eye(3)[[1, 2, 0]])


def test_what_training_has_not_seen_is_measured_as_in_its_own_splits(csv, frame):
    frame = frame.drop(columns=["id", "price"])
    model = load(csv(frame), label="kind", fill="median").describe()
    assert list(model["columns"]) == ["size", "colour", "ripe"]
    new = frame[:6].assign(colour=["red", "pink", None, "red", "red", "red"])
    path = csv(new, "new.csv").removeprefix("csv:")
    found = read_for(model, path, "all", label="kind")
    assert found.x[:, 1:4].sum(1).tolist() == [1, 0, 0, 1, 1, 1]
    assert found.remarks == ("all has categories that no training row has, and which count as missing: 'colour' in 2 "
                             "of 6 rows.",)
    csv(new.assign(colour="pink"), "new.csv")  # as of a column that is written otherwise
    refused(lambda: read_for(model, path, "all", label="kind"), "'pink'", "training data has not")
    csv(new, "new.csv")
    refused(lambda: read_for({**model, "medians": {}}, path, "all", label="kind"), "'colour' has 1 missing")


@pytest.mark.parametrize("ending", ["txt", "csv", "tsv"])
def test_tabs_are_those_of_the_training_file_where_no_ending_says_more(tmp_path, frame, ending):
    frame = frame.drop(columns=["id", "price"])
    frame.to_csv(tmp_path / "train.tsv", index=False, sep="\t")
    (tmp_path / "recipe.json").write_text(json.dumps({"data": f"csv:{tmp_path}/train.tsv"}))
    facts = load(f"csv:{tmp_path}/train.tsv", label="kind").describe() | {"run": str(tmp_path)}
    path = str(tmp_path / f"new.{ending}")
    frame.to_csv(path, index=False, sep="," if ending == "csv" else "\t")
    found = read_for(facts, path, "all", label="kind")
    assert len(found) == len(frame)
    to_predict.check(path, facts)
    assert len(np.concatenate([chunk.x for chunk in read_files([Path(path)], facts)])) == len(frame)
