"""A table is the same whatever holds it: text with other signs, a DataFrame or Parquet."""

import numpy as np
import pandas as pd
import pytest

from kerasdl.data import from_arrays, from_frame, load_splits
from kerasdl.data.table_file import plain
from kerasdl.errors import DataError

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
