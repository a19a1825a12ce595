"""A table is the same whatever holds it: text with other signs, a DataFrame or Parquet."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_harness import read_rows, refused

from kerasdl.data import from_arrays, from_frame, load, load_splits
from kerasdl.data.columns import categories_of, whole_texts
from kerasdl.data.sources import load_for, look_for
from kerasdl.data.split import check_same
from kerasdl.data.table_file import plain, read_table
from kerasdl.errors import DataError, UserError
from kerasdl.train.fit import check_splits

ROWS = 60


@pytest.mark.parametrize("args", [{"label": "price"}, {"label": "size", "weight": "price"}])
def test_a_number_in_other_groups_is_refused_also_where_it_is_learned_or_weighs(tmp_path, args):
    prices = [f"{1 + i}.{500 + i}" for i in range(ROWS - 1)] + ["950.5"]
    text = "\n".join(f"{i};{price};{i * 7 % 11}" for i, price in enumerate(prices))
    (tmp_path / "t.csv").write_text(f"size;price;width\n{text}\n")
    with pytest.raises(DataError, match="price.*holds numbers"):
        load_splits(f"csv:{tmp_path / 't.csv'}", {"train": "train"}, target="number", sep=";", decimal=",",
                    thousands=".", keep="size", **args)


def frame(**columns):
    random = np.random.default_rng(0)
    return pd.DataFrame({"x": random.normal(size=ROWS), **columns, "y": random.choice(["a", "b"], ROWS)})


@pytest.mark.parametrize("form", ["frame", "parquet"])
def test_what_a_csv_has_missing_is_missing_in_every_form(tmp_path, form):
    random = np.random.default_rng(1)
    table = frame(n=random.integers(0, 90, ROWS).astype(float), c=random.choice(["u", "v"], ROWS))
    table.loc[:9, "n"], table.loc[5:14, "c"], table.loc[20:24, "c"] = -999.0, "", "NA"
    given = {"label": "y", "na_values": -999, "fill": "median"}
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    wanted = load_splits(f"csv:{tmp_path / 't.csv'}", {"train": "train", "test": "test"}, **given)
    found = from_frame(table, **given) if form == "frame" else \
        load_splits(f"csv:{tmp_path / 't.parquet'}", {"train": "train", "test": "test"}, **given)
    assert wanted["train"].columns == found["train"].columns and "(missing)" in found["train"].columns["c"]
    for name in ("train", "test"):
        np.testing.assert_array_equal(wanted[name].x, found[name].x)


PRICES = ["1'234,5", "0,77", "12'345'678", "700", "1'000"]


@pytest.mark.parametrize("form", ["frame", "xlsx", "parquet"])
def test_signs_of_a_country_are_read_in_every_form(tmp_path, form):
    """Numbers in texts, also where some of a spreadsheet's cells are numbers, and next to a gap."""
    table = frame(price=np.resize(PRICES, ROWS), mixed=np.resize(PRICES, ROWS), code=np.resize(["007", "7"], ROWS))
    table.to_csv(tmp_path / "t.csv", index=False, sep=";", decimal=",")
    table["mixed"] = table["mixed"].astype(object).replace({"0,77": 0.77, "700": 700})
    given = {"label": "y", "decimal": ",", "thousands": "'", "na_values": "12'345'678", "fill": "median"}
    wanted = load(f"csv:{tmp_path / 't.csv'}", sep=";", **given)
    assert wanted.columns["price"] is None and {1234.5, 700, 1000} < set(wanted.x[:, 1])
    if form == "frame":
        found = from_frame(table, **given)["train"]
    else:
        table = table if form == "xlsx" else table.assign(mixed=table["price"])  # whose columns have one type
        getattr(table, {"xlsx": "to_excel", "parquet": "to_parquet"}[form])(tmp_path / f"t.{form}", index=False)
        found = load(f"csv:{tmp_path / 't'}.{form}", **given)
        again = load_for(found.describe(), f"csv:{tmp_path / 't'}.{form}", "train", target="class", **given)
        np.testing.assert_array_equal(again.x, found.x)
    assert found.columns == wanted.columns
    np.testing.assert_array_equal(found.x, wanted.x)


def test_a_column_of_a_frame_with_signs_in_other_groups_is_no_number():
    given = {"label": "y", "decimal": ",", "thousands": "."}
    refused(lambda: from_frame(frame(n=np.resize(["1.5", "2.25"], ROWS)), **given), "'n' holds numbers", "1.5")
    refused(lambda: from_frame(frame(n=np.resize(["1.500", "2.25"], ROWS)), label="n", target="number", decimal=",",
                               thousands=".", drop="y"), "'n' holds numbers, but row 0", "1.500")
    words = from_frame(frame(n=np.resize(["7", "8"], ROWS), c=np.resize(["1,5", "2"], ROWS)), category="c", **given)
    assert words["train"].columns == {"x": None, "n": ["7", "8"], "c": ["1,5", "2"]}


@pytest.mark.parametrize("sign", ["’", "'", "\u00a0", "\u202f", " "])
def test_any_sign_may_stand_between_thousands_and_none_is_guessed(tmp_path, sign):
    texts = [text.replace("'", sign) for text in ("1'200", "12'345.5", "1'234'567", "80")]
    frame(n=np.resize(texts, ROWS)).to_csv(tmp_path / "t.csv", index=False)
    refused(lambda: load(f"csv:{tmp_path / 't.csv'}", label="y"), "'n' holds numbers", f"data_args.thousands={sign!r}")
    train = load(f"csv:{tmp_path / 't.csv'}", label="y", thousands=sign)
    assert train.columns == {"x": None, "n": None} and set(train.x[:, 1]) == {1200, 12345.5, 1234567, 80}
    rows = read_rows(str(tmp_path / "t.csv"), train.columns, {}, train.reading)
    np.testing.assert_array_equal(rows[:4, 1], [1200, 12345.5, 1234567, 80])
    assert load(f"csv:{tmp_path / 't.csv'}", label="y", thousands=sign, category="n").columns["n"] == sorted(texts)
    frame(n=np.resize([f"1{sign}2", f"12{sign}5"], ROWS)).to_csv(tmp_path / "t.csv", index=False)
    refused(lambda: load(f"csv:{tmp_path / 't.csv'}", label="y", thousands=sign), "'n' holds numbers")


@pytest.mark.parametrize("form", ["csv", "parquet", "frame"])
def test_a_column_of_categories_may_have_a_comma_in_its_name(tmp_path, form):
    table = frame(**{"Region, code": np.resize([3, 1, 2, 2], ROWS)})
    given = {"label": "y", "category": "Region, code"}
    if form == "frame":
        train = from_frame(table, **given)["train"]
    else:
        (table.to_csv if form == "csv" else table.to_parquet)(tmp_path / f"t.{form}", index=False)
        train = load(f"csv:{tmp_path / 't'}.{form}", **given)
        again = load_for(train.describe(), f"csv:{tmp_path / 't'}.{form}", "train", target="class", **given)
        np.testing.assert_array_equal(again.x, train.x)
    assert train.columns["Region, code"] == ["1", "2", "3"]
    with pytest.raises(DataError, match="'n' is one of categories, and was read as numbers"):
        categories_of(pd.Series([7.0, 8.0]), "n", asked=True)


def test_a_whole_number_falls_into_one_bucket_in_every_file(tmp_path):
    codes = pd.Series(np.random.default_rng(2).integers(10_000, 99_999, ROWS).astype(float))
    codes[:3] = np.nan
    given = {"label": "y", "hash": "zip", "fill": "median", "buckets": 16}
    whole = from_frame(frame(zip=codes), **given)
    frame(zip=codes).to_csv(tmp_path / "t.csv", index=False)  # 86555.0
    again = load_splits(f"csv:{tmp_path / 't.csv'}", {"train": "train", "test": "test"}, **given)
    np.testing.assert_array_equal(whole["train"].x, again["train"].x)


def test_times_keep_their_fractions_and_an_hour_that_comes_twice_is_refused():
    fine = pd.Series(pd.to_datetime(["2024-01-01 00:00:00.02", "2024-01-01 00:00:00.04", None]))
    assert plain(fine, "t").tolist()[:2] == ["2024-01-01 00:00:00.020000", "2024-01-01 00:00:00.040000"]
    assert plain(pd.Series(pd.to_datetime(["2024-01-01"])), "t").tolist() == ["2024-01-01"]
    twice = pd.Series(pd.to_datetime(["2024-10-27 00:20", "2024-10-27 01:20"], utc=True)).dt.tz_convert("Europe/Berlin")
    with pytest.raises(DataError, match="the clock repeats.*UTC"):
        plain(twice, "t")


@pytest.mark.parametrize("asked", [{"val": "test", "test": "test"}, {"train": "train+test", "test": "test"}])
def test_splits_that_share_examples_are_refused(tmp_path, asked):
    frame().to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match="share the examples of test"):
        load_splits(f"csv:{tmp_path / 't.csv'}", {"train": "train"} | asked, label="y")


def test_columns_of_a_table_of_labels_go_by_their_names():
    random = np.random.default_rng(3)
    x, y = random.normal(size=(ROWS, 2)), pd.DataFrame(random.integers(0, 2, (ROWS, 2)), columns=["sun", "sea"])
    test = from_arrays(x, y, target="labels", test=(x, y[["sea", "sun"]]))["test"]
    np.testing.assert_array_equal(test.y, y.to_numpy())
    with pytest.raises(DataError, match="columns sun, sky"):
        from_arrays(x, y, target="labels", test=(x, y.set_axis(["sun", "sky"], axis=1)))


def test_labels_of_another_type_are_the_same_classes():
    x, y = np.random.default_rng(4).normal(size=(ROWS, 2)), np.arange(ROWS) % 2
    for one, other in ((y.astype(float), y), (y, y.astype(bool))):
        assert from_arrays(x, one, test=(x, other))["test"].y.tolist() == y.tolist()


def test_a_group_is_the_same_whether_its_column_has_texts_or_not(tmp_path):
    random = np.random.default_rng(5)

    def series(groups, start):
        return pd.DataFrame([{"id": f"s{start + number}", "step": step, "value": random.normal(), "group": group,
                              "label": number % 2} for number, group in enumerate(groups) for step in range(4)])

    series(np.repeat(np.arange(10), 3), 0).to_csv(tmp_path / "train.csv", index=False)
    series(["3", "4", "X1", "X1"], 100).to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(DataError, match="group '3' is in train and in test"):
        load_splits(f"series:{tmp_path / 'train.csv'}", {"train": "train"}, id="id", time="step", value="value",
                    label="label", group="group", test=str(tmp_path / "test.csv"))


def test_an_index_with_a_name_is_a_column(tmp_path):
    table = frame(patient=np.arange(ROWS) // 3).set_index("patient")
    table.to_parquet(tmp_path / "t.parquet")
    parts = load_splits(f"csv:{tmp_path / 't.parquet'}", {"train": "train", "test": "test"}, label="y", group="patient")
    assert len(parts["train"]) + len(parts["test"]) < ROWS and list(parts["train"].columns) == ["x"]


@pytest.mark.parametrize("ways, words", [
    ({"n": 5.0}, "Gaps in the column 'n' of data are filled with 5.* with 0"),
    ({"t": 1e9}, "'t' of data is stored minus 2.*, and the model learns it minus")])
def test_splits_with_medians_or_offsets_of_their_own_are_none_of_the_run(ways, words):
    numbers = np.resize([-1.0, 0.0, 1.0, np.nan, 0.0], ROWS)
    table = frame(n=numbers, t=1e9 + np.random.default_rng(6).integers(0, 40, ROWS))
    parts = from_frame(table, "y", fill="median")
    other = from_frame(table.assign(**{name: table[name] + far for name, far in ways.items()}), "y", fill="median")
    facts = parts["train"].describe()
    check_same(parts["test"], facts, "data")
    with pytest.raises(UserError, match=f"{words}.*data='csv:PATH'"):
        check_same(other["test"], facts, "data")
    with pytest.raises(UserError, match="of the split val"):
        check_splits(parts | {"val": other["val"]})
    whole = frame(n=np.arange(ROWS) % 7.0)
    filled = from_frame(whole.assign(n=whole["n"].where(whole["n"] > 0)), "y", fill="median")
    check_same(from_frame(whole, "y")["test"], filled["train"].describe(), "data")  # in which nothing was filled


def test_a_model_of_a_frame_knows_its_label(tmp_path):
    frame().to_csv(tmp_path / "t.csv", index=False)
    wanted = from_frame(frame(), "y")["train"].describe()
    for args in ({}, {"label": "label"}):  # that of a recipe, which the frame did not use
        look_for(wanted, f"csv:{tmp_path / 't.csv'}", target="class", **args)
        assert load_for(wanted, f"csv:{tmp_path / 't.csv'}", "all", target="class", **args).classes == ("a", "b")
    del wanted["reading"]
    with pytest.raises(DataError, match="Nobody says which column.*has not recorded its label.*from_frame"):
        load_for(wanted, f"csv:{tmp_path / 't.csv'}", "all", target="class")


@pytest.mark.parametrize("kind", ["boolean", "object", "bool[pyarrow]"])
def test_truths_with_gaps_are_categories_in_every_form(tmp_path, kind):
    table = frame(f=np.resize(np.array([True, False, None, True], object), ROWS))
    table.to_csv(tmp_path / "t.csv", index=False)
    found = from_frame(table.astype({"f": kind}), "y", fill="median")
    wanted = load_splits(f"csv:{tmp_path / 't.csv'}", {"train": "train"}, label="y", fill="median")
    assert found["train"].columns == wanted["train"].columns == {"x": None, "f": ["False", "True", "(missing)"]}
    np.testing.assert_array_equal(found["train"].x, wanted["train"].x)


@pytest.mark.parametrize("rows", ["1,2,9\n2,4,5\n3,4,5\n", "0,2,9\n1,4,5\n", "1,2,9\n3,4\n"])
def test_a_field_too_many_in_the_first_row_makes_no_index(tmp_path, rows):
    """One that counts the rows looks as if there were none."""
    (tmp_path / "t.csv").write_text(f"a,b\n{rows}")
    with pytest.raises(DataError, match="more fields than its header has names"):
        read_table(str(tmp_path / "t.csv"))


def test_a_column_that_only_divides_the_rows_is_no_column_of_the_model():
    table = frame(when=np.resize(["2024-01-01", "2024-02-01", "2024-03-01"], ROWS), who=np.arange(ROWS) // 3,
                  day=np.resize(["2024-01-01", "2024-02-01"], ROWS))
    given = {"order": "when", "dates": "when,day", "category": "who,y"}
    reading = from_frame(table, "y", group="who", **given | {"order": None})["train"].reading
    assert reading["dates"] == ["when", "day"] and reading["category"] == ["y"]  # as a label is read again
    reading = from_frame(table.drop(columns="who"), "y", **given | {"category": "y"})["train"].reading
    assert reading["dates"] == ["day"]
    assert from_frame(table.drop(columns="who"), "y", keep="when", **given | {"category": "y"}
                      )["train"].reading["dates"] == ["when", "day"]


def test_a_whole_number_is_one_category_with_and_without_gaps(tmp_path):
    codes = pd.Series(np.resize([1.0, 2.0, 10.0], ROWS))
    given = {"label": "y", "category": "code", "fill": "median"}
    frame(code=codes.mask(np.arange(ROWS) < 9)).to_csv(tmp_path / "gaps.csv", index=False)  # 1.0
    frame(code=codes.astype(int)).to_csv(tmp_path / "whole.csv", index=False)
    gaps, whole = (load(f"csv:{tmp_path / name}.csv", **given) for name in ("gaps", "whole"))
    assert whole.columns["code"] == ["1", "10", "2"] and gaps.columns["code"] == [*whole.columns["code"], "(missing)"]
    old = {"x": None, "code": ["1.0", "10.0", "2.0"]}  # of a run of before
    check_same(whole, {**whole.describe(), "columns": old}, "data")
    for columns in (whole.columns, old):
        for form in ("whole", "gaps"):
            path = tmp_path / f"{form}.csv"
            measured = load_for({**whole.describe(), "columns": columns}, f"csv:{path}", "all", target="class", **given)
            np.testing.assert_array_equal(measured.x[9:, 1:], np.resize(np.eye(3)[[0, 2, 1]], (ROWS - 9, 3)))
            pd.read_csv(path)[9:].to_csv(tmp_path / "some.csv", index=False)
            rows = read_rows(str(tmp_path / "some.csv"), columns, {}, whole.reading)
            np.testing.assert_array_equal(rows[:, 1:], measured.x[9:, 1:])
    texts = pd.Series(["1.0", "1.5", None])
    assert whole_texts(texts).tolist()[:2] == ["1.0", "1.5"] and whole_texts(texts[:1]).tolist() == ["1"]
    assert whole_texts(pd.Series(["1,0", "2"]), ",").tolist() == ["1", "2"]
    assert whole_texts(pd.Series(["007", "7.0"])).tolist() == ["007", "7.0"]


def test_a_class_is_the_same_however_it_is_written(tmp_path):
    frame().assign(y=np.resize(["1", "2", "x"], ROWS)).to_csv(tmp_path / "t.csv", index=False)
    model = load(f"csv:{tmp_path / 't.csv'}", label="y").describe()
    frame().assign(y=np.resize([1.0, 2.0], ROWS)).to_csv(tmp_path / "new.csv", index=False)
    for classes in (None, ["1", "2", "x"]):  # the latter leave rows of others out
        found = load_for(model, f"csv:{tmp_path / 'new.csv'}", "all", target="class", label="y", classes=classes)
        np.testing.assert_array_equal(found.y, np.resize([0, 1], ROWS))


def test_truths_are_one_category_however_they_are_spelled(tmp_path):
    for name, words in (("t", ["false", "true", None]), ("new", ["FALSE", "True", "true"])):
        frame(f=np.resize(np.array(words, object), ROWS)).to_parquet(tmp_path / f"{name}.parquet")
    train = load(f"csv:{tmp_path / 't.parquet'}", label="y", fill="median")
    assert train.columns["f"] == ["false", "true", "(missing)"]
    rows = read_rows(str(tmp_path / "new.parquet"), train.columns, {}, train.reading)
    np.testing.assert_array_equal(rows[:3, 1:], np.eye(3)[[0, 1, 1]])


def test_categories_of_pandas_are_texts_as_others_are():
    values = pd.Series(["red ", " red", "blue", None], dtype="category")
    assert plain(values, "c").tolist()[:3] == ["red", "red", "blue"] and plain(values, "c").isna().tolist()[3]
    assert plain(pd.Series([1.0, 2.0, None], dtype="category"), "c").tolist()[:2] == ["1", "2"]
    assert plain(pd.Series([True, False], dtype="category"), "c").tolist() == ["True", "False"]


def test_a_long_number_of_a_column_with_gaps_keeps_its_digits(tmp_path):
    """As the id of a message, which a float cannot hold."""
    ids = pd.Series([114874871975676186, None, 114874871975676187] * (ROWS // 3), dtype="Int64")
    table, given = frame(id=ids), {"label": "y", "category": "id", "fill": "median"}
    wanted = from_frame(table, **given)["train"]
    assert wanted.columns["id"] == ["114874871975676186", "114874871975676187", "(missing)"]
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    plain_table = pa.Table.from_pandas(table).replace_schema_metadata(None)  # as what is not pandas writes it
    pq.write_table(plain_table, tmp_path / "other.parquet")
    for name in ("t.csv", "t.parquet", "other.parquet"):
        np.testing.assert_array_equal(load(f"csv:{tmp_path / name}", **given).x, wanted.x)
