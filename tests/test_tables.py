"""Tables, arrays and runs as people have them: nothing that would be lost or given away is learned in silence."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_harness import PARTS, read_rows, refused
from sklearn import datasets

import kerasdl
from kerasdl.data import from_arrays, leaks, load, load_splits, table_text
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.evaluation.predict import predict

RNG = np.random.default_rng(0)


@pytest.fixture
def csv(tmp_path):
    """Writes columns, or text, to a CSV and gives its name as data."""
    def write(frame, name="rows.csv"):
        path = tmp_path / name
        path.write_text(frame) if isinstance(frame, str) else pd.DataFrame(frame).to_csv(path, index=False)
        return f"csv:{path}"

    return write


def noise(n=100):
    return RNG.normal(size=n).round(3)


# Columns that count the rows


@pytest.mark.parametrize("ids, how", [
    (np.arange(100), "rises"), (np.arange(1001, 1101), "rises"), (np.arange(100)[::-1], "falls"),
    (np.cumsum(RNG.integers(1, 5, 100)), "rises"), (RNG.permutation(100), "once"), (RNG.permutation(100) + 7.0, "once"),
    (np.arange(0, -300, -3), "falls")])
def test_a_column_that_counts_the_rows_is_refused_and_may_be_kept(csv, ids, how):
    data = csv({"order": ids, "x": noise(), "y": np.arange(100) // 50})
    refused(lambda: load(data, label="y"), "'order'", how, "drop='order'", "keep='order'")
    assert load(data, label="y", keep="order").shape == 2 and load(data, label="y", drop="order").shape == 1


@pytest.mark.parametrize("values", [RNG.integers(0, 1000, 100), np.repeat(np.arange(50), 2), noise(),
                                    np.arange(100) / 2, RNG.permutation(200)[:100]])
def test_other_columns_count_nothing(values):
    assert leaks.counting(pd.Series(values)) is None


# Codes, units, dates, headers, categories


@pytest.mark.parametrize("labels", [["01", "02", "1"], ["1e3", "1000", "2000"], ["007", "08", "7"]])
def test_codes_stay_codes(csv, labels):
    data = csv({"x": noise(90), "y": np.resize(labels, 90)})
    assert load(data, label="y").classes == tuple(sorted(labels))
    zipped = csv({"zip": np.resize(labels, 90), "y": np.resize(["a", "b"], 90)}, "zip.csv")
    train = load(zipped, label="y")
    assert train.columns == {"zip": sorted(labels)}
    again = read_rows(zipped.removeprefix("csv:"), train.columns, {})  # the same words where a file is predicted
    np.testing.assert_array_equal(again.argmax(1), [sorted(labels).index(label) for label in np.resize(labels, 90)])


def test_codes_stay_codes_whatever_ends_a_line(tmp_path, monkeypatch):
    """Excel's "CSV (Macintosh)" ends lines with a carriage return alone."""
    lines = ["zip,x,y", *(f"{'007' if i > 70 else '7'},{i % 9}.5,{'pq'[i % 2]}" for i in range(90))]
    path = tmp_path / "mac.csv"
    path.write_bytes("\r".join(lines).encode())
    assert load(f"csv:{path}", label="y").columns["zip"] == ["007", "7"]
    for block in range(40, 60):  # wherever a block begins
        monkeypatch.setattr(table_text, "BLOCK", block)
        assert table_text.has_codes(str(path), ",")
    path.write_bytes("\r".join(["zip,x,y", "", *lines[1:4], "", "07,1.5,p"]).encode())
    assert [line for _, (_, line) in zip(range(4), table_text.places(str(path)), strict=False)] == [3, 4, 5, 7]


def test_numbers_are_no_codes(csv):
    values = ["1", "10", "2.5", "0.5", "1e-3", "2.5e3", "0", "-3", "1_000"][:8]
    train = load(csv({"x": np.resize(values, 80), "y": np.resize(["a", "b"], 80)}), label="y")
    assert train.columns == {"x": None}


@pytest.mark.parametrize("texts", [["72 kg", "80 kg", "65.5 kg", "90 kg"], ["5km", "7km", "12km", "3km"],
                                   ["20 °C", "25 °C", "31 °C", "18 °C"]])
def test_numbers_with_a_unit_are_no_words(csv, texts):
    data = csv({"weight": np.resize(texts, 80), "y": np.resize(["a", "b"], 80)})
    refused(lambda: load(data, label="y"), "'weight'", "unit", texts[0], "category='weight'")
    assert load(data, label="y", category="weight").columns == {"weight": sorted(texts)}


@pytest.mark.parametrize("texts", [["₹1,099", "₹2,500"], ["€ 5", "€ 7"], ["£1", "£2"], ["5 %", "7 %"]])
def test_currencies_are_no_words(csv, texts):
    refused(lambda: load(csv({"price": np.resize(texts, 80), "y": np.resize(["a", "b"], 80)}), label="y"), "'price'")


@pytest.mark.parametrize("form", ["${}", "{} kg", "1,{}", "{} %", "€{}.5"])
def test_labels_that_are_numbers_in_text_are_no_classes(csv, form):
    texts = [form.format(number) for number in range(101, 113)]
    data = csv({"x": noise(120), "y": np.resize(texts, 120)})
    refused(lambda: load(data, label="y"), "'y'", "12 different numbers", texts[0], "regress", "category='y'")
    assert load(data, label="y", category="y").classes == tuple(sorted(texts))
    few = csv({"x": noise(120), "y": np.resize(texts[:6], 120)})
    assert load(few, label="y").classes == tuple(sorted(texts[:6]))


@pytest.mark.parametrize("form", ["grade {}", "v{}", "{}-6 years", "1.{}.0", "B{}", "0{}"])
def test_labels_that_hold_digits_are_classes(csv, form):
    texts = sorted(form.format(number) for number in range(1, 13))
    assert load(csv({"x": noise(240), "y": np.resize(texts, 240)}), label="y").classes == tuple(texts)


def test_words_that_hold_digits_are_words(csv):
    texts = ["floor 1", "B2", "4x4", "size 36", "2nd"]
    train = load(csv({"t": np.resize(texts, 80), "y": np.resize(["a", "b"], 80)}), label="y")
    assert train.columns["t"] == sorted(texts)


def test_dates_are_split_when_asked_and_never_words(csv):
    days = pd.date_range("2024-01-31 08:30", periods=100, freq="25h")
    frame = {"day": days.strftime("%Y-%m-%d %H:%M"), "x": noise(), "y": np.resize(["a", "b"], 100)}
    data = csv(frame)
    refused(lambda: load(data, label="y"), "'day'", "dates", "dates='day'")
    every = load_splits(data, PARTS, label="y", dates="day")
    train = every["train"]
    parts = ("year", "month", "day", "weekday", "hour", "minute")
    assert list(train.columns) == ["x", *(f"day {part}" for part in parts)]
    rows = read_rows(data.removeprefix("csv:"), train.columns, {}, train.reading)
    np.testing.assert_array_equal(rows[:, 1:], np.stack([days.year, days.month, days.day, days.weekday, days.hour,
                                                         days.minute], 1))
    refused(lambda: load(csv({**frame, "day": "31.01.2024"}), label="y", dates="day"), "'day'", "2024-01-20")


@pytest.mark.parametrize("text", ["5.1,3.5,0\n4.9,3.0,1\n", "1,5,7\n2,6,8\n", "0.5,1.5,1\n0.1,0.2,0\n"])
def test_a_first_line_of_numbers_is_asked_about(csv, text):
    data = csv(text + "".join(f"{i % 7}.5,{i % 5}.25,{i % 2}\n" for i in range(30)))
    refused(lambda: load(data, label="2"), "looks like a row", "header=true", "header=false")
    every = load_splits(data, PARTS, label="2", header=False)
    train = every["train"]
    assert sum(map(len, every.values())) == 32 and list(train.columns) == ["0", "1"]
    rows = read_rows(data.removeprefix("csv:"), train.columns, {}, train.reading)  # predicted without being asked again
    assert rows.shape == (32, 2)


def test_numbers_that_are_categories_are_the_same_in_every_file(csv):
    data = csv({"code": np.resize([1, 2, 10], 90), "y": np.resize(["a", "b"], 90)})
    train = load(data, label="y", category="code")
    assert train.columns == {"code": ["1", "10", "2"]}
    new = csv("code\n2\n\n10\n", "new.csv").removeprefix("csv:")
    np.testing.assert_array_equal(read_rows(new, train.columns, {}, train.reading), [[0, 0, 1], [0, 1, 0]])


def test_a_column_of_very_many_words_is_refused_before_it_takes_memory(csv):
    data = csv({"customer": [f"c{i * 7919 % 1200}" for i in range(6000)], "y": np.resize(["a", "b"], 6000)})
    refused(lambda: load(data, label="y"), "'customer'", "1200 different", "drop='customer'")


# Precision


@pytest.mark.parametrize("start, step", [(1.7e9, 1), (1e15, 64), (-5e8, 1), (4.5e7, 0.25)])
def test_differences_that_float32_would_lose_are_kept(csv, start, step):
    values = start + step * RNG.integers(0, 60, 200)
    data = csv({"ts": values, "y": np.resize(["a", "b"], 200)})
    train = load(data, label="y")
    every = np.concatenate([part.x for part in load_splits(data, PARTS, label="y").values()])
    assert len(np.unique(every)) == len(np.unique(values)) > 50
    rows = read_rows(data.removeprefix("csv:"), train.columns, {}, train.reading)
    np.testing.assert_allclose(rows[:, 0].astype("float64") + train.reading["offsets"]["ts"], values, rtol=1e-15)


def test_a_column_that_float32_holds_is_left_as_it_is(csv):
    train = load(csv({"x": noise() + 5, "y": np.resize(["a", "b"], 100)}), label="y")
    assert train.reading == {}


def test_a_target_whose_differences_float32_would_lose_is_refused(csv):
    data = csv({"x": noise(), "y": 1.7e9 + RNG.integers(0, 60, 100)})
    refused(lambda: load(data, label="y", target="number"), "'y'", "float32", "Subtract")


# What gives the answer away


def test_a_column_that_tells_the_class_is_remarked_logged_and_reported(csv, here, capsys):
    y = RNG.permutation(np.resize([0, 1], 300))
    data = csv({"x": noise(300), "paid": y * 2.0 + RNG.random(300), "y": np.where(y, "a", "b")})
    run = kerasdl.train("linear_csv", f"data={data}", "data_args.label=y", epochs=1, batch=32, workdir="run")
    (remark,) = run.data["remarks"]
    assert "'paid' alone tells the class" in remark and remark in capsys.readouterr().err
    assert "&#39;paid&#39; alone tells the class" in kerasdl.report(run).read_text()


def test_copies_between_splits_are_remarked():
    x, y = RNG.integers(0, 256, (200, 8, 8, 1), "uint8"), np.arange(200) % 2
    assert leaks.remarks(from_arrays(x, y)) == []
    (one, other) = leaks.remarks(from_arrays(np.repeat(x[:20], 10, 0), np.repeat(y[:20], 10)))
    assert "of val are in train" in one and "of test are in train" in other


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
def test_no_false_alarm_on_the_tables_of_scikit_learn(name, csv):
    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame.sample(frac=1, random_state=0)
    data = csv(frame.assign(target="c" + frame.target.astype(str)))
    assert leaks.remarks(load_splits(data, PARTS, label="target")) == []


def test_no_false_alarm_on_numbers_and_digits(csv):
    frame = datasets.load_diabetes(as_frame=True, scaled=False).frame
    assert leaks.remarks(load_splits(csv(frame), PARTS, label="target", target="number")) == []
    assert leaks.remarks(load_splits("digits", PARTS)) == []


# Arrays


@pytest.mark.parametrize("shape", [(60, 3, 32, 48), (60, 1, 28, 20), (60, 3, 8, 8), (60, 1, 5, 7)])
def test_channels_that_come_first_are_refused_whatever_the_sides(shape):
    refused(lambda: from_arrays(RNG.integers(0, 256, shape, "uint8"), np.arange(60) % 2), "channels seem to come first")


def test_each_part_has_a_scale_of_its_own():
    x, y = RNG.integers(0, 256, (60, 8, 8, 1)).astype("float32"), np.arange(60) % 2
    refused(lambda: from_arrays(x, y, test=(x / 255, y)), "test", "0..1", "255")
    refused(lambda: from_arrays(x / 255, y, test=(x, y)), "0..1", "255")
    refused(lambda: from_arrays(x / 100, y), "leaves", "levels")
    masked = np.ma.masked_array(x, x > 250)
    refused(lambda: from_arrays(masked, y), "masked", "filled")


def test_several_classes_an_example_are_not_made_one():
    x = RNG.integers(0, 256, (60, 8, 8), "uint8")
    refused(lambda: from_arrays(x, np.eye(3, dtype=int)[np.arange(60) % 3] | [1, 0, 0]), "several ones")
    refused(lambda: from_arrays(x, np.eye(3)[np.arange(60) % 3]), "argmax(1)")


# Evaluation and prediction


def test_another_file_is_measured_whole_and_says_how_many(csv, here, command):
    data = csv({"x": noise(), "z": noise(), "y": np.resize(["a", "b"], 100)})
    assert command("train", "linear_csv", f"data={data}", "data_args.label=y", "epochs=1", "batch=16", "--workdir",
                   "run", "--no-report").code == 0
    done = command("eval", "run", "--data", data)
    assert done.out.startswith("all ") and "of 100 examples" in done.out
    assert "of 20 examples" in command("eval", "run", "--data", data, "--split", "test").out
    assert "of 20 examples" in command("eval", "run").out


def test_a_run_finds_its_data_from_another_folder(csv, here, monkeypatch):
    csv({"x": noise(), "y": np.resize(["a", "b"], 100)})
    run = kerasdl.train("linear_csv", "data=csv:rows.csv", "data_args.label=y", epochs=1, batch=16, workdir="run",
                        verbose=False)
    before = evaluate(run)
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert evaluate(here / "run") == before
    assert "csv:rows.csv" in (here / "run" / "recipe.json").read_text()  # as it was typed


def test_arrays_are_predicted_and_others_refused(hard_run):
    digits = hard_run
    test = load("digits", "test")
    found = predict(digits, test.x[:5], top=1)
    assert [name for name, _ in found] == list("01234")
    logits = digits.model().predict(test.x[:5], verbose=0)
    assert [answers[0][0] for _, answers in found] == [str(label) for label in logits.argmax(1)]
    refused(lambda: predict(digits, np.zeros((2, 8, 9, 1))), "(N, 8, 8, 1)", "(2, 8, 9, 1)")
    for one in ("photo.png", Path("photo.png")):
        refused(lambda one=one: predict(digits, one), "There is no file 'photo.png'")
    for wrong in (list(test.x[:2]), pd.DataFrame({"size": [1.0]}), [[1.0, 2.0]]):
        refused(lambda wrong=wrong: predict(digits, wrong), "np.stack", "to_csv")


def test_predictions_are_written_with_all_digits_and_all_classes(csv, here, command, hard_run, refused):
    import json

    from PIL import Image

    for index in range(5):
        (here / "some").mkdir(exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (8, 8), "uint8")).save(here / "some" / f"{index}.png")
    assert command("predict", hard_run.path, "some", "--out", "p.csv").out == "file    p.csv, 5 examples\n"
    table = pd.read_csv("p.csv")
    assert list(table.columns) == ["example", "prediction", *map(str, range(10))] and len(table) == 5
    images = np.stack([np.asarray(Image.open(here / "some" / f"{index}.png"))[..., None] for index in range(5)])
    logits = hard_run.model().predict(images, verbose=0)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(table.iloc[:, 2:], shares / shares.sum(1, keepdims=True), rtol=1e-6)
    assert list(table["prediction"]) == list(logits.argmax(1))
    command("predict", hard_run.path, "some", "--out", "p.jsonl")
    lines = [json.loads(line) for line in (here / "p.jsonl").read_text().splitlines()]
    assert [line["example"] for line in lines] == list(table["example"]) and lines[0]["3"] == table["3"][0]
    refused("predict", hard_run.path, "some", "--out", "p.txt", words=[".csv", "p.txt"])


def test_parts_of_a_date_overwrite_no_column(csv):
    frame = {"day": ["2024-01-20", "2023-02-03"] * 10, "day year": ["a", "b"] * 10, "y": ["no", "yes"] * 10}
    refused(lambda: load(csv(frame), label="y", dates="day"), "'day year'", "already")


def test_a_word_for_what_is_missing_is_what_is_missing(csv):
    frame = {"word": ["x", "(missing)", None, "z"] * 10, "y": ["no", "yes"] * 20}
    assert load(csv(frame), label="y", fill="median").columns["word"] == ["x", "z", "(missing)"]
