"""The report and predict say what the model says, and what result.json says, and nothing else."""

import base64
import html
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.metrics import classification_report

from kerasdl import Recipe, UserError, figures
from kerasdl.data import Split, from_arrays, load
from kerasdl.evaluation import padded
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.evaluation.predict import predict
from kerasdl.evaluation.splits import load_split
from kerasdl.objectives.calibration import calibration, calibration_error
from kerasdl.objectives.classify import mistakes, summary
from kerasdl.objectives.sections import template
from kerasdl.objectives.whole_split import of_classes
from kerasdl.reports.page import report
from kerasdl.run import Run
from kerasdl.train.fit import train

EVIL = "<script>alert('&')</script>"


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Run:
    """Trained so briefly that there are more mistakes than a report shows."""
    recipe = Recipe(name="tiny", model="linear", data="digits", batch=64, epochs=2, lr=3e-3, label_smoothing=0.1)
    return train(recipe, workdir=tmp_path_factory.mktemp("runs") / "digits", verbose=False)


@pytest.fixture(scope="module")
def page(digits) -> str:
    return report(digits).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Run:
    """A classifier of CSV rows whose class, column and category names are hostile."""
    folder = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({EVIL: rng.normal(size=120).round(3), "side": rng.choice(["<left>", "right"], 120)})
    frame["kind"] = np.where(rng.random(120) < 0.5, EVIL, "tame")
    frame.to_csv(folder / "rows.csv", index=False)
    recipe = Recipe(name=EVIL, model="linear", data=f"csv:{folder}/rows.csv", data_args={"label": "kind"},
                    batch=32, epochs=1)
    return train(recipe, workdir=folder / "run", verbose=False)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("numbers")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=200), "b": rng.normal(size=200)})
    frame["price"] = 100 + 3 * frame.a - frame.b + rng.normal(size=200)
    frame.to_csv(folder / "rows.csv", index=False)
    recipe = Recipe(name="price", model="linear", objective="regress", data=f"csv:{folder}/rows.csv",
                    data_args={"label": "price"}, batch=32, epochs=1)
    return train(recipe, workdir=folder / "run", verbose=False)


def softmax(logits):
    scores = np.exp(logits - logits.max(1, keepdims=True))
    return scores / scores.sum(1, keepdims=True)


def answers(run: Run, split: Split) -> np.ndarray:
    return softmax(run.model().predict(split.x, verbose=0).astype("float64"))


class Elements(HTMLParser):
    """Every tag of a page with its attributes; complains of a tag that is closed and was not open."""

    VOID = {"meta", "link", "img", "br"}

    def __init__(self, page: str):
        super().__init__()
        self.found, self.open = [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_nothing_but_itself(page):
    elements = Elements(page).found
    tags = {tag for tag, _ in elements}
    assert not tags & {"script", "iframe", "object", "base"}
    assert {"title", "header", "main", "h1", "svg", "img"} <= tags
    addresses = [attrs[key] for _, attrs in elements for key in ("src", "href", "xlink:href", "srcset") if key in attrs]
    assert addresses and all(address.startswith(("data:", "#")) for address in addresses)
    assert "://" not in page and "@import" not in page and page.startswith("<!doctype html>")
    assert all(attrs["alt"] for tag, attrs in elements if tag == "img")
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in elements


def test_references_inside_the_page_resolve(page):
    named = set(re.findall(r'\bid="([^"]+)"', page))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= named


def test_headline_numbers_are_result_json(digits, page):
    tiles = re.search(r'<dl class="tiles".*?</dl>', page, re.S).group()
    shown = {label: float(value) for value, label in
             re.findall(r'<data value="([^"]+)">[^<]*</data></dd><dt>([^<]+)</dt>', tiles)}
    result = digits.result
    assert shown == {
        "test accuracy": result["test"]["accuracy"], "test loss": result["test"]["loss"],
        "val accuracy": result["val"]["accuracy"], "val loss": result["val"]["loss"],
        "parameters": result["parameters"], "training time": result["train"]["seconds"],
        "examples/s": result["train"]["examples_per_second"], "best epoch": result["best_epoch"]}
    assert f">{result['test']['accuracy']:.2%}<" in tiles


def test_headline_numbers_are_read_and_not_measured_again(digits, tmp_path):
    run = Run(shutil.copytree(digits.path, tmp_path / "copy"))
    result = digits.result
    result["test"]["accuracy"] = 0.123456
    (run.path / "result.json").write_text(json.dumps(result))
    assert '<data value="0.123456">12.35%</data>' in report(run).read_text(encoding="utf-8")


def test_every_class_as_scikit_learn_counts(digits, page):
    split = load("digits", "test")
    expected = classification_report(split.y, answers(digits, split).argmax(1), output_dict=True, zero_division=0)
    rows = re.search(r'id="classes".*?<tbody>(.*?)</tbody>', page, re.S).group(1).split("</tr>")[:-1]
    assert len(rows) == 10
    for name, row in enumerate(rows):
        want = expected[str(name)]
        found = [float(value) for value in re.findall(r'value="([^"]+)"', row)]
        assert found == pytest.approx([want["precision"], want["recall"], want["f1-score"]])
        assert f"<td>{int(want['support'])}</td>" in row


def test_the_means_over_classes_are_the_scores(digits):
    """A class without examples has no recall, and one that was no answer either has no score at all."""
    classes, truth, guess = list("abcd"), np.array([0, 0, 0, 1, 1]), np.array([0, 0, 2, 1, 0])
    answers = np.eye(4)[guess] * 0.9 + 0.025
    split = Split("test", np.zeros((5, 8, 8, 1), "uint8"), truth, (8, 8, 1), 5, classes)
    found = summary(split, answers, truth)
    expected = classification_report(truth, guess, output_dict=True, zero_division=0)["macro avg"]
    assert found["means"] == pytest.approx([expected["precision"], (2 / 3 + 1 / 2) / 2, expected["f1-score"]])
    assert found["means"][1:] == pytest.approx([of_classes(score, truth, np.log(answers))
                                                for score in ("balanced_accuracy", "macro_f1")])
    page = template("classify.html.j2", data="some", size=5, classes=True, **found)
    rows = re.search(r'id="classes".*?<tbody>(.*?)</tbody>', page, re.S).group(1).split("</tr>")
    assert [row.count("&ndash;") for row in rows[:4]] == [0, 0, 1, 3] and "nan" not in page


def test_confusion_counts_every_example_once(digits, page):
    split = load("digits", "test")
    cells = re.search(r'id="confusion".*?<tbody>(.*?)</tbody>', page, re.S).group(1)
    matrix = np.array([int(count) for count in re.findall(r">(\d+)</td>", cells)]).reshape(10, 10)
    assert (matrix.sum(1) == np.bincount(split.y)).all()
    assert (matrix.sum(0) == np.bincount(answers(digits, split).argmax(1), minlength=10)).all()


def test_the_pictures_are_the_most_confident_mistakes(digits, page):
    split = load("digits", "test")
    probabilities = answers(digits, split)
    wrong = [i for i in range(len(split)) if probabilities[i].argmax() != split.y[i]]
    wrong.sort(key=lambda i: -probabilities[i].max())
    assert len(wrong) > 20
    figures = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="(.), predicted as (.)".*?([\d.]+)%', page)
    assert len(figures) == 20
    for i, (picture, true, said, confidence) in zip(wrong, figures, strict=False):
        assert (tf.io.decode_png(base64.b64decode(picture)).numpy() == split.x[i]).all()
        assert (int(true), int(said)) == (split.y[i], probabilities[i].argmax())
        assert float(confidence) == pytest.approx(100 * probabilities[i].max(), abs=0.051)


def test_calibration_error_by_hand():
    # Two bins: (0, .5] holds confidences .3 and .5, one right: |.5 - .4| = .1. (.5, 1] holds .6, .9, .9, two right:
    # |2/3 - .8| = 2/15. Weighted by 2 and 3 of 5: .04 + .08.
    confidence, right = np.array([0.3, 0.5, 0.6, 0.9, 0.9]), np.array([True, False, False, True, True])
    assert calibration(confidence, right, bins=2)["count"].tolist() == [2, 3]
    assert calibration_error(confidence, right, bins=2) == pytest.approx(0.12)
    assert calibration_error(np.ones(4), np.ones(4)) == 0
    assert calibration_error(np.ones(4), np.zeros(4)) == 1


def test_calibration_error_on_the_page(digits, page):
    split = load("digits", "test")
    probabilities = answers(digits, split)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == split.y
    expected = 0
    for lower in np.arange(15) / 15:
        inside = (confidence > lower) & (confidence <= lower + 1 / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert float(re.search(r'id="ece" value="([^"]+)"', page).group(1)) == pytest.approx(expected, abs=1e-4)


def test_mistakes_none_and_ties():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.9, 0.1], [0.6, 0.4]])
    assert mistakes(probabilities, np.array([0, 1, 0, 0])).tolist() == []
    assert mistakes(probabilities, np.array([1, 1, 1, 1])).tolist() == [0, 2, 3]
    assert mistakes(probabilities, np.array([1, 1, 1, 1]), count=1).tolist() == [0]


def test_names_from_data_are_harmless(table):
    page = report(table).read_text(encoding="utf-8")
    assert "script" not in {tag for tag, _ in Elements(page).found}
    assert EVIL not in page and html.escape(EVIL).replace("&#x27;", "&#39;") in page
    assert "&lt;left&gt;" in page  # the table of mistaken rows shows the file's own cells


def test_sets_that_do_not_fit_in_memory_give_the_same_page(digits, page, tmp_path):
    split, expected = load("digits", "test"), page.replace("test split of digits", "test split of arrays")
    streamed = replace(split, x=tf.data.Dataset.from_tensor_slices((split.x, split.y)), y=None, streamed=True)
    assert report(digits, data={"test": streamed}).read_text(encoding="utf-8") == expected
    names = np.array([str(tmp_path / f"{index}.png") for index in range(len(split))])
    for name, image in zip(names, split.x, strict=True):
        tf.io.write_file(name, tf.io.encode_png(image))
    files = replace(split, x=names, decode=lambda name: tf.ensure_shape(
        tf.io.decode_png(tf.io.read_file(name), channels=1), split.shape))
    assert report(digits, data={"test": files}).read_text(encoding="utf-8") == expected


def test_the_same_run_gives_the_same_page(digits, page):
    assert report(digits.path).read_text(encoding="utf-8") == page


def test_regress_page(numbers):
    page = report(numbers).read_text(encoding="utf-8")
    Elements(page)
    result, split = numbers.result, load(numbers.recipe.data, "test", target="number", label="price")
    assert f'<data value="{result["test"]["mae"]}">' in page and page.count("<svg") == 6
    errors = numbers.model().predict(split.x, verbose=0)[:, 0] - split.y[:, 0]
    rows = re.findall(r'<tr><th scope="row">([\d.]+)</th><td class="bad">([\d.]+)</td><td>([-\d.]+)</td>', page)
    assert [float(row[2]) for row in rows] == pytest.approx(sorted(errors, key=abs, reverse=True)[:20], rel=1e-3)


def test_many_classes_get_a_heat_map_and_their_confusions(tmp_path):
    rng = np.random.default_rng(0)
    splits = from_arrays(rng.integers(0, 255, (300, 4, 4, 1)), np.repeat(np.arange(25), 12))
    recipe = Recipe(model="linear", data="digits", batch=32, epochs=1)
    run = train(recipe, workdir=tmp_path / "run", data=splits, verbose=False)
    alone = report(run).read_text(encoding="utf-8")
    assert "trained on arrays" in alone and 'id="classes"' not in alone
    page = report(run, data=splits).read_text(encoding="utf-8")
    assert 'id="confusion"' not in page and 'id="confusions"' in page and "Confusion matrix of 25 classes" in page
    Elements(page)
    assert evaluate(run, data=splits) == pytest.approx(run.result["test"])
    with pytest.raises(UserError, match="trained on arrays.*from_arrays"):
        evaluate(run)


def test_a_run_that_did_not_finish_reports_what_there_is(digits, tmp_path):
    run = Run(shutil.copytree(digits.path, tmp_path / "é of mine"))
    (run.path / "model.keras").unlink()
    (run.path / "result.json").write_text(json.dumps({"recipe": "tiny", "seed": 0, "status": "diverged",
                                                      "message": "The loss became nan at step 7.",
                                                      "environment": {"backend": "jax"}}))
    page = report(run).read_text(encoding="utf-8")
    assert "The loss became nan at step 7." in page and page.count("<svg") == 3 and 'id="classes"' not in page
    assert f"<code>kerasdl train '{run.path}' --backend jax</code>" in html.unescape(page)
    (run.path / "result.json").unlink()
    assert "not finished" in report(run).read_text(encoding="utf-8")
    (run.path / "metrics.csv").write_text("")  # it stopped within its first epoch
    with pytest.raises(UserError, match="no epoch was finished"):
        report(run)


@pytest.mark.parametrize("split", ["test", "val"])
def test_evaluate_gives_result_json_again(digits, numbers, split):
    for run in (digits, numbers):
        assert evaluate(run, split) == pytest.approx(run.result[split], rel=1e-6)


def test_what_is_learned_in_parts_is_measured_in_parts(monkeypatch, tmp_path):
    """A batch that needs `accumulate` would not fit into memory here either."""
    sizes, original = [], padded.PaddedEvaluator.__init__

    def noting(self, objective, network, batch, *rest):
        sizes.append(batch)
        original(self, objective, network, batch, *rest)

    monkeypatch.setattr(padded.PaddedEvaluator, "__init__", noting)
    evaluate(train("linear_digits", batch=64, accumulate=4, epochs=1, verbose=False, workdir=tmp_path / "run"))
    assert set(sizes) == {16}


def test_evaluate_refuses_data_of_another_kind(digits, table, tmp_path):
    split = load("digits", "test")
    renamed = replace(split, classes=(*split.classes[:3], "three", *split.classes[4:]))
    with pytest.raises(UserError, match="class 3 is 'three', where the model learns '3'"):
        evaluate(digits, data={"test": renamed})
    fewer = replace(split, y=split.y % 9, classes=split.classes[:9])
    with pytest.raises(UserError, match="class 9 is 'nothing', where the model learns '9'"):
        evaluate(digits, data={"test": fewer})
    with pytest.raises(UserError, match="no split 'test'"):
        evaluate(digits, data={"tset": split})
    with pytest.raises(UserError, match="is tuple, and not a split"):
        evaluate(digits, data={"test": (split.x, split.y)})
    with pytest.raises(UserError, match="takes image data, such as folder:PATH. Received: csv:"):
        evaluate(digits, data="csv:rows.csv")
    with pytest.raises(UserError, match="digits has no split 'nope'"):
        evaluate(digits, "nope")
    with pytest.raises(UserError, match="has the splits train, val, test, all. Received: 'nope'"):
        evaluate(table, "nope", data=table.recipe.data)
    other = pd.read_csv(table.recipe.data[4:])
    other.drop(columns="side").to_csv(tmp_path / "narrow.csv", index=False)
    with pytest.raises(UserError, match="column 'side' is missing"):
        evaluate(table, data=f"csv:{tmp_path}/narrow.csv")
    other.assign(kind=["new", *other["kind"][1:]]).to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(UserError, match="class 'new', which the model does not know"):
        evaluate(table, data=f"csv:{tmp_path}/new.csv")


def test_evaluate_on_a_folder(digits, tmp_path):
    split = load("digits", "val")
    for index, (image, label) in enumerate(zip(split.x[:100], split.y[:100], strict=True)):
        file = tmp_path / "test" / str(label) / f"{index:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(tf.io.encode_png(image).numpy())
    shutil.copytree(tmp_path / "test", tmp_path / "train")
    right = answers(digits, split).argmax(1)[:100] == split.y[:100]
    assert evaluate(digits, data=f"folder:{tmp_path}")["accuracy"] == pytest.approx(right.mean())
    assert evaluate(digits, "all", data=f"folder:{tmp_path}")["accuracy"] == pytest.approx(right.mean())
    assert len(load_split(digits, "all", f"folder:{tmp_path}")) == 200


def test_all_of_a_folder_need_be_neither_many_nor_of_every_class(digits, tmp_path):
    split = load("digits", "val")
    seven = split.x[split.y == 7][:3]
    (tmp_path / "few" / "7").mkdir(parents=True)
    for index, image in enumerate(seven):
        (tmp_path / "few" / "7" / f"{index}.png").write_bytes(tf.io.encode_png(image.repeat(3, 2)).numpy())
    found = load_split(digits, "all", f"folder:{tmp_path}/few")
    np.testing.assert_array_equal(found.x, seven)
    assert found.y.tolist() == [7, 7, 7]
    right = answers(digits, found).argmax(1) == 7
    assert evaluate(digits, "all", data=f"folder:{tmp_path}/few")["accuracy"] == pytest.approx(right.mean())
    (tmp_path / "few" / "7").rename(tmp_path / "few" / "seven")
    with pytest.raises(UserError, match="does not know 'seven'"):
        evaluate(digits, "all", data=f"folder:{tmp_path}/few")
    with pytest.raises(UserError, match="no folder"):
        evaluate(digits, "all", data=f"folder:{tmp_path}/none")


def test_a_folder_that_changed_is_not_taken_for_the_run_s_own(tmp_path):
    """Parts are carved by place, so that a picture less moves others from train to test."""
    split = load("digits", "train")
    for index in range(200):
        file = tmp_path / "pictures" / str(split.y[index]) / f"{index:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(tf.io.encode_png(split.x[index]).numpy())
    run = train("linear_digits", data=f"folder:{tmp_path}/pictures", batch=16, epochs=1, verbose=False,
                workdir=tmp_path / "run")
    assert evaluate(run)["accuracy"] == pytest.approx(run.result["test"]["accuracy"])
    next((tmp_path / "pictures").rglob("*.png")).unlink()
    with pytest.raises(UserError, match=r"something was added, removed or changed.*--data folder:\S+$"):
        evaluate(run)
    page = report(run).read_text()
    assert "something was added, removed or changed" in page and page.count("<svg") == 3, "the rest needs no data"
    assert 0 < evaluate(run, data=run.recipe.data)["accuracy"] < 1


def test_predict_images(digits, tmp_path):
    split = load("digits", "test")
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for file, image in zip(files, split.x, strict=False):
        file.write_bytes(tf.io.encode_png(image).numpy())
    expected = answers(digits, split)
    for i, (name, said) in enumerate(predict(digits, files, top=10)):
        assert name == str(files[i])
        assert sum(share for _, share in said) == pytest.approx(1)
        assert dict(said) == pytest.approx({str(name): expected[i, name] for name in range(10)}, abs=1e-5)
        assert [share for _, share in said] == sorted((share for _, share in said), reverse=True)
    assert [len(said) for _, said in predict(digits, files)] == [3, 3, 3]


def test_predict_rows(table, numbers):
    file = table.recipe.data[4:]
    said = predict(table, [file], top=5)
    assert [name for name, _ in said] == [f"{file}:{line}" for line in range(2, 122)]
    assert {name for name, _ in said[0][1]} == {EVIL, "tame"}
    assert all(sum(share for _, share in row) == pytest.approx(1) for _, row in said)
    file = numbers.recipe.data[4:]
    x = pd.read_csv(file)[["a", "b"]].to_numpy("float32")
    assert np.allclose([row for _, [(_, row)] in predict(numbers, [file])], numbers.model().predict(x, verbose=0)[:, 0])


@pytest.mark.parametrize(("kind", "name", "message"), [
    ("digits", None, "No files to predict. Give image files."),
    ("table", None, "No files to predict. Give CSV files."),
    ("digits", "missing.png", "There is no file"),
    ("digits", "rows.csv", "takes images, and .*rows.csv is a CSV file"),
    ("table", "digit.png", "takes CSV rows, and .*digit.png is an image"),
    ("digits", "digit.png", "is 9x9; the model takes 8x8"),
])
def test_predict_names_the_mistake_in_one_line(request, tmp_path, kind, name, message):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    (tmp_path / "digit.png").write_bytes(tf.io.encode_png(np.zeros((9, 9, 1), "uint8")).numpy())
    with pytest.raises(UserError, match=message) as raised:
        predict(request.getfixturevalue(kind), [tmp_path / name] if name else [])
    assert "\n" not in str(raised.value)
    if name == "digit.png" and kind == "digits":
        assert len(predict(request.getfixturevalue(kind), [tmp_path / name], resize=True)) == 1


def test_names_with_dollars_are_drawn_as_they_are():
    """Matplotlib would read what stands between two of them as TeX, or fail."""
    drawn = figures.intervals(["$0_$50", "$5-$10"], [0.2, 0.5], [(0.1, 0.3), (0.4, 0.6)], 0.5)
    assert "$0_$50" in drawn and "$5-$10" in drawn


def test_a_full_report_is_not_written_over_where_the_data_is_gone(command, hard_run, digit_images, here):
    run = Path(shutil.copytree(hard_run.path, here / "run", ignore=shutil.ignore_patterns("tensorboard")))
    recipe = json.loads((run / "recipe.json").read_text())
    keras.utils.save_img(here / "0.png", digit_images[0], scale=False)
    command("report", run)
    (run / "recipe.json").write_text(json.dumps(recipe | {"data": "folder:gone"}))
    before = (run / "report.html").read_bytes()
    assert b"Confusion" in before
    said = command("explain", run, "0.png", "--method", "gradient").err
    assert (run / "report.html").read_bytes() == before and (run / "sections/explain.json").is_file()
    assert "stays as it was" in said and "no folder 'gone'" in said
    said = command("report", run).err
    assert (run / "report.html").read_bytes() == before and "stays as it was" in said and "no folder 'gone'" in said
    (run / "report.html").unlink()
    command("explain", run, "0.png", "--method", "gradient")
    assert 'id="explain"' in (run / "report.html").read_text()
    said = command("explain", run, "0.png", "--method", "gradient").err  # nothing to lose: it shows no test split
    assert 'id="explain"' in (run / "report.html").read_text() and "stays as it was" not in said
