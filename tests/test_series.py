"""Series: every format gives the same examples, what is wrong is named, and a run answers series of any length."""

import base64

import numpy as np
import pandas as pd
import pytest
from data_harness import PARTS, refused

import kerasdl
from benchmarks import sequences_data
from kerasdl import figures
from kerasdl.data import load, load_splits, sources
from kerasdl.data.sources import series
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.evaluation.predict import predict

LONG = {"id": "who", "time": "when", "value": "height", "label": "kind"}
HEADER = "# made\n@problemName waves\n@timeStamps false\n@equalLength false\n@classLabel true down up\n@data\n"


def waves(count=40, seed=0):
    """Series of 5 to 9 steps that rise or fall."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        label = ("down", "up")[number % 2]
        slope = np.arange(rng.integers(5, 10)) * (1 if label == "up" else -1)
        made.append((label, (slope + rng.normal(0, 0.1, len(slope))).astype("float32")))
    return made


def write(folder, made, name="waves", dtype="float32"):
    """Write the same series in each format."""
    longest = max(len(values) for _, values in made)
    x = np.full((len(made), longest), np.nan, dtype)
    rows = []
    for number, (label, values) in enumerate(made):
        x[number, :len(values)] = values
        rows += [(f"w{number}", step, value, label) for step, value in enumerate(values)]
    (folder / f"{name}.tsv").write_text("".join(
        "\t".join([label, *map(str, row)]) + "\n" for (label, _), row in zip(made, x, strict=True)))
    (folder / f"{name}.ts").write_text(HEADER + "".join(
        ",".join(map(str, values)) + f":{label}\n" for label, values in made))
    np.savez(folder / f"{name}.npz", X=x, y=np.array([label for label, _ in made]))
    table = pd.DataFrame(rows, columns=["who", "when", "height", "kind"])
    shuffled = pd.concat([table[table.when == 0], table[table.when > 0].sample(frac=1, random_state=0)])
    shuffled.to_csv(folder / f"{name}.csv", index=False)
    shuffled.to_parquet(folder / f"{name}.parquet")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("series")
    write(root, waves())
    return root


def args_of(name):
    return LONG if name.endswith(("csv", "parquet")) else {}


@pytest.mark.parametrize("ending", ["tsv", "ts", "npz", "csv", "parquet"])
def test_every_format_gives_the_same_series(files, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    found = load_splits(f"series:{files}/waves.{ending}", PARTS, **args_of(ending))
    assert [len(part) for part in found.values()] == [28, 4, 8]
    train, longest = found["train"], max(len(values) for _, values in waves())
    assert (train.kind, train.shape, train.classes) == ("sequence", (longest, 1), ("down", "up"))
    assert train.x.dtype == "float32"
    pairs = {(values[~np.isnan(values)].tobytes(), part.classes[label])
             for part in found.values() for values, label in zip(part.x[..., 0], part.y, strict=True)}
    assert pairs == {(values.tobytes(), label) for label, values in waves()}
    alone = load(f"series:{files}/waves.{ending}", target=None, **args_of(ending))
    assert alone.target is None and len(alone) == 28


def test_dimensions_of_a_ts_file_and_numbers_as_target(tmp_path):
    (tmp_path / "a.ts").write_text("@targetLabel true\n@data\n" + "".join(
        f"{number},1,2:{number},5,6:{number / 2}\n" for number in range(20)))
    found = load(f"series:{tmp_path}/a.ts", target="number")
    assert found.shape == (3, 2) and found.y.shape == (14, 1)
    np.testing.assert_array_equal(found.x[:, 0, 0] / 2, found.y[:, 0])
    np.testing.assert_array_equal(found.x[0, 1:], [[1, 5], [2, 6]])


def test_classes_of_numbers_are_in_their_order(tmp_path):
    (tmp_path / "a.tsv").write_text("".join(f"{number % 11}.0\t1\t{number}\n" for number in range(110)))
    assert load(f"series:{tmp_path}/a.tsv").classes == tuple(map(str, range(11)))


def test_the_test_split_lies_next_to_train_in_the_file_or_is_named(tmp_path):
    write(tmp_path, waves(), "a_TRAIN")
    write(tmp_path, waves(12, seed=1), "a_TEST")
    write(tmp_path, waves(14, seed=2), "other")
    found = load_splits(f"series:{tmp_path}/a_TRAIN.tsv", PARTS)
    assert [len(part) for part in found.values()] == [36, 4, 12]
    assert "a_TEST.tsv, because it lies next to" in found["test"].remarks[0]
    named = load(f"series:{tmp_path}/a_TRAIN.ts", "test", test=f"{tmp_path}/other.ts")
    assert len(named) == 14 and not named.remarks
    x, labels = np.random.default_rng(0).normal(size=(30, 4, 2)), np.arange(30) % 3
    np.savez(tmp_path / "b.npz", x=x[:20], y=labels[:20], x_test=x[20:], y_test=labels[20:])
    np.testing.assert_array_equal(load(f"series:{tmp_path}/b.npz", "test").x, x[20:].astype("float32"))
    refused(lambda: load(f"series:{tmp_path}/b.npz", test=f"{tmp_path}/b.npz"), "has x_test", "one of the two")
    np.savez(tmp_path / "b.npz", x=x[:20], y=labels[:20] % 2, x_test=x[20:], y_test=labels[20:])
    refused(lambda: load(f"series:{tmp_path}/b.npz"), "class '2'", "no training series")


def test_a_folder_with_one_pair_is_a_data_set(tmp_path):
    write(tmp_path, waves(), "a_TRAIN")
    refused(lambda: load(f"series:{tmp_path}"), "NAME_TRAIN.ts and NAME_TEST.ts", "has none")
    for part in ("TRAIN", "TEST"):
        write(tmp_path, waves(12), "b_" + part)
    refused(lambda: load(f"series:{tmp_path}"), "5 such pairs" if (tmp_path / "b_TEST.parquet").exists() else "4 such")
    for file in (*tmp_path.glob("b_*.csv"), *tmp_path.glob("b_*.npz"), *tmp_path.glob("b_*.parquet"),
                 *tmp_path.glob("b_*.tsv")):
        file.unlink()
    assert len(load(f"series:{tmp_path}", "test")) == 12
    assert sources.look(f"series:{tmp_path}", target="class") is None


def test_two_splits_are_one(files):
    found = load_splits(f"series:{files}/waves.tsv", {"train": "train+val", "val": "val"})
    alone = load_splits(f"series:{files}/waves.tsv", PARTS)
    both = found["train"]
    assert both.name == "train+val" and len(both) == 32 and both.classes == alone["train"].classes
    np.testing.assert_array_equal(both.x[28:], alone["val"].x)
    np.testing.assert_array_equal(both.y[:28], alone["train"].y)
    assert both.fingerprint() != alone["train"].fingerprint()
    refused(lambda: load(f"series:{files}/waves.tsv", "train+vla"), "train, val, test", "'train+vla'")


@pytest.mark.parametrize("words", [["TRUE", "FALSE", "MIXED"], ["1.0", "2.0", "beta"]])
@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_labels_are_the_same_words_in_every_file(tmp_path, words, ending):
    """Whether pandas takes TRUE or 1.0 for a text depends on the other rows."""
    for name, some in (("a", words), ("b", words[:2])):
        write(tmp_path, [(some[number % len(some)], values) for number, (_, values) in enumerate(waves(60))], name)
    args = args_of(ending)
    found = load_splits(f"series:{tmp_path}/a.{ending}", PARTS, test=f"{tmp_path}/b.{ending}", **args)
    other = sources.load_for(found["train"].describe(), f"series:{tmp_path}/b.{ending}", "all", target="class", **args)
    assert found["train"].classes == tuple(sorted(words))
    for split in (found["test"], other):
        assert [split.classes[label] for label in split.y] == words[:2] * 30


def test_dates_of_steps_may_be_written_as_elsewhere(tmp_path):
    days = [f"{day:02}.{month:02}.2024" for month in (1, 2) for day in (5, 20)]
    (tmp_path / "a.csv").write_text("who,when,height,kind\n" + "".join(
        f"w{number},{days[step]},{step},{number % 2}\n" for number in range(20) for step in (3, 1, 0, 2)))
    refused(lambda: load(f"series:{tmp_path}/a.csv", **LONG), "data_args.date_format=%d.%m.%Y")
    train = load(f"series:{tmp_path}/a.csv", date_format="%d.%m.%Y", **LONG)
    chunk, = series.read_files([tmp_path / "a.csv"], train.describe())
    for x in (train.x, chunk.x):
        assert (x[..., 0] == np.arange(4)).all()


def test_series_of_a_group_stay_in_one_split(files, tmp_path):
    table = pd.read_csv(files / "waves.csv")
    table["patient"] = table.who.str[1:].astype(int) // 4
    table.to_csv(tmp_path / "a.csv", index=False)
    found = load_splits(f"series:{tmp_path}/a.csv", PARTS, group="patient", **LONG)
    of_part = {name: {values[~np.isnan(values)].tobytes() for values in part.x[..., 0]} for name, part in found.items()}
    parts = [[name for name, there in of_part.items() if values.tobytes() in there] for _, values in waves()]
    assert all(parts[number] == parts[number // 4 * 4] for number in range(40)) and len(set(map(tuple, parts))) == 3
    table.loc[table.index[table.who == "w0"][0], "patient"] = 5
    table.to_csv(tmp_path / "a.csv", index=False)
    refused(lambda: load(f"series:{tmp_path}/a.csv", group="patient", **LONG), "series 'w0'", "several groups")
    refused(lambda: load(f"series:{files}/waves.ts", group="patient"), "group=patient", "waves.ts")


def test_longer_series_are_cut_and_counted(files):
    found = load(f"series:{files}/waves.tsv", length=6)
    whole = load(f"series:{files}/waves.tsv")
    longer = int((~np.isnan(whole.x[:, 6:])).any(axis=(1, 2)).sum())
    assert found.shape == (6, 1) and f"{longer} of the 28 series of train have more than length=6" in found.remarks[0]
    np.testing.assert_array_equal(found.x, whole.x[:, :6])


@pytest.mark.parametrize("ending", ["tsv", "ts", "npz", "csv"])
def test_differences_that_float32_would_lose_are_refused(tmp_path, ending):
    made = [(label, values.astype("float64")) for label, values in waves()]
    write(tmp_path, [(label, 1.7e9 + values) for label, values in made], dtype="float64")
    refused(lambda: load_splits(f"series:{tmp_path}/waves.{ending}", PARTS, **args_of(ending)), "channel 0",
            "around 17000000", "Subtract a constant")


def test_missing_values_are_named_or_interpolated(tmp_path):
    lines = "".join(f"{number % 2},1,2,3:{'ab'[number % 2]}\n" for number in range(20))
    (tmp_path / "a.ts").write_text("@classLabel true a b\n@data\n" + lines + "5,?,7,?:a\n")
    refused(lambda: load(f"series:{tmp_path}/a.ts"), "a.ts:23 misses 2 of 4 values, first at step 1", "interpolate")
    parts = load_splits(f"series:{tmp_path}/a.ts", PARTS, fill="interpolate")
    filled = np.concatenate([part.x for part in parts.values()])
    assert [5, 6, 7, 7] in filled[..., 0].tolist()


@pytest.mark.parametrize("name, content, words", [
    ("a.tsv", "1,2,3\n", ["a.tsv:1 has no tab"]),
    ("a.tsv", "1\t2\tx\n", ["a.tsv:1 has 'x' at step 1"]),
    ("a.tsv", "1\t2\t3\n2\tNaN\tNaN\n" * 9, ["a.tsv:2 has no values"]),
    ("a.tsv", "1\t2\tinf\n2\t2\t3\n" * 9, ["a.tsv:1 has a value at step 1 that is infinite"]),
    ("a.tsv", "1\t2\t3\n" * 20, ["one class only, '1'"]),
    ("a.tsv", "1\t2\t3\n2\t1\t1\n", ["2 examples are too few"]),
    ("a.tsv", "\n", ["has no series"]),
    ("a.ts", "1,2:a\n", ["no line @data"]),
    ("a.ts", "@timeStamps true\n@data\n(0,1):a\n", ["time stamps"]),
    ("a.ts", "@classLabel false\n@data\n1,2\n", ["has no labels", "@classLabel true"]),
    ("a.ts", "@classLabel true a\n@data\n1,2:1:a\n", ["a.ts:3 has dimensions of 2, 1 steps"]),
    ("a.ts", "@classLabel true a\n@data\n1,2:a\n1,2:1,2:a\n", ["a.ts:4 has 2 values a step", "a.ts:3 has 1"]),
    ("a.npz", "no", ["does not load as arrays"]),
    ("a.wav", "no", [".tsv, .ts, .npz", "a.wav"]),
    ("a.csv", "who,when,height,kind\na,1,1,u\na,1,2,u\n", ["series 'a'", "two rows of the time 1"]),
    ("a.csv", "who,when,height,kind\na,1,1,u\na,2,2,v\n", ["series 'a'", "several labels"]),
    ("a.csv", "who,when,height,kind\na,1,1,u\na,2,tall,u\n", ["'height'", "'tall'"]),
    ("a.csv", "who,when,height,kind\na,1,1,u\n,2,2,u\n", ["'who'", "row 3"]),
    ("a.csv", "who,when,size,kind\na,1,1,u\n", ["no column 'height'"]),
    ("a.npz", (0, 5), ["has no series"]), ("a.npz", (0, 5, 2), ["has no series"]),
    ("a.npz", (4, 0), ["a.npz:0 has no values"]), ("a.npz", (4, 5, 0), ["a.npz:0 has no values"]),
])
def test_mistakes_are_named(tmp_path, name, content, words):
    if isinstance(content, tuple):
        np.savez(tmp_path / name, x=np.zeros(content), y=np.arange(content[0]) % 2)
    else:
        (tmp_path / name).write_text(content)
    refused(lambda: load(f"series:{tmp_path}/{name}", **args_of(name)), *words)


def test_mistakes_in_arguments(files):
    refused(lambda: load(f"series:{files}/waves.csv"), "data_args.id=COLUMN", "who, when")
    refused(lambda: load("series:nowhere.tsv"), "no file 'nowhere.tsv'")
    refused(lambda: load(f"series:{files}/waves.tsv", target="labels"), "class or a number")
    refused(lambda: load(f"series:{files}/waves.tsv", target="number"), "the label 'down'", "objective=classify")
    write(files, [(f"${number}", values) for number, (_, values) in enumerate(waves())], "prices")
    refused(lambda: load(f"series:{files}/prices.tsv"), "40 different numbers", "'$0'", "regress")
    refused(lambda: sources.look(f"series:{files}/waves.csv", target="class", **LONG | {"value": "hight"}), "'height'")


@pytest.fixture(scope="module")
def run(files):
    recipe = kerasdl.Recipe(model="conv1d", model_args={"size": "mu"}, data=f"series:{files}/waves.csv", data_args=LONG,
                            epochs=12, batch=8, lr=0.02)
    return kerasdl.train(recipe, workdir=files / "run", verbose=False)


def test_a_run_answers_other_series_in_every_format(run, files, tmp_path):
    assert run.result["test"]["accuracy"] == 1.0
    made = [("up", np.array([0, 1, 2], "float32")), ("down", np.array([0, -1, -2, -3], "float32"))]
    write(tmp_path, made)
    (tmp_path / "waves.csv").write_text((tmp_path / "waves.csv").read_text().replace("kind", "unread"))
    answers = [predict(run, [tmp_path / f"waves.{ending}"], top=1) for ending in ("tsv", "npz", "csv")]
    for found in answers:
        assert [answer for _, answer in found] == [answer for _, answer in answers[0]]
    assert [answer[0][0] for _, answer in answers[0]] == ["up", "down"]
    assert [name for name, _ in answers[0]] == [f"{tmp_path}/waves.tsv:{row}" for row in (1, 2)]
    assert answers[2][0][0] == f"{tmp_path}/waves.csv: series w0"
    (tmp_path / "long.tsv").write_text("\t".join(["up", *map(str, range(12))]) + "\n")
    refused(lambda: predict(run, [tmp_path / "long.tsv"]), "long.tsv:1 has 12 steps", "9 at most", "data_args.length")
    for asked, cut in ((9, True), (11, False)):  # of 11 all of the training were shorter, and none was cut
        facts = run.data | {"reading": run.data["reading"] | {"length": asked}}
        chunk, = series.read_files([tmp_path / "long.tsv"], facts)
        assert len(chunk.x) == cut and [fault.place for fault in chunk.faults] == [0] * (not cut)
    (tmp_path / "wide.ts").write_text("@data\n1,2:1,2\n")
    refused(lambda: predict(run, [tmp_path / "wide.ts"]), "wide.ts:2 has 2 values a step, and the model takes 1")
    refused(lambda: predict(run, [tmp_path / "photo.png"]), "photo.png")


def test_a_report_draws_series():
    drawn = figures.sketch(np.array([[1, np.nan], [2, 5], [np.nan, np.nan]], "float32"))
    text = base64.b64decode(drawn.partition(",")[2]).decode()
    assert text.count("<polyline") == 2 and "nan" not in text


def test_a_run_is_evaluated_on_other_series(run, tmp_path):
    write(tmp_path, waves(20, seed=3))
    assert evaluate(run, split="all", data=f"series:{tmp_path}/waves.ts")["accuracy"] == 1.0
    assert evaluate(run, split="test", data=f"series:{tmp_path}/waves.csv")["accuracy"] == 1.0
    some = run.data | {"classes": ["up", "none"]}
    for ending in ("ts", "csv"):
        args = {"target": "class", "classes": "up,none", **(LONG if ending == "csv" else {})}
        found = sources.load_for(some, f"series:{tmp_path}/waves.{ending}", "all", **args)
        assert len(found) == 10 and not found.y.any()
    refused(lambda: sources.load_for(some, f"series:{tmp_path}/waves.ts", "all", target="class"), "'down'")
    write(tmp_path, [("sideways", values) for _, values in waves(20)])
    refused(lambda: evaluate(run, split="all", data=f"series:{tmp_path}/waves.tsv"), "'sideways'")


def test_the_adding_problem():
    x, y = sequences_data.adding(2000, 0)
    numbers, marks = x[..., 0], x[..., 1]
    half = sequences_data.STEPS // 2
    assert (marks[:, :half].sum(1) == 1).all() and (marks[:, half:].sum(1) == 1).all() and numbers.max() < 1
    np.testing.assert_allclose(y, (numbers * marks).sum(1), rtol=1e-6)
    assert abs(y.mean() - 1) < 0.03 and abs(((y - 1) ** 2).mean() - 1 / 6) < 0.01
