"""Tables as people have them: other dialects and files, groups, times, many categories, image files."""

import gzip
import os
import shutil
from pathlib import PurePath

import numpy as np
import pandas as pd
import pytest
from data_harness import PARTS, read_rows, refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import kerasdl
from kerasdl.data import from_frame, leaks, load, load_splits
from kerasdl.data.sources import load_for
from kerasdl.data.table_file import read_table
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.evaluation.splits import load_split

RNG = np.random.default_rng(0)


def table(n=60):
    """A table of numbers, words and two classes."""
    rng = np.random.default_rng(1)
    return pd.DataFrame({"size": rng.normal(size=n).round(3), "count": rng.integers(0, 9999, n),
                         "colour": np.resize(["rot", "grün", "blau"], n), "art": np.resize(["a", "b"], n)})


def same(found, wanted):
    for name in PARTS:
        np.testing.assert_allclose(found[name].x, wanted[name].x, rtol=1e-6)
        np.testing.assert_array_equal(found[name].y, wanted[name].y)
    assert found["train"].columns == wanted["train"].columns and found["train"].classes == wanted["train"].classes


def german(frame):
    """A frame as a German spreadsheet writes it: 1.234,5."""
    def number(value):
        return f"{value:,}".replace(",", "_").replace(".", ",").replace("_", ".")

    return frame.assign(size=frame["size"].map(number), count=frame["count"].map(number))


# Dialects


def test_a_table_of_a_german_spreadsheet(tmp_path):
    path = tmp_path / "werte.csv"
    german(table()).to_csv(path, sep=";", index=False, encoding="cp1252")
    refused(lambda: load(f"csv:{path}", label="art"), "';'", "data_args.sep=';' data_args.decimal=','")
    refused(lambda: load(f"csv:{path}", label="art", sep=";"), "UTF-8", "data_args.encoding=cp1252")
    refused(lambda: load(f"csv:{path}", label="art", encoding="cp1252", sep=";"), "'size'", "data_args.decimal=','")
    how = {"sep": ";", "decimal": ",", "thousands": ".", "encoding": "cp1252"}
    found = load_splits(f"csv:{path}", PARTS, label="art", **how)
    same(found, from_frame(table(), "art"))
    rows = read_rows(str(path), found["train"].columns, {}, found["train"].reading)  # predicted without being asked
    assert len(rows) == 60 and found["train"].reading["dialect"] == how
    facts = found["train"].describe()
    np.testing.assert_array_equal(load_for(facts, f"csv:{path}", "all", target="class", label="art").x, rows)


@pytest.mark.parametrize("how, text", [
    ({"sep": "tab"}, "a\tb\ty\n"), ({"sep": "\\t"}, "a\tb\ty\n"), ({"sep": "|"}, "a|b|y\n"),
    ({"sep": "space"}, "a b y\n"), ({"skiprows": 2}, "Messung 7\n\na,b,y\n"),
    ({"na_values": "?", "fill": "median"}, "a,b,y\n"), ({"na_values": [-999, "?"], "fill": "median"}, "a,b,y\n")])
def test_dialects(tmp_path, how, text):
    lines = [[i % 7 + 0.5, 100 - i % 5, "pq"[i % 2]] for i in range(40)]
    if "na_values" in how:
        lines[3][0], lines[5][0] = "?", -999 if isinstance(how["na_values"], list) else 1.5
    sep = text.rstrip()[-2]
    path = tmp_path / "x.csv"
    path.write_text(text + "".join(sep.join(map(str, line)) + "\n" for line in lines))
    train = load(f"csv:{path}", label="y", **how)
    assert set(train.x[:, 0]) <= {i + 0.5 for i in range(7)} | set(train.medians.values())
    assert set(train.x[:, 1]) <= {96, 97, 98, 99, 100} and train.classes == ("p", "q")


def test_a_model_of_one_column_takes_files_with_that_column_alone(tmp_path):
    path = tmp_path / "one.csv"
    table()[["size", "art"]].to_csv(path, sep=";", index=False)
    train = load(f"csv:{path}", label="art", sep=";")
    table()[["size"]].to_csv(path, index=False)
    assert read_rows(str(path), train.columns, {}, train.reading).shape == (60, 1)
    assert len(load_for(train.describe(), f"csv:{path}", "all", target=None)) == 60
    path.write_text("other\n1\n")
    refused(lambda: read_rows(str(path), train.columns, {}, train.reading), "'other'", "what separates them")


@pytest.mark.parametrize("texts", [["01.01.2024", "12.11.2023"], ["1.5", "2.25"], ["1.2345", "1.000"]])
def test_signs_between_thousands_stand_between_groups_of_three(tmp_path, texts):
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    for path, values in ((good, ["1.500,5", "700", "12.345.678"]), (bad, texts)):
        path.write_text("a;y\n" + "".join(f"{values[i % len(values)]};{'pq'[i % 2]}\n" for i in range(60)))
    how = {"sep": ";", "decimal": ",", "thousands": "."}
    train = load(f"csv:{good}", label="y", **how)
    assert set(train.x[:, 0]) == {1500.5, 700, 12345678}
    refused(lambda: load(f"csv:{bad}", label="y", **how), "'a'")
    refused(lambda: read_rows(str(bad), train.columns, {}, train.reading), "'a'", texts[0])


def test_lines_are_those_of_the_file(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a title\n\na;y\n" + "1;p\n2;q\n" * 9 + "\n;\n" + "x;p\n")
    refused(lambda: load(f"csv:{path}", label="y", sep=";", skiprows=2), "'y'", "row 23")
    path.write_text("a title\n\na;y\n" + "1;p\n2;q\n" * 9 + "\n\nx;p\n")
    refused(lambda: load(f"csv:{path}", label="y", sep=";", skiprows=2), "row 24 of", "'x'")


@pytest.mark.parametrize("args, words", [
    ({"sep": ";"}, ["one field in its first line", "';'"]), ({"sep": "::"}, ["one character", "'::'"]),
    ({"encoding": "utf-9"}, ["utf-9", "utf-8"]), ({"decimal": "comma"}, ["decimal", "'comma'"]),
    ({"skip_rows": 1}, ["'skip_rows'", "'skiprows'"]), ({"header": "yes"}, ["header", "'yes'"])])
def test_a_dialect_that_is_none(tmp_path, args, words):
    table().to_csv(tmp_path / "x.csv", index=False)
    refused(lambda: load(f"csv:{tmp_path}/x.csv", label="art", **args), *words)


@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv.bz2", "x.csv.xz", "x.csv.zip", "x.tsv", "x.tsv.gz", "x.parquet",
                                  "x.xlsx"])
def test_other_files(tmp_path, name):
    frame, path = table(), tmp_path / name
    frame["code"] = np.resize(["007", "7", "08"], len(frame))
    if name.endswith("parquet"):
        frame.assign(colour=frame["colour"].astype("category"), count=frame["count"].astype("Int32")).to_parquet(path)
    elif name.endswith("xlsx"):
        frame.to_excel(path, index=False)
    else:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in name else ",")
    found = load_splits(f"csv:{path}", PARTS, label="art")
    same(found, from_frame(frame, "art"))
    assert found["train"].columns["code"] == ["007", "08", "7"]
    assert len(read_rows(str(path), found["train"].columns, {}, found["train"].reading)) == len(frame)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.xlsx"])
def test_numbers_that_are_categories_are_the_same_in_other_files(tmp_path, name):
    """Whether or not one of them is missing, which makes pandas read 10004 as 10004.0."""
    pytest.importorskip("pyarrow" if name.endswith("parquet") else "openpyxl")
    frame = table()[["size", "art"]].assign(code=np.resize([10004, 10005, 7], 60), shop=np.resize([3, 1, 2, 2], 60))
    save = type(frame).to_parquet if name.endswith("parquet") else type(frame).to_excel
    save(frame, tmp_path / name, index=False)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    args = {"label": "art", "category": "shop", "hash": "code", "buckets": 8}
    found, wanted = (load_splits(f"csv:{tmp_path / file}", PARTS, **args)["train"] for file in (name, "rows.csv"))
    np.testing.assert_array_equal(found.x, wanted.x)
    assert found.columns == wanted.columns and found.columns["shop"] == ["1", "2", "3"]
    save(frame.assign(code=frame["code"].where(frame.index % 9 > 0)), tmp_path / name, index=False)
    holes = load(f"csv:{tmp_path / name}", fill="median", **args)
    there = holes.x[:, 9] == 0
    assert 0 < there.sum() < len(holes)
    np.testing.assert_array_equal(holes.x[there, 1:9], found.x[there, 1:9])


def test_spreadsheets_of_several_sheets_and_damaged_files(tmp_path):
    path = tmp_path / "book.xlsx"
    with pd.ExcelWriter(path) as book:
        for sheet in ("Januar", "Februar"):
            table().to_excel(book, sheet_name=sheet, index=False, startrow=1)
    refused(lambda: load(f"csv:{path}", label="art"), "2 sheets", "Januar, Februar", "data_args.sheet")
    refused(lambda: load(f"csv:{path}", label="art", sheet="Januer"), "'Januer'", "'Januar'")
    train = load(f"csv:{path}", label="art", sheet="Februar", skiprows=1)
    assert len(load(f"csv:{path}", "test", label="art", sheet="Februar", skiprows=1)) == 12
    later = str(tmp_path / "later.xlsx")
    table().to_excel(later, sheet_name="Maerz", index=False, startrow=1)
    assert len(read_rows(later, train.columns, {}, train.reading)) == 60  # the only one, of another name
    assert len(load_for(train.describe(), f"csv:{later}", "all", target="class", label="art")) == 60
    refused(lambda: load(f"csv:{later}", label="art", sheet="Februar", skiprows=1), "no sheet 'Februar'")
    for name in ("x.xlsx", "x.parquet", "x.csv.gz"):
        (tmp_path / name).write_bytes(b"no such thing" * 9)
        refused(lambda name=name: load(f"csv:{tmp_path / name}", label="y"), name)


def test_three_groups_are_enough_for_three_parts():
    frame = table().assign(site=np.resize(["north", "south", "west"], 60))
    frame = frame.drop(columns="colour")  # of which each site has one
    found = from_frame(frame, "art", group="site")
    assert [len(found[name]) for name in PARTS] == [20, 20, 20]
    refused(lambda: from_frame(frame[frame["site"] != "west"], "art", group="site"), "2 different values", "3 parts")
    parts = from_frame(frame[frame["site"] != "west"], "art", group="site", test=frame[frame["site"] == "west"])
    assert [len(parts[name]) for name in PARTS] == [20, 20, 20]


def test_a_spreadsheet_with_two_columns_of_one_name(tmp_path):
    table().rename(columns={"count": "size"}).to_excel(tmp_path / "x.xlsx", index=False)
    refused(lambda: load(f"csv:{tmp_path}/x.xlsx", label="art"), "two columns called 'size'")
    sheet = pd.DataFrame([["", "", "a", "art"], *([7, 8, 1.5, "x"], [9, 7, 2.5, "y"]) * 10])
    sheet.to_excel(tmp_path / "blank.xlsx", index=False, header=False)
    refused(lambda: load(f"csv:{tmp_path}/blank.xlsx", label="art"), "has no name", "Unnamed")
    table().rename(columns={"count": "size.1"}).to_excel(tmp_path / "y.xlsx", index=False)  # as pandas would rename it
    assert "size.1" in load(f"csv:{tmp_path}/y.xlsx", label="art").columns


def test_a_quote_that_is_meant_as_such_swallows_no_rows(tmp_path):
    path, plain = tmp_path / "x.tsv", 'size\tnote\tart\n' + "1\tso\ta\n2\tno\tb\n" * 20
    path.write_text(plain + '3\t"well, he said\ta\n4\tno\tb\n5\tand that" was it\ta\n')
    refused(lambda: load(f"csv:{path}", label="art"), "line 42", "2 more rows")
    path.write_text(plain + '3\t"so\n\tindented"\ta\n')  # a text of two lines
    assert sum(len(part) for part in load_splits(f"csv:{path}", PARTS, label="art").values()) == 41


def test_a_column_that_is_left_out_and_kept_for_audits_is_read_as_others_are():
    frame = table().assign(sex=np.resize(["male", "male ", "female"], 60))
    kept = from_frame(frame, "art", drop=["sex"], attributes=["sex"])["train"].attributes["sex"]
    assert set(kept) == {"male", "female"}


def test_a_text_of_several_lines_alone_in_its_table(tmp_path):
    (tmp_path / "x.tsv").write_text('text\n' + '"one\ntwo"\n"three"\n' * 10)
    assert read_table(f"{tmp_path}/x.tsv")["text"].tolist() == ["one\ntwo", "three"] * 10


def test_a_column_of_lists_can_be_left_out(tmp_path):
    frame = table().assign(tags=[["a", "b"]] * 60)
    frame.to_parquet(tmp_path / "x.parquet")
    refused(lambda: load(f"csv:{tmp_path}/x.parquet", label="art"), "'tags'", "data_args.drop='tags'")
    found = load_splits(f"csv:{tmp_path}/x.parquet", PARTS, label="art", drop="tags")
    same(found, from_frame(table(), "art"))
    same(from_frame(frame, "art", drop=["tags"]), found)
    facts = found["train"].describe()
    assert len(load_for(facts, f"csv:{tmp_path}/x.parquet", "all", target="class", label="art", drop="tags")) == 60
    assert len(read_rows(f"{tmp_path}/x.parquet", found["train"].columns, {}, {})) == 60


def test_codes_are_found_in_utf_16_too(tmp_path):
    frame = table().assign(code=np.resize(["007", "7", "08"], 60))
    frame.to_csv(tmp_path / "x.csv", index=False, encoding="utf-16")
    assert load(f"csv:{tmp_path}/x.csv", label="art", encoding="utf-16").columns["code"] == ["007", "08", "7"]


def test_codes_and_numbers_are_told_apart_in_any_dialect(tmp_path):
    path = tmp_path / "x.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write("zip;price;power;y\n" + "".join(
            f"{'0' * (i % 2)}{1000 + i % 9};1,0{i % 7};{'1e3' if i % 3 else '2000'};{'pq'[i % 2]}\n"
            for i in range(60)))
    columns = load(f"csv:{path}", label="y", sep=";", decimal=",").columns
    assert columns["price"] is None and "01000" in columns["zip"] and columns["power"] == ["1e3", "2000"]


# A frame in memory


def test_a_frame_is_read_as_its_file(tmp_path):
    frame = table()
    frame.to_csv(tmp_path / "x.csv", index=False)
    same(from_frame(frame, "art"), load_splits(f"csv:{tmp_path}/x.csv", PARTS, label="art"))
    as_number = from_frame(frame.set_index("art"), "size", target="number", drop=["colour"])
    assert as_number["train"].target == "number" and list(as_number["train"].columns) == ["count"]
    run = kerasdl.train("linear_csv", data=from_frame(frame, "art"), data_args={}, objective="classify", batch=8,
                        epochs=1, verbose=False, workdir=tmp_path / "run")
    assert run.result["status"] == "completed"


@pytest.mark.parametrize("make, words", [
    (lambda frame: frame.assign(size=[[1]] * len(frame)), ["'size'", "list", "drop='size'"]),
    (lambda frame: frame.assign(size=pd.Timedelta("1s")), ["'size'", "Timedelta"]),
    (lambda frame: frame.assign(day=pd.date_range("2024-01-01", periods=len(frame))), ["'day'", "dates='day'"]),
    (lambda frame: frame.assign(size=1j), ["'size'"]),
    (lambda frame: frame.iloc[:0], ["no rows"]), (lambda frame: frame.to_numpy(), ["DataFrame", "ndarray"]),
    (lambda frame: frame.rename(columns={"size": "count"}), ["two columns", "'count'"])])
def test_a_frame_that_cannot_be_read(make, words):
    refused(lambda: from_frame(make(table()), "art"), *words)


# Groups, time and named parts


@pytest.mark.parametrize("make", [
    lambda rng: rng.integers(0, 30, 300), lambda rng: np.repeat(np.arange(50), 6), lambda rng: np.arange(300) % 4,
    lambda rng: np.array([f"patient {i}" for i in rng.geometric(0.1, 300)])])
@pytest.mark.parametrize("target", ["class", "number"])
def test_groups_stay_together(tmp_path, make, target):
    rng = np.random.default_rng(3)
    groups = make(rng)
    frame = pd.DataFrame({"x": rng.permutation(300) + 0.5, "who": groups, "y": rng.integers(0, 2, 300)})
    parts = from_frame(frame, "y", group="who", target=target)
    of = dict(zip(frame["x"], groups, strict=True))
    found = {name: {of[value] for value in part.x[:, 0]} for name, part in parts.items()}
    assert list(parts["train"].columns) == ["x"] and sum(map(len, parts.values())) == 300
    assert not found["train"] & found["test"] and not found["train"] & found["val"] and not found["val"] & found["test"]
    assert all(len(part) >= 10 for part in parts.values())


def test_groups_that_cannot_be_kept_apart(tmp_path):
    frame = table().assign(who=np.arange(60) % 2)
    refused(lambda: from_frame(frame, "art", group="who"), "2 different values")
    refused(lambda: from_frame(frame, "art", group="whom"), "'whom'", "'who'")
    frame["who"] = np.arange(60) // 5
    refused(lambda: from_frame(frame, "art", group="who", test=frame[:20]), "is in", "test")
    refused(lambda: from_frame(frame, "art", group="who", order="size"), "one of the two")
    refused(lambda: from_frame(frame.assign(who=frame["who"].where(frame.index > 2)), "art", group="who"), "'who'",
            "groups the rows", "3 of 60")


@pytest.mark.parametrize("times", [
    np.random.default_rng(5).permutation(100), np.repeat(np.arange(10), 10)[::-1],
    pd.date_range("2024-01-01", periods=100, freq="h").strftime("%Y-%m-%d %H:%M").to_numpy()[::-1]])
def test_the_last_by_order_are_test(times):
    frame = pd.DataFrame({"x": np.arange(100) % 50 + 0.5, "row": np.arange(100), "when": times,
                          "y": np.resize([0, 1], 100)})
    parts = from_frame(frame, "y", order="when", keep="row")
    spans = {name: [times[int(row)] for row in part.x[:, 1]] for name, part in parts.items()}
    assert max(spans["train"]) < min(spans["val"]) and max(spans["val"]) < min(spans["test"])
    assert list(parts["train"].columns) == ["x", "row"] and len(parts["test"]) == 20 and len(parts["val"]) == 10
    refused(lambda: from_frame(frame.assign(when=0), "y", order="when", keep="row"), "one value")


def test_a_column_names_the_parts():
    frame = table().assign(fold=np.resize(["train", "train", "train", "valid", "testing"], 60))
    parts = from_frame(frame, "art", split="fold")
    assert {name: len(part) for name, part in parts.items()} == {"train": 36, "val": 12, "test": 12}
    np.testing.assert_allclose(sorted(parts["val"].x[:, 0]), sorted(frame["size"][3::5]), rtol=1e-6)
    parts = from_frame(frame.assign(fold=frame["fold"].replace("valid", "train")), "art", split="fold")
    np.testing.assert_allclose(sorted(parts["test"].x[:, 0]), sorted(frame["size"][4::5]), rtol=1e-6)
    assert len(parts["train"]) + len(parts["val"]) == 48 and len(parts["val"]) >= 4
    refused(lambda: from_frame(frame.replace("valid", "holdout"), "art", split="fold"), "'fold'", "'holdout'", "row 3")


@pytest.mark.parametrize("group", [1, r"p\d+", r"_(p\d+)_"])
def test_images_of_a_group_stay_together(tmp_path, group):
    for kind in ("cat", "dog"):
        for who in range(12):
            folder = tmp_path / kind / (f"p{who}" if group == 1 else ".")
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(3):
                Image.new("L", (4, 4), who * 20 + (kind == "dog")).save(folder / f"x_p{who}_{i}.png")
    parts = load_splits(f"folder:{tmp_path}", PARTS, group=group)
    found = {name: set(part.x[:, 0, 0, 0] // 20) for name, part in parts.items()}
    assert sum(map(len, found.values())) == 12 and all(found.values())
    refused(lambda: load(f"folder:{tmp_path}", group=r"q\d"), "q\\d", "no such part")
    refused(lambda: load(f"folder:{tmp_path}", group="("), "regular expression")


# Very many categories


def test_many_categories_are_put_into_buckets(tmp_path):
    customers = [f"c{i}" for i in RNG.integers(0, 5000, 3000)]
    frame = pd.DataFrame({"customer": customers, "x": RNG.normal(size=3000), "y": np.resize([0, 1], 3000)})
    refused(lambda: from_frame(frame, "y"), "'customer'", "hash='customer'")
    train = from_frame(frame, "y", hash="customer", buckets=32)["train"]
    assert train.x.shape[1] == 33 and (train.x[:, :32].sum(1) == 1).all() and train.x[:, :32].sum(0).min() > 0
    new = tmp_path / "new.csv"
    pd.DataFrame({"customer": ["c1", "never seen", "c1"], "x": 0.5}).to_csv(new, index=False)
    rows = read_rows(str(new), train.columns, {}, train.reading)
    np.testing.assert_array_equal(rows[0], rows[2])
    assert rows[:, :32].sum() == 3
    holes = from_frame(frame.assign(customer=frame["customer"].where(frame.index % 9 > 0)), "y", hash="customer",
                       buckets=8, fill="median")["train"]
    assert holes.x.shape[1] == 10 and 0 < holes.x[:, 8].sum() < len(holes)


def test_a_table_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(kerasdl.data.table, "MEMORY", 600 * 4 * 100)
    frame = pd.DataFrame({"place": [f"p{i}" for i in RNG.integers(0, 99, 600)], "x": RNG.normal(size=600),
                          "y": np.resize([0, 1], 600)})
    refused(lambda: from_frame(pd.concat([frame, frame]), "y"), "1200 rows", "'place'", "hash='place'")
    assert from_frame(frame.iloc[:300], "y")


def test_a_category_that_only_test_has_is_refused():
    frame = table()
    extra = frame.iloc[:20].assign(colour="gelb")
    refused(lambda: from_frame(frame, "art", test=extra), "'colour'", "'gelb'", "training data has not")
    parts = from_frame(frame, "art", test=frame.iloc[:20].assign(colour="rot"))
    assert len(parts["test"]) == 20 and parts["test"].columns["colour"] == ["blau", "grün", "rot"]


def test_a_category_that_no_training_row_has_is_none_that_is_learned():
    """Neither a text nor what is missing: a column of its own would keep the random weights that it begins with."""
    frame = table().assign(fold=np.resize(["train", "train", "train", "valid", "testing"], 60), note="yes")
    frame.loc[3, "colour"], frame.loc[4, "note"], frame.loc[9, "note"] = "gelb", None, "no"
    parts = from_frame(frame, "art", split="fold", fill="median")
    assert parts["train"].columns == {"size": None, "count": None, "colour": ["blau", "grün", "rot"], "note": ["yes"]}
    assert not parts["val"].x[0, 2:5].any() and parts["val"].x[1:, 2:5].sum() == 11
    assert not parts["test"].x[:2, 5].any() and parts["test"].x[2:, 5].all()
    assert not parts["train"].remarks
    assert "val has categories that no training row has" in parts["val"].remarks[0]
    assert "'colour' in 1 of 12 rows" in parts["val"].remarks[0] and "'note' in 2 of 12" in parts["test"].remarks[0]
    frame.loc[0, "note"] = None  # then what is missing is learned, and what is unknown is taken so
    parts = from_frame(frame, "art", split="fold", fill="median")
    assert parts["train"].columns["note"] == ["yes", "(missing)"]
    np.testing.assert_array_equal(parts["test"].x[:2, 5:], [[0, 1], [0, 1]])
    refused(lambda: from_frame(frame.assign(colour=frame["colour"].where(frame["fold"] != "train")), "art",
                               split="fold", fill="median"), "'colour'", "no value in the training rows")


def test_a_class_that_only_val_and_test_have_is_refused():
    frame = table().assign(fold=np.resize(["train", "train", "train", "valid", "testing"], 60))
    frame.loc[frame["fold"] == "valid", "art"] = "c"
    refused(lambda: from_frame(frame, "art", split="fold"), "'c' has 12 of 60", "training part")


# Several labels or numbers


@pytest.mark.parametrize("how", [{"label": ["sun", "sea"]}, {"label": "sun,sea"},
                                 {"label": "tags", "label_sep": "|"}])
def test_several_labels(tmp_path, how):
    frame = pd.DataFrame({"x": RNG.normal(size=80), "sun": np.resize([0, 1], 80), "sea": np.resize([1, 0, 0], 80)})
    frame["tags"] = [" | ".join(name for name in ("sun", "sea") if row[name]) for _, row in frame.iterrows()]
    drop = [name for name in ("tags", "sun", "sea") if name not in str(how["label"])]
    parts = from_frame(frame, target="labels", drop=drop, **how)
    by_x = frame.assign(x=frame["x"].astype("float32")).set_index("x")
    for part in parts.values():
        assert part.target == "labels" and set(part.classes) == {"sun", "sea"}
        np.testing.assert_array_equal(part.y, by_x.loc[part.x[:, 0], list(part.classes)])
    refused(lambda: from_frame(frame, "tags", target="labels"), "label_sep")
    refused(lambda: from_frame(frame.assign(sun=2), ["sun", "sea"], target="labels"), "'sun'", "has '2'")
    refused(lambda: from_frame(frame, ["sun", "sea"]), "objective=multilabel")


@pytest.mark.parametrize("word", ["NA", "None", "null", "nan"])
def test_a_label_that_alone_means_a_missing_value_is_refused(tmp_path, word):
    frame = pd.DataFrame({"x": np.arange(60) / 7, "tags": np.resize(["red", f"{word}|red", f"{word}", "blue"], 60)})
    frame.to_csv(tmp_path / "a.csv", index=False)
    how = {"label": "tags", "label_sep": "|", "target": "labels"}
    refused(lambda: load(f"csv:{tmp_path}/a.csv", **how), "15 of 60", "row 4", repr(word), "write another word")
    frame[frame.tags != word].to_csv(tmp_path / "a.csv", index=False)
    assert load(f"csv:{tmp_path}/a.csv", **how).classes == tuple(sorted((word, "red", "blue")))
    frame.tags = np.resize(["red", "blue|red", word], 60)
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert load(f"csv:{tmp_path}/a.csv", **how).classes == ("blue", "red")


def test_weights_of_rows_and_labels_that_cannot_be_learned():
    frame = table().assign(w=np.arange(60) % 3 / 2, sun=np.resize([0, 1], 60), sea=0)
    train = from_frame(frame.drop(columns=["sun", "sea"]), "art", weight="w")["train"]
    assert "w" not in train.columns and set(train.weights) == {0, 0.5, 1}
    refused(lambda: from_frame(frame.assign(w=-1), "art", weight="w"), "weights", "-1")
    refused(lambda: from_frame(frame.assign(w=np.nan), "art", weight="w"), "'w'", "60 of 60")
    refused(lambda: from_frame(frame, ["sun", "sea"], target="labels"), "'sea'", "nothing to learn")


def test_several_numbers():
    frame = table()
    parts = from_frame(frame, ["size", "count"], target="number")
    assert parts["train"].outputs == 2 and list(parts["train"].columns) == ["colour", "art"]


def test_a_model_of_numbers_is_measured_on_one_row(tmp_path):
    frame = table().assign(price=RNG.normal(size=60)).drop(columns=["art", "colour"])
    facts = from_frame(frame, "price", target="number")["train"].describe()
    frame.iloc[:1].to_csv(tmp_path / "one.csv", index=False)
    one = load_for(facts, f"csv:{tmp_path / 'one.csv'}", "all", target="number", label="price")
    np.testing.assert_allclose(one.y, [[frame["price"][0]]], rtol=1e-6)
    refused(lambda: from_frame(frame.assign(price=1.5), "price", target="number"), "1.5 in every row")


# A table of image files


@pytest.fixture
def images(tmp_path):
    """Twenty image files and a table of them."""
    (tmp_path / "img").mkdir()
    rows = []
    for i in range(20):
        Image.new("RGB", (6, 5), (i * 10, 0, 255 - i * 10)).save(tmp_path / "img" / f"{i:03}.png")
        tags = "red" if i > 9 else "green blue" if i % 4 else "blue red"
        rows.append({"id": f"{i:03}", "kind": "ab"[i % 2], "weight": i / 2, "tags": tags, "who": i // 2})
    pd.DataFrame(rows).to_csv(tmp_path / "train.csv", index=False)
    return tmp_path


HOW = {"image": "id", "suffix": ".png"}


def test_a_table_of_image_files(images):
    name, how = f"csv:{images}/train.csv", HOW | {"root": str(images / "img"), "label": "kind"}
    parts = load_splits(name, PARTS, **how)
    assert parts["train"].shape == (5, 6, 3) and parts["train"].kind == "image"
    assert sorted(len(part) for part in parts.values()) == [2, 4, 14]
    for part in parts.values():
        np.testing.assert_array_equal(part.y, part.x[:, 0, 0, 0] // 10 % 2)
    numbers = load(name, target="number", **how | {"label": "weight"})
    np.testing.assert_allclose(numbers.y[:, 0], numbers.x[:, 0, 0, 0] / 20)
    several = load(name, target="labels", label_sep=" ", **how | {"label": "tags"})
    np.testing.assert_array_equal(several.y[:, several.classes.index("blue")], several.x[:, 0, 0, 0] < 100)
    apart = load_splits(name, PARTS, group="who", **how)
    assert not set(apart["train"].x[:, 0, 0, 0] // 20) & set(apart["test"].x[:, 0, 0, 0] // 20)
    whole = load_for(parts["train"].describe(), name, "all", target="class", **how)
    assert len(whole) == 20 and whole.classes == parts["train"].classes


def test_labels_of_images_are_the_same_words_in_every_table(images):
    """Whether pandas takes TRUE for a text depends on the other rows."""
    frame, how = pd.read_csv(images / "train.csv", dtype=str), HOW | {"root": str(images / "img"), "label": "kind"}
    frame["kind"] = np.resize(["TRUE", "FALSE", "MIXED"], len(frame))
    frame.to_csv(images / "train.csv", index=False)
    frame[frame.kind != "MIXED"].to_csv(images / "other.csv", index=False)
    facts = load(f"csv:{images}/train.csv", **how).describe()
    assert set(load_for(facts, f"csv:{images}/other.csv", "all", target="class", **how).y) == {0, 2}


def test_a_model_of_a_table_of_image_files(images, monkeypatch, caplog):
    monkeypatch.chdir(images)
    run = kerasdl.train("linear_digits", data="csv:train.csv", data_args=HOW | {"root": "img", "label": "kind"},
                        splits={}, batch=4, epochs=1, verbose=False, workdir=images / "run")
    os.chdir("/")
    assert 0 <= evaluate(run, "test")["accuracy"] <= 1
    own = load_split(run, "all", data=f"csv:{images}/train.csv").x
    (images / "B/img").mkdir(parents=True)  # a folder of other images with the same names
    for file in (images / "img").iterdir():
        Image.new("RGB", (6, 5), (7, 7, 7)).save(images / "B/img" / file.name)
    shutil.copy(images / "train.csv", images / "other.csv")
    caplog.set_level("INFO")
    for here, other in ("", "B/"), ("B", ""), ("B/img", "../"):
        monkeypatch.chdir(images / here)
        shutil.copy(images / "train.csv", f"{other}t.csv")
        assert (load_split(run, "all", data=f"csv:{other}t.csv").x == 7).all()
        assert f"are read from {other}img." in caplog.text
        np.testing.assert_array_equal(load_split(run, "all", data=f"csv:{images}/other.csv").x, own)


@pytest.mark.parametrize("args, words", [
    ({"suffix": ""}, ["img/000", "20 of 20", "data_args.suffix=.png"]),
    ({"root": None}, ["000.png", "data_args.root"]), ({"image": "file"}, ["'file'"]), ({"label": None}, ["label"])])
def test_a_table_of_image_files_that_are_not_there(images, args, words):
    how = HOW | {"root": str(images / "img"), "label": "kind"} | args
    refused(lambda: load(f"csv:{images}/train.csv", **how), *words)


def test_an_image_in_two_rows_is_asked_about(images, monkeypatch):
    frame, compared = pd.read_csv(images / "train.csv", dtype=str), []
    pd.concat([frame, frame[-1:]]).to_csv(images / "twice.csv", index=False)
    equal = PurePath.__eq__
    monkeypatch.setattr(PurePath, "__eq__", lambda one, other: compared.append(one) or equal(one, other))
    refused(lambda: load(f"csv:{images}/twice.csv", root=str(images / "img"), label="kind", **HOW), "2 rows",
            "label_sep")
    assert len(compared) < len(frame)  # and not each with each


# Anything that pandas writes


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_pandas_writes_is_read_or_refused(tmp_path, data):
    n = data.draw(st.integers(20, 60))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    kinds = {"float": rng.normal(size=n), "whole": rng.integers(-5, 50, n), "big": 10**12 + rng.integers(0, 100, n),
             "word": rng.choice(["red", "green", "deep blue", "ça va"], n), "flag": rng.random(n) < 0.5,
             "quoted": rng.choice(['a "b"', "c,d;e", " e "], n), "code": rng.choice(["01", "10", "002"], n)}
    chosen = data.draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, unique=True))
    frame = pd.DataFrame({name: kinds[name] for name in chosen}).assign(y=np.resize(["a", "b"], n))
    how, path = written(frame, tmp_path, data.draw)
    try:
        parts = load_splits(f"csv:{path}", PARTS, label="y", **how)
    except kerasdl.errors.UserError as error:
        assert "\n" not in str(error)
        assert any(leaks.counting(frame[name]) for name in chosen), error
        return
    columns, start = parts["train"].columns, 0
    values = {name: {str(value).strip() for value in frame[name]} for name in columns}
    if unseen := [name for name, known in columns.items() if known and values[name] - set(known)]:
        assert any(unseen[0] in remark for part in parts.values() for remark in part.remarks)
        return  # no training row has it
    rows = read_rows(str(path), columns, {}, parts["train"].reading)
    for name, categories in columns.items():
        width = len(categories) if categories else 1
        block = rows[:, start:start + width]
        start += width
        if categories:
            assert [categories[place] for place in block.argmax(1)] == [str(v).strip() for v in frame[name]]
        else:
            offset = parts["train"].reading.get("offsets", {}).get(name, 0.0)
            np.testing.assert_allclose(block[:, 0].astype("float64") + offset, frame[name].astype(float), rtol=1e-6)


def written(frame, folder, draw):
    """Write a frame in some form; return what says so, and the file."""
    form = draw(st.sampled_from(["csv", "csv", "csv", "csv.gz", "csv.zip", "parquet", "xlsx"]))
    path = folder / f"rows.{form}"
    if form == "parquet":
        frame.to_parquet(path)
        return {}, path
    if form == "xlsx":
        frame.to_excel(path, index=False)
        return {}, path
    how = {"sep": draw(st.sampled_from([",", ";", "\t", "|"])),
           "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]))}
    if how["sep"] != ",":
        how["decimal"] = draw(st.sampled_from([",", "."]))
    frame.to_csv(path, index=False, quoting=draw(st.sampled_from([0, 1])),
                 lineterminator=draw(st.sampled_from(["\n", "\r\n"])), **how)
    return how, path
