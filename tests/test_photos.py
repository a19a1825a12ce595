"""`kerasdl photos`: the best classifier of a folder that what is at hand can give, within a budget, with a page."""

import hashlib
import json
import re
import shutil
import time
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.stats import rankdata

from kerasdl import zoo
from kerasdl.auto import photographs as of_auto
from kerasdl.auto.asked import Asked
from kerasdl.errors import UserError
from kerasdl.evaluation import intervals, predictions, resampling
from kerasdl.files import alone
from kerasdl.objectives.whole_split import log_odds
from kerasdl.photos import backbones, budget, compare, outcome, page, recipes
from kerasdl.photos.folder import look
from kerasdl.run import Run
from kerasdl.zoo import weights
from kerasdl.zoo.weights import public

RNG = np.random.default_rng(0)
SIZES, MODES = ((40, 48), (36, 36), (52, 40)), ("png", "jpg", "webp", "bmp")


def photographs(root, counts, part=""):
    """Write images of several sizes and formats: each class has a direction of stripes, in any colour."""
    for label, (name, count) in enumerate(counts.items()):
        (root / part / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            height, width = SIZES[number % 3]
            y, x = np.mgrid[:height, :width]
            wave = np.sin((x * np.cos(label) + y * np.sin(label)) / 2 + RNG.uniform(0, 6))[..., None]
            pixels = 128 + 60 * wave * RNG.uniform(-1, 1, 3) + RNG.normal(size=(height, width, 3)) * 12
            file = root / part / name / f"{number}.{MODES[number % 4]}"
            Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(file)
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("photographs"), {"across": 30, "steep": 24, "upright": 30})


def tiny_weights(home, patch):
    """Put weights of a tiny network, named "tiny", into a cache of their own as the only public ones."""
    patch.setenv("KERASDL_CACHE", str(home / "cache"))
    file = public.folder() / "tiny.safetensors"
    file.parent.mkdir(parents=True)
    weights.save(zoo.build("mobilenet", (64, 64, 3), 7, size="mu", padding="both"), file, "mobilenet", "timm")
    checksum = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    patch.setattr(public, "KNOWN", {"tiny": public.Public(
        "mobilenet", {"size": "mu", "padding": "both"}, file.name, checksum, 0.1, "MIT", "nowhere", "nothing",
        classes=7, image_size=64, preprocessing=((0.5,) * 3, (0.25,) * 3))})
    return file


def quick(monkeypatch):
    monkeypatch.setattr(recipes, "MOST", {"fine-tuned": 2, "from scratch": 2})
    monkeypatch.setattr(recipes, "FEWEST", 1)


# The folder


def test_what_a_folder_holds(tmp_path):
    photographs(tmp_path, {"across": 12, "steep": 6})
    exif = Image.Exif()
    exif[274] = 6  # turned: 30 wide and 90 high on disk, the other way round for a viewer
    for file in tmp_path.glob("*/*"):
        file.unlink()
    for number in range(12):
        Image.new("RGB", (30, 90), "red").save(tmp_path / "across" / f"{number}.jpg", exif=exif)
    for number in range(5):
        Image.new("RGB", (90, 30), "red").save(tmp_path / "steep" / f"{number}.jpg")
    found = look(tmp_path)
    assert (found.height, found.width, found.shorter, found.images) == (30, 90, 30, 17)
    assert found.counts == {"across": 12, "steep": 5}
    assert found.imbalanced and found.crop is None  # so long that a square would lose most of it
    assert "'across' has 12, 'steep' 5" in found.sentence()


@pytest.mark.parametrize("counts, words", [
    ({"cat": 20, "dog": 1}, ["'dog'", "1 image.", "5 or more"]),
    ({"cat": 20, "dog": 4, "eel": 2}, ["'eel'", "2 images", "1 more such class", "5 or more"]),
    ({"cat": 20}, ["1 class folders", "at least two"])])
def test_too_few_images_are_refused(tmp_path, counts, words):
    with pytest.raises(UserError) as caught:
        look(photographs(tmp_path, counts))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_class_that_was_taken_out_does_not_count(tmp_path):
    root = photographs(tmp_path, {"cat": 20, "dog": 15, "eel": 2})
    assert look(root, ["cat", "dog"]).counts == look(root, "cat,dog").counts == {"cat": 20, "dog": 15}
    with pytest.raises(UserError, match="no class 'dgo'. Did you mean 'dog'"):
        look(root, ["cat", "dgo"])
    for given in ((), ("data_args.image_size=32,32",)):
        base = of_auto.base_of(Asked(f"folder:{root}", overrides=(*given, "data_args.classes=cat,dog")))
        assert base.monitor == ""
        with pytest.raises(UserError, match="The class 'eel' has 2 images"):
            of_auto.base_of(Asked(f"folder:{root}", overrides=given))


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        look(tmp_path / "gone")


# The budget


def test_sizes_follow_images_and_network():
    assert budget.sides_for(224, 600) == [224, 192, 160, 128, 96, 64]
    assert budget.sides_for(224, 32) == [128, 96, 64]  # enlarged four times, and no more
    assert budget.sides_for(32, 600) == [64]


def test_what_is_planned_fits_into_the_time():
    for seconds in (20, 60, 300, 3000):
        chosen = budget.affordable([224, 192, 160, 128, 96, 64], seconds, images=1000, at=64, cost=0.005)
        needed = sum(budget.FITTING + 1000 * 0.005 * (side / 64) ** 2 for side in chosen)
        assert needed <= seconds and len(chosen) <= 2
        assert all(small <= large / 1.4 for large, small in pairwise(chosen))
    assert budget.affordable([224, 64], 1e9, 1000, 64, 1.0) == [224, 64]
    assert budget.affordable([224, 64], 1, 1000, 64, 1.0) == []
    assert budget.affordable([224, 64], 100, 1, 64, 1e-6, reading=80) == [224]  # files are read anew for each size
    for done, both in (([224], [224, 128]), ([192, 96], [192, 96]), ([64], [64])):  # interrupted between the two
        assert budget.affordable([224, 192, 128, 64], 100, 1, 64, 1e-6, 0.0, done) == both
    assert budget.epochs_for(1e6, 700, 100, 0.001, most=30) == 30
    epochs = budget.epochs_for(300, 700, 100, 0.01, most=300)
    assert epochs * 0.01 * (budget.STEP * 700 + 100) <= 300 - budget.STARTING
    assert budget.epochs_for(10, 700, 100, 0.01, most=30) == 0


def test_a_training_ends_after_the_epoch_in_which_its_time_is_over(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            now[0] += 10

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    for seconds, epochs in ((25, 3), (1000, 5), (45, 5)):  # the last would end with the fifth anyway
        deadline = budget.Deadline(seconds)
        history = model.fit(np.ones((4, 2)), np.ones(4), epochs=5, verbose=0, callbacks=[Clock(), deadline])
        assert len(history.epoch) == epochs
        assert deadline.ended == (epochs if epochs < 5 else None)


# Intervals


def test_wilsons_interval_and_the_bootstrap():
    truth = np.repeat([0, 1], 50)
    logits = np.eye(2)[np.where(np.arange(100) % 10 == 0, 1 - truth, truth)]  # 90 of 100 right
    low, high = intervals.of_score("accuracy", truth, logits)
    assert (low, high) == pytest.approx((0.8256, 0.9448), abs=1e-4)  # Wilson 1927, z = 1.96
    balanced = intervals.of_score("balanced_accuracy", truth, logits)
    assert balanced[0] < 0.9 < balanced[1] and balanced[1] - balanced[0] == pytest.approx(0.117, abs=0.02)
    worse = np.eye(2)[1 - truth]
    behind = intervals.of_difference("accuracy", truth, logits, worse)
    assert 0.8 < behind[0] < 0.9 < behind[1]
    assert intervals.of_difference("accuracy", truth, logits, logits) == (0.0, 0.0)
    few, right = np.arange(10), np.eye(10)  # one example a class, 7 of them right and 4
    one, other = (np.where((few < wrong)[:, None], np.roll(right, 1, 1), right) for wrong in (3, 6))
    low, high = intervals.of_difference("accuracy", few, one, other)
    assert low < 0.3 < high


def by_rows(score, truth, logits, others):
    """Return the intervals of a score and of how much higher it is than another, of resampled rows, as until 0.2."""
    rng, places = np.random.default_rng(1), [np.flatnonzero(truth == label) for label in np.unique(truth)]
    rows = (np.concatenate([rng.choice(place, len(place)) for place in places]) for _ in range(500))
    found = np.array([[score(truth[index], each[index]) for each in (logits, others)] for index in rows])
    return np.percentile(np.stack([found[:, 0], found[:, 0] - found[:, 1]]), [2.5, 97.5], axis=1).T


def f1(truth, logits):
    cells = np.bincount(3 * truth + logits.argmax(1), minlength=9).reshape(3, 3)
    return (2 * np.diag(cells) / (cells.sum(0) + cells.sum(1))).mean()


def recall(truth, logits):
    cells = np.bincount(3 * truth + logits.argmax(1), minlength=9).reshape(3, 3)
    return (np.diag(cells) / cells.sum(1)).mean()


def area(truth, logits):
    ranks = rankdata(log_odds(logits), axis=0)
    there = np.eye(3, dtype=bool)[truth]
    some = there.sum(0)
    return (((ranks * there).sum(0) - some * (some + 1) / 2) / (some * (len(truth) - some))).mean()


@pytest.mark.parametrize(("name", "score"), [("macro_f1", f1), ("balanced_accuracy", recall), ("auc", area)])
def test_intervals_are_those_of_resampled_rows(name, score, monkeypatch):
    """Within 4 standard errors of the ends, of a split with a small class and equal values."""
    monkeypatch.setattr(resampling, "RESAMPLES", 800)
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [100, 60, 12])
    logits, others = ((2 * np.eye(3)[truth] + rng.normal(0, size, (len(truth), 3))).round(1) for size in (1.5, 2))
    assert score(truth, logits) == pytest.approx(intervals.score(name, truth, logits))
    one, two = by_rows(score, truth, logits, others)
    for ranked in (resampling.RANKED, 0):  # each resample, or the linear part
        monkeypatch.setattr(resampling, "RANKED", ranked)
        assert intervals.of_score(name, truth, logits) == pytest.approx(one, abs=0.15 * np.ptp(one))
        assert intervals.of_difference(name, truth, logits, others) == pytest.approx(two, abs=0.15 * np.ptp(two))


def test_the_area_of_weights_is_scikit_learns_of_as_many_rows():
    rng = np.random.default_rng(0)
    truth, logits, weights = rng.integers(0, 2, 50), rng.normal(size=(50, 2)).round(1), rng.integers(0, 3, 50)
    weights[truth == 1] = 1  # of the class as many as before
    (area,) = resampling.areas(truth, logits)
    assert area.shares().sum() / 2 == pytest.approx(intervals.score("auc", truth, logits))
    area.pairs = truth.sum() * weights[truth == 0].sum()
    rows = np.repeat(np.arange(50), weights)
    assert area.of(weights) == pytest.approx(intervals.score("auc", truth[rows], logits[rows]))


# The comparison


@pytest.fixture(scope="module")
def compared(folder, tmp_path_factory):
    """A comparison with a run's network, once fine-tuned, and its document."""
    home = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        quick(patch)
        tiny_weights(home, patch)
        trials = compare.compare(folder, minutes=60, workdir=home / "photos")
        document = outcome.write(trials)
        yield trials, document, page.write(trials.home, document)


def test_every_way_is_tried_and_validation_chooses(compared):
    trials, document, _ = compared
    assert [(row["name"], row["kind"]) for row in document["candidates"]] == [
        ("pixels", "linear"), ("tiny", "frozen"), ("small network", "from scratch"), ("tiny", "fine-tuned")]
    assert document["splits"] == {"train": 58, "val": 9, "test": 17}
    ranks = {row["run"]: (row["val"]["accuracy"], -row["val"]["loss"]) for row in document["candidates"]}
    assert document["chosen"] == max(ranks, key=ranks.get)
    for row in document["candidates"]:
        assert row["interval"][0] <= row["test"]["accuracy"] <= row["interval"][1]
        assert (row["behind"] is None) == (row["run"] == document["chosen"])
    assert json.loads((trials.home / "photos.json").read_text())["chosen"] == document["chosen"]


def test_each_candidate_is_a_run_that_predicts_what_was_measured(compared, folder):
    trials, document, _ = compared
    for row in document["candidates"]:
        run = Run.open(trials.home / row["run"])
        found = predictions.read(run)
        split = compare.load_splits(run.recipe.data, compare.SPLITS, **run.recipe.data_args)["test"]
        np.testing.assert_array_equal(found.truth, split.y)
        np.testing.assert_allclose(run.model().predict(split.x, verbose=0), found.outputs, atol=2e-4, rtol=1e-4)
        assert run.result["test"]["accuracy"] == pytest.approx((found.outputs.argmax(1) == found.truth).mean())


def test_fine_tuning_begins_with_the_fitted_head_and_the_weights_own_preprocessing(compared):
    trials, document, _ = compared
    frozen, tuned = (Run.open(trials.home / document["candidates"][place]["run"]) for place in (1, 3))
    assert tuned.recipe.init == str(frozen.path) and "logits" in tuned.origin["taken"]
    assert not tuned.origin["new"]
    scales = [run.model().get_layer("scale") for run in (frozen, tuned)]
    assert scales[0].scale == scales[1].scale == pytest.approx([1 / (255 * 0.25)] * 3)


def test_the_page_has_every_candidate_and_its_report(compared):
    trials, document, file = compared
    text = file.read_text()
    for row in document["candidates"]:
        assert f'href="{row["run"]}/report.html"' in text and (trials.home / row["run"] / "report.html").is_file()
    assert float(re.search(r'id="test" value="([\d.]+)"', text)[1]) == next(
        row["test"]["accuracy"] for row in document["candidates"] if row["run"] == document["chosen"])
    assert "<svg" in text and text.count("<img") >= 18


def test_what_is_finished_is_not_made_again_and_a_finished_comparison_is_kept(compared, folder, monkeypatch):
    trials, document, _ = compared
    quick(monkeypatch)
    with pytest.raises(UserError, match="already holds a finished comparison"):
        compare.compare(folder, workdir=trials.home)
    (trials.home / "photos.json").unlink()
    times = {row["run"]: (trials.home / row["run"] / "result.json").stat().st_mtime_ns for row in
             document["candidates"]}
    again = compare.compare(folder, minutes=60, workdir=trials.home)
    assert {each.run.path.name for each in again.candidates} == set(times)
    for name, written in times.items():
        assert (trials.home / name / "result.json").stat().st_mtime_ns == written
    assert again.best().run.path.name == document["chosen"]


def test_a_finished_comparison_gets_the_page_that_it_lacks(compared, folder, command, refused, monkeypatch):
    trials, document, file = compared
    (trials.home / "photos.json").write_text(json.dumps(document))
    words = ("photos", folder, "--workdir", trials.home)
    refused(*words, words=["already holds a finished comparison"])
    file.unlink()
    refused(*words, "--seed", "1", words=["already holds a finished comparison"])
    monkeypatch.setattr(compare, "compare", None)
    assert command(*words).code == 0 and file.is_file()


def test_it_is_resumed_from_another_folder(folder, tmp_path, monkeypatch):
    """Paths of its recipes are from the folder in which it began, and a training that was stopped resumes with them."""
    began, later = tmp_path / "began", tmp_path / "later"
    shutil.copytree(folder, began / "pictures")
    later.mkdir()

    def trials(path, home):
        return compare.Trials(look(path), Path(home), budget.Budget(60), verbose=False)

    monkeypatch.chdir(began)
    first = trials("pictures", "runs")
    first.freeze(backbones.pixels(), 16)
    recipe = recipes.from_scratch(first.folder, 16, None, 0, per_class=1, epochs=2).override(
        model_args={"size": "mu"}, optimizer="sgd", augment=())
    compare.train(recipe, workdir="runs/scratch", stop_after=1, verbose=False)
    monkeypatch.chdir(later)
    again = trials("../began/pictures", "../began/runs")
    assert not again._others(Run(again.home / "frozen_pixels_16"), recipes.frozen(
        backbones.pixels(), again.folder, 16, None, 0), 16)
    larger = recipe.override(data="folder:../began/pictures", data_args={**recipe.data_args, "image_size": (24, 24)})
    again.train("small network", "from scratch", 24, larger, 60)  # what is planned now, with more time
    assert again.candidates[-1].run.result["train"]["epochs"] == 2 and again.candidates[-1].side == 16


def test_a_training_that_was_cut_short_says_so_in_a_later_session(compared, tmp_path):
    shutil.copytree(compared[0].home / "scratch", tmp_path / "scratch")
    assert compare.cut_short(Run(tmp_path / "scratch")) == ""
    recipe = json.loads((tmp_path / "scratch/recipe.json").read_text()) | {"epochs": 9}
    (tmp_path / "scratch/recipe.json").write_text(json.dumps(recipe))
    assert compare.cut_short(Run(tmp_path / "scratch")) == "ended by the budget after epoch 2 of 9"
    assert compare.cut_short(Run(compared[0].home / "frozen_pixels_16")) == ""


def test_two_runs_of_one_recipe_are_two_backbones(compared, tmp_path):
    runs = [tmp_path / "one" / "a", tmp_path / "one" / "b"]
    for run in runs:
        shutil.copytree(compared[0].home / "scratch", run)
    assert [each.name for each in backbones.named([*map(str, runs)])] == ["scratch-a", "scratch-b"]
    shutil.copytree(runs[0], tmp_path / "two" / "a")
    with pytest.raises(UserError, match="Rename one"):
        backbones.named([str(runs[0]), str(tmp_path / "two" / "a")])


def test_a_comparison_with_another_seed_is_not_gone_on_with(compared, folder, tmp_path):
    shutil.copytree(compared[0].home, tmp_path / "home")
    (tmp_path / "home" / "photos.json").unlink(missing_ok=True)
    with pytest.raises(UserError, match="other images, or with another --seed"):
        compare.compare(folder, minutes=1, workdir=tmp_path / "home", seed=1)


def test_sizes_of_another_network_whose_name_begins_alike_are_not_taken(folder, tmp_path):
    for name in ("frozen_cnn_64", "frozen_cnn_96", "frozen_cnn_quick_128", "frozen_cnn_64_32"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").touch()
    trials = compare.Trials(look(folder), tmp_path, budget.Budget(60))
    sides = {name: trials.frozen_before(backbones.Backbone(name, "", "cnn", {}, 64))
             for name in ("cnn", "cnn_quick", "cnn_64")}
    assert sides == {"cnn": [96, 64], "cnn_quick": [128], "cnn_64": [32]}


def test_heads_are_fitted_in_their_share_of_the_budget(folder, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(compare.frozen, "run", lambda *all: given.append(all[-1] - time.monotonic()))
    monkeypatch.setattr(compare.Trials, "_add", lambda self, name, kind, side, path, make: make())
    monkeypatch.setattr(compare, "train_from_scratch", lambda trials: None)
    monkeypatch.setattr(compare, "fine_tune", lambda *_: None)
    tiny_weights(tmp_path, monkeypatch)
    compare.compare(folder, minutes=10, workdir=tmp_path / "photos")
    pixels, network = given
    assert 0 < pixels <= 600 * compare.LINEAR and 0 < network <= 600 * compare.FROZEN


def test_a_network_that_is_left_out_is_told_with_all_that_it_needs(folder, tmp_path, monkeypatch):
    tiny_weights(tmp_path, monkeypatch)
    monkeypatch.setattr(budget, "seconds_per_image", lambda network: 0.5)
    trials = compare.Trials(look(folder), tmp_path / "photos", budget.Budget(4), reading=20.0)
    compare.freeze_all(trials, backbones.at_hand())
    (remark,) = trials.remarks  # of 84 images, whose features alone take 42 of the 72 seconds
    assert re.fullmatch(r"tiny was left out: it would take 74\.0 s, and there is (7[012]|6\d)\.\d s for it\.", remark)


def test_another_folder_is_not_written_into(folder, tmp_path):
    (tmp_path / "letters.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something else"):
        compare.compare(folder, workdir=tmp_path)


def test_two_do_not_compare_in_one_folder(folder, tmp_path):
    with alone(tmp_path, ""), pytest.raises(UserError, match="Another process works in"):
        compare.compare(folder, workdir=tmp_path)


def test_an_image_in_two_splits_is_remarked(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "train_from_scratch", lambda trials: None)
    monkeypatch.setenv("KERASDL_CACHE", str(tmp_path / "empty"))
    for part in ("train", "val", "test"):
        photographs(tmp_path / "data", {"across": 6, "steep": 6}, part)
    for file in (tmp_path / "data/train").glob("*/*"):
        (tmp_path / "data/val" / file.relative_to(tmp_path / "data/train")).write_bytes(file.read_bytes())
    trials = compare.compare(tmp_path / "data", minutes=60, workdir=tmp_path / "photos")
    assert any("val are in train" in remark for remark in outcome.document(trials)["remarks"])


def test_without_weights_it_says_so_and_does_what_it_can(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "train_from_scratch", lambda trials: None)
    monkeypatch.setenv("KERASDL_CACHE", str(tmp_path / "empty"))
    trials = compare.compare(folder, minutes=60, workdir=tmp_path / "photos")
    assert [each.kind for each in trials.candidates] == ["linear"]
    assert any("kerasdl weights get" in remark for remark in trials.remarks)


def test_a_run_of_ones_own_is_a_backbone(folder, here, monkeypatch, compared):
    quick(monkeypatch)
    scratch = compared[0].home / "scratch"
    (found,) = backbones.named([str(scratch)])
    assert found.fields["model"] == "cnn" and found.name == "scratch"
    features = found.body(64).predict(np.zeros((2, 64, 64, 3), "uint8"), verbose=0)["features"]
    assert features.shape == (2, 96)
    shutil.copytree(scratch, here / "run")
    recipe = json.loads((here / "run/recipe.json").read_text()) | {"name": "", "model": "nets/mine.py:build"}
    (here / "run/recipe.json").write_text(json.dumps(recipe))
    (here / "run/code").mkdir()
    (here / "run/code/mine.py").write_text("from kerasdl.zoo.cnn import build")
    (found,) = backbones.named(["run"])
    trials = compare.Trials(look(folder), here / "photos", budget.Budget(60))
    trials.freeze(found, 64)
    (frozen,) = trials.candidates
    assert "stage1_conv1" in frozen.run.origin["taken"] and frozen.run.origin["new"] == []
    assert frozen.run.path == trials.home / "frozen_mine_64"
    np.testing.assert_allclose(frozen.run.model().predict(trials.splits(64)["test"].x, verbose=0),
                               predictions.read(frozen.run).outputs, atol=2e-4, rtol=1e-4)


def test_weights_that_have_seen_the_test_images_are_refused(folder, tmp_path, compared):
    """A run that was divided otherwise: it has learned, in images of another size, from some that are in test here."""
    shutil.copytree(compared[0].home / "scratch", tmp_path / "ssl")
    recipe = json.loads((tmp_path / "ssl/recipe.json").read_text()) | {"objective": "contrast", "objective_args": {}}
    (tmp_path / "ssl/recipe.json").write_text(json.dumps(recipe))
    (found,) = backbones.named([str(tmp_path / "ssl")])
    trials = compare.Trials(look(folder), tmp_path / "photos", budget.Budget(60), group=r"/(\d)")
    with pytest.raises(UserError, match=r"learned, without labels, .* Train it anew with data_args.group=/"):
        trials.freeze(found, 64)
    assert not list((tmp_path / "photos").glob("*"))


@pytest.mark.parametrize("name, words", [("resnet18", ["--weights resnet18"]), ("tiny", ["weights get tiny"])])
def test_weights_that_are_not_there_are_refused(name, words, tmp_path, monkeypatch):
    tiny_weights(tmp_path, monkeypatch).unlink()
    with pytest.raises(UserError) as caught:
        backbones.named([name])
    assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words)


def test_rare_classes_get_weights_and_another_score_chooses(tmp_path):
    found = look(photographs(tmp_path, {"across": 24, "steep": 6}))
    recipe = recipes.frozen(backbones.pixels(), found, 16, None, 0)
    assert recipe.objective_args == {"class_weight": "balanced"} and recipe.monitor == "balanced_accuracy"
    assert recipe.data_args["crop"] == 1.0


def test_augmentation_is_the_stronger_the_fewer_images_there_are():
    crops = [recipes.augmentation(count)[0][1] for count in (20, 500, 5000)]
    assert crops == sorted(crops) and len(set(crops)) == 3  # the least share of the area that a crop keeps
