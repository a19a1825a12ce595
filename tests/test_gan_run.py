"""A GAN is a run like any other: trained from a recipe, resumed exactly, measured, looked at, sampled from."""

import json
import os
import re
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.checkpoints import callback
from kerasdl.checkpoints.files import Checkpoints
from kerasdl.data import from_arrays, load_splits
from kerasdl.devices import on_device
from kerasdl.errors import UserError
from kerasdl.evaluation import samples
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.evaluation.predict import predict
from kerasdl.objectives.gan import gallery
from kerasdl.objectives.gan.gan import clusters
from kerasdl.objectives.images import enlarged, grid
from kerasdl.recipe import Recipe
from kerasdl.recipe import load as load_recipe
from kerasdl.reports.page import report
from kerasdl.run import Run
from kerasdl.train.fit import train

STEPS = 4  # of an epoch
REFEREE = Recipe(model="cnn", model_args={"size": "mu"}, data="digits", batch=128, epochs=3, lr=2e-2)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory, hard_run):
    """A cache of its own, blocks of two steps, and a referee that is trained in a second. The run that all files share
    has the usual blocks."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "tiny.py").write_text(f"from kerasdl import Recipe\nrecipe = Recipe(**{REFEREE.model_dump()!r})\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERASDL_CACHE", str(folder / "cache"))
        patch.setattr(on_device, "STEPS", STEPS // 2)
        yield folder


@pytest.fixture(scope="module")
def recipe(home) -> Recipe:
    """Everything that has a state: batch norm, an average, two optimizers."""
    return Recipe(name="tiny_gan", model="gan", objective="adversarial", data="digits", batch=256, epochs=3, ema=0.9,
                  model_args={"net": "dcgan", "size": "mu", "latent": 8, "conditional": True},
                  lr=1e-3, betas=(0.5, 0.99), warmup="10%", augment=(("translate", 1),),
                  objective_args={"loss": "relativistic", "r1": 1.0, "r2": 1.0, "discriminator_lr": 2e-3,
                                  "referee": str(home / "tiny.py")})


@pytest.fixture(scope="module")
def simple(recipe) -> Recipe:
    """Dense networks without labels, which compile in a second, for what does not depend on the networks."""
    return recipe.model_copy(update={"model_args": {"net": "mlp", "size": "mu", "latent": 8}})


@pytest.fixture(scope="module")
def unbroken(recipe, tmp_path_factory) -> Run:
    return train(recipe, workdir=tmp_path_factory.mktemp("runs") / "unbroken", verbose=False)


@pytest.fixture
def interrupted(here, monkeypatch, recipe):
    """Trains until a step, or the end of its block, where the process is told to stop; returns the run's folder."""
    def until(step, **options):
        original = callback.CheckpointCallback.on_train_batch_end

        def stop_at(self, batch, logs=None):
            if self.fitted.name == "gan" and self.step < step <= self.epoch_began + callback.steps_done(self, batch):
                os.kill(os.getpid(), signal.SIGTERM)
            original(self, batch, logs)

        with monkeypatch.context() as patch:
            patch.setattr(callback.CheckpointCallback, "on_train_batch_end", stop_at)
            with pytest.raises(SystemExit) as stopped:
                train(recipe, workdir="broken", verbose=False, **options)
        assert stopped.value.code == 143
        return here / "broken"

    return until


def frames(run: Run) -> dict[int, bytes]:
    """The images of the epochs in TensorBoard; one that is there twice is an error."""
    found = {}
    for file in run.path.glob("tensorboard/samples/events*"):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                assert event.step not in found
                found[event.step] = bytes(tf.make_ndarray(value.tensor)[2])
    return found


def assert_same(broken: Run, unbroken: Run) -> None:
    for key in ("test", "val", "references", "samples", "taught", "best_epoch", "parameters"):
        assert broken.result[key] == unbroken.result[key], key
    drop = ["examples_per_second"]
    assert broken.metrics.drop(columns=drop).equals(unbroken.metrics.drop(columns=drop))
    for a, b in zip(broken.model().get_weights(), unbroken.model().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert frames(broken) == frames(unbroken)


# The run


def test_a_run_has_the_average_its_numbers_and_a_picture_an_epoch(unbroken, recipe):
    result, metric = unbroken.result, "frechet_tiny"
    assert list(result["test"]) == [metric, "kid_tiny", "density", "coverage", "accuracy"] == list(result["val"])
    assert result["samples"] == {"referee": "tiny", "draws": 5, "val": 180, "test": 360, "train": 360}
    assert result["references"].keys() == {"train", "noise", "untrained"}
    real, noise = (result["references"][name] for name in ("train", "noise"))
    assert real[metric] < noise[metric] and real["coverage"] > 0.8 > noise["coverage"]
    assert result["taught"]["samples"] == 1257 and 0 <= result["taught"]["accuracy"] <= 1
    assert set(frames(unbroken)) == {0, 1, 2}
    best = unbroken.metrics[f"val_{metric}"]
    assert result["best_epoch"] == best.argmin() + 1 and result["val"][metric] == best.min()
    assert [value.name for value in unbroken.model().inputs] == ["latent", "label"]
    assert not (unbroken.path / "checkpoint").exists()


def test_interrupted_twice_it_ends_as_if_nothing_had_happened(interrupted, unbroken, recipe):
    """Within the first epoch, streamed, and within the last one, resident: networks, optimizers, average, pictures."""
    folder = interrupted(3, feed="streamed")
    checkpoints = Checkpoints(folder / "checkpoint")
    assert checkpoints.steps() == [3]
    arrays, _ = checkpoints.read(3)
    assert not [key for key in arrays if key.startswith("average/")]  # it is one of the GAN's own networks
    interrupted(9)
    assert checkpoints.steps()[0] == 10  # the end of a block
    assert_same(train(recipe, workdir=folder, verbose=False), unbroken)


@pytest.mark.soak
def test_interrupted_at_the_end_of_an_epoch(interrupted, unbroken, recipe):
    assert_same(train(recipe, workdir=interrupted(8, feed="streamed"), feed="streamed", verbose=False), unbroken)


@pytest.mark.soak
def test_killed_at_random_steps_until_it_is_done(recipe, unbroken, here):
    """By SIGKILL, while a checkpoint of each step is being written, four times in processes of their own."""
    (here / "recipe.json").write_text(recipe.model_dump_json())
    words = ["train", "recipe.json", "--workdir", "broken", "--checkpoint-every", "0", "--no-report"]
    for step in [*sorted(np.random.default_rng().choice(range(2, 3 * STEPS), 4, replace=False)), 10**9]:
        code = f"""if True:
            import os, signal, sys
            from kerasdl.cli import main
            from kerasdl.checkpoints import callback
            from kerasdl.devices import on_device
            on_device.STEPS, original = {STEPS // 2}, callback.CheckpointCallback.on_train_batch_end
            def killed(self, batch, logs=None):
                original(self, batch, logs)
                if self.fitted.name == "gan" and self.step >= {step}:
                    os.kill(os.getpid(), signal.SIGKILL)
            callback.CheckpointCallback.on_train_batch_end = killed
            sys.argv = ["kerasdl", *{words!r}]
            main()
        """
        process = subprocess.run([sys.executable, "-c", code])
        assert process.returncode == (0 if step == 10**9 else -signal.SIGKILL)
    assert_same(Run.open("broken"), unbroken)


# What there is to see


@pytest.mark.soak
def test_eval_gives_the_numbers_of_the_result(unbroken, command):
    assert evaluate(unbroken) == unbroken.result["test"] and evaluate(unbroken, "val") == unbroken.result["val"]
    told = command("eval", unbroken.path)
    assert told.code == 0 and "frechet_tiny" in told.out
    given = {"test": load_splits("digits", {"test": "test"})["test"]}
    assert evaluate(unbroken, data=given) == unbroken.result["test"]


@pytest.mark.soak
def test_eval_sees_through_the_referee_of_the_training(simple, here, home):
    """Whatever the size of the split: a referee of few images has smaller batches. And its name tells of which."""
    run = train(simple.override(objective_args={"referee": ""}, data_args={"classes": ["0", "1"]}, epochs=1, batch=32),
                workdir="two", verbose=False)
    folders = set((home / "cache" / "referees").iterdir())
    assert evaluate(run, "val") == run.result["val"]
    assert set((home / "cache" / "referees").iterdir()) == folders
    assert re.fullmatch("frechet_cnn_digits_[0-9a-f]{8}", next(iter(run.result["test"])))


@pytest.mark.soak
def test_the_same_seed_gives_the_same_images_in_another_process(unbroken, command, here):
    assert command("sample", unbroken.path, "--n", 5, "--class", 7, "--seed", 1, "--out", "here.png").code == 0
    code = f"import sys; from kerasdl.cli import main; sys.argv = ['kerasdl', 'sample', {str(unbroken.path)!r}, "
    code += "'--n', '5', '--class', '7', '--seed', '1', '--out', 'there.png']; main()"
    subprocess.run([sys.executable, "-c", code], check=True)
    ours, theirs = ((here / f"{name}.png").read_bytes() for name in ("here", "there"))
    assert ours == theirs
    images = samples.sample(unbroken, 5, 7, seed=1)
    np.testing.assert_array_equal(tf.io.decode_png(ours), grid(enlarged(images), 3))
    assert (images != samples.sample(unbroken, 5, 7, seed=2)).any()
    assert (images != samples.sample(unbroken, 5, 3, seed=1)).any()


def test_the_report_shows_what_there_is(unbroken):
    page = report(unbroken).read_text()
    assert [int(epoch) for epoch in re.findall(r"<figcaption>epoch (\d+)<", page)] == [1, 2, 3]
    for part in ("film", "scores", "ways", "made", "real"):
        assert f'id="{part}"' in page
    for row in ("this generator", "real images (train)", "noise", "untrained generator"):
        assert f'<th scope="row">{row}</th>' in page
    assert f"{unbroken.result['test']['frechet_tiny']:.4g}" in page and "<script" not in page


def test_the_nearest_images_are_the_nearest():
    random = np.random.default_rng(0)
    others = random.integers(0, 256, (50, 6, 5, 3), "uint8")
    some = others[[7, 3]].astype("int16") + random.integers(-3, 3, (2, 6, 5, 3))
    assert gallery.closest(some.clip(0, 255).astype("uint8"), others).tolist() == [7, 3]


def test_a_way_keeps_its_ends_and_the_length_of_noise():
    a, b = np.random.default_rng(0).standard_normal((2, 64))
    way = gallery.between(a, b)
    np.testing.assert_allclose(way[[0, -1]], [a, b], atol=1e-5)
    np.testing.assert_allclose(gallery.between(a[:1], -a[:1])[:, 0], np.linspace(a[0], -a[0], gallery.BETWEEN),
                               atol=1e-6)
    middle = np.linalg.norm(way, axis=1)
    assert middle.min() > 0.9 * min(np.linalg.norm(a), np.linalg.norm(b))


def test_a_grid_has_every_image_in_its_place():
    images = np.arange(5 * 2 * 3, dtype="uint8").reshape(5, 2, 3, 1) + 1
    sheet = grid(images, 2, gap=1)
    assert sheet.shape == (3 * 3 - 1, 2 * 4 - 1, 1)
    np.testing.assert_array_equal(sheet[3:5, 4:7], images[3])
    assert not sheet[2].any() and not sheet[:, 3].any() and not sheet[6:, 4:].any()
    assert enlarged(images).shape == (5, 36, 54, 1)


# Beside


def test_an_unconditional_one_has_neither_accuracy_nor_taught(simple, here):
    run = train(simple, epochs=1, workdir="plain", verbose=False)
    assert "accuracy" not in run.result["test"] and "taught" not in run.result
    with pytest.raises(UserError, match="takes no class"):
        samples.sample(run, 4, 3)


def test_a_generator_of_clusters_is_an_unconditional_one_that_knows_the_images(simple, here):
    run = train(simple, "model_args.clusters=12", epochs=1, workdir="clusters", verbose=False)
    assert "accuracy" not in run.result["test"] and "taught" not in run.result
    layer, images = clusters(run.model()), load_splits("digits", {"train": "train"})["train"].x
    nearest = np.bincount(layer.nearest(images / np.float32(127.5) - 1), minlength=12) / len(images)
    assert nearest.min() > 0.01
    np.testing.assert_allclose(nearest, np.diff(layer.edges), atol=0.02)


def test_the_referee_is_trained_once_and_named(unbroken, home, recipe):
    (folder,) = (home / "cache" / "referees").glob("tiny-*")
    assert Run.open(folder).result["status"] == "completed"
    assert not list((home / "cache" / "referees").glob(".*")), "nothing that was half made"


@pytest.mark.soak
def test_arrays_have_a_referee_of_their_own(here, simple, home):
    random = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = (random.integers(0, 100, (200, 8, 8, 1)) + 100 * y[:, None, None, None]).astype("uint8")
    run = train(simple, data=from_arrays(x, y), workdir="own", verbose=False, epochs=1, batch=32)
    assert list(run.result["test"])[0] == "frechet_cnn_arrays"
    assert evaluate(run, data=from_arrays(x, y)) == run.result["test"]
    with pytest.raises(UserError, match="give all of train, val, test"):
        evaluate(run, data={"test": from_arrays(x, y)["test"]})
    assert len(list((home / "cache" / "referees").glob("cnn_arrays-*"))) == 1
    with pytest.raises(UserError, match="more than 5 real ones. The test split has 4"):
        train(simple, data=from_arrays(x, y, test=(x[:4], y[:4])), workdir="few", verbose=False, epochs=1, batch=32)
    assert not (here / "few").exists(), "told before it trains"


# Mistakes


@pytest.mark.parametrize("change, words", [
    ({"objective_args.los": "relativistic"}, ["objective_args.los", "'loss'"]),
    ({"objective_args.loss": "relative"}, ["'relative'", "'relativistic'"]),
    ({"model": "cnn", "model_args": {}}, ["two networks", "gan"]),
    ({"data": "csv:rows.csv", "data_args.label": "kind"}, ["learns from image data", "row examples"]),
    ({"model_args.clusters": 8}, ["clusters", "in place of conditional"]),
    ({"model_args.conditional": False, "model_args.clusters": 700}, ["clusters=700", "1257 images"]),
    ({"accumulate": 2}, ["accumulate"]),
    ({"tta": "flip"}, ["tta", "images"]),
    ({"label_smoothing": 0.1}, ["label_smoothing"]),
    ({"augment": "(('mixup', 0.2),)"}, ["mixup"]),
    ({"objective_args.r1": "(1.0, 0.0)"}, ["objective_args.r1", "two above 0", "(1.0, 0.0)"]),
    ({"objective_args.r2": -1.0}, ["objective_args.r2", "-1.0"]),
    ({"objective_args.referee": "cnn_digit"}, ["'cnn_digit'", "'cnn_digits'"]),
    ({"objective_args.referee": "inception.keras"}, ["no reference classifier inception.keras"]),
    ({"optimizer": "sgd", "optimizer_args.betas": (0.5, 0.9)}, ["betas", "momentum"]),
    ({"objective_args.d_steps": 2}, ["objective_args.d_steps"]),
    ({"objective_args.lazy": 0}, ["lazy", "greater than or equal to 1", "0"]),
    ({"objective_args.referee": "gan_digits"}, ["gan_digits", "classifies", "adversarial"]),
    ({"objective_args.referee": None}, ["objective_args.reference", "None"]),
    ({"objective_args.referee": "torn.keras"}, ["torn.keras", "does not load"]),
    ({"objective_args.referee": "maps.keras"}, ["maps.keras", "(4, 4, 2)", "GlobalAveragePooling2D"]),
])
def test_what_cannot_be_is_told_in_a_line(refused, recipe, here, table, change, words):
    (here / "rows.csv").write_bytes(table.read_bytes())
    (here / "torn.keras").write_bytes(b"PK of which the rest is lost")
    images = keras.Input((8, 8, 1), dtype="uint8")
    keras.Model(images, keras.layers.Conv2D(2, 2, 2)(images)).save(here / "maps.keras")
    (here / "recipe.json").write_text(recipe.model_dump_json())
    pairs = [f"{key}={value}" for key, value in change.items()]
    refused("train", "recipe.json", *pairs, "--workdir", "run", words=words)


@pytest.mark.parametrize("loss, told", [pytest.param("d_loss", "discriminator's loss", marks=pytest.mark.soak),
                                        ("g_loss", "generator's loss")])
def test_nan_names_the_network_and_the_step(here, simple, monkeypatch, loss, told):
    from kerasdl.objectives.gan.gan import GAN

    name = {"d_loss": "discriminator_step", "g_loss": "generator_step"}[loss]
    original = getattr(GAN, name)

    def broken(self, *arguments):
        made = original(self, *arguments)
        bad = tf.where(self.optimizer.iterations >= 5, float("nan"), 0.0)
        return (made[0] + bad, made[1]) if loss == "d_loss" else made + bad

    monkeypatch.setattr(GAN, name, broken)
    with pytest.raises(UserError, match=rf"The {told} became nan at step [56] \(epoch 2\)"):
        train(simple, workdir="run", verbose=False)
    result = json.loads((here / "run" / "result.json").read_text())
    assert result["status"] == "diverged" and (here / "run" / "model.keras").exists()


def test_a_generator_that_is_no_number_at_the_end_is_no_result(here, simple):
    """Its images are black, and have scores."""
    class Ruin(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            weight = self.model.average.trainable_variables[0]
            weight.assign(weight * float("nan"))

    with pytest.raises(UserError, match="is not finite at the end"):
        train(simple, workdir="run", verbose=False, epochs=1, keep="last", callbacks=Ruin())
    result = json.loads((here / "run" / "result.json").read_text())
    assert result["status"] == "diverged" and "test" not in result


def test_a_discriminator_that_has_won_is_told_once(caplog):
    from kerasdl.objectives.gan.scores import LONG, DiscriminatorWon

    watcher = DiscriminatorWon()
    watcher.set_params({"steps": LONG // 2})
    for loss in (0.5, 0.01, 0.5, 0.01):
        watcher.on_epoch_end(0, {"d_loss": loss})
    assert not caplog.messages
    for loss in (0.01, 0.01):
        watcher.on_epoch_end(0, {"d_loss": loss})
    (line,) = caplog.messages
    assert line.startswith("the discriminator has won")


def test_a_run_of_images_takes_none_and_one_of_classes_makes_none(unbroken, refused, hard_run):
    with pytest.raises(UserError, match="makes images"):
        predict(unbroken, ["a.png"])
    refused("sample", hard_run.path, words=["makes no images", "kerasdl predict"])
    refused("sample", unbroken.path, "--class", "seven", words=["'seven'"])
    refused("sample", unbroken.path, "--out", "grid.jpg", words=["PNG", "grid.jpg"])
    refused("sample", unbroken.path, "--out", "nowhere/grid.png", words=["nowhere"])


def test_a_recipe_of_a_gan_comes_back_from_json(recipe, here):
    (here / "recipe.json").write_text(recipe.model_dump_json())
    assert load_recipe("recipe.json") == recipe


@pytest.mark.soak
def test_two_replicas_end_where_one_device_does(unbroken, recipe, here):
    """In a process of its own, whose processor is split; the noise of each replica is its part of the batch's."""
    (here / "recipe.json").write_text(recipe.model_dump_json())
    words = ["train", "recipe.json", "--workdir", "two", "--strategy", "mirrored", "--logical-cpus", "2", "--no-report"]
    code = f"import sys; from kerasdl.cli import main; sys.argv = ['kerasdl', *{words!r}]; main()"
    subprocess.run([sys.executable, "-c", code], check=True)
    two = Run.open("two")
    assert two.result["environment"]["replicas"] == 2
    for a, b in zip(two.model().get_weights(), unbroken.model().get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
    assert two.result["test"]["frechet_tiny"] == pytest.approx(unbroken.result["test"]["frechet_tiny"], rel=0.01)
