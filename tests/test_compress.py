"""`kerasdl compress`, and trainings of smaller networks by command: the ladder, what it leaves out, and mistakes."""

import errno
import json
import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import zoo_harness as harness

from kerasdl import objectives, zoo
from kerasdl.cli.compress import show
from kerasdl.compression.quantize_aware import is_aware
from kerasdl.deploy import exporting, formats
from kerasdl.deploy.compress import ladder, walk
from kerasdl.deploy.compress.choose import Target, chosen, frontier, size_of
from kerasdl.errors import Impossible, UserError
from kerasdl.files import alone, write_json
from kerasdl.recipe import Recipe, load
from kerasdl.run import Run
from kerasdl.train import pretrained
from kerasdl.train.callbacks import Diverged
from kerasdl.train.fit import train
from kerasdl.zoo.cost import multiply_adds


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run of a small network."""
    recipe = load("cnn_digits").override(model_args={"size": "mu"}, epochs=3)
    return train(recipe, workdir=tmp_path_factory.mktemp("runs") / "whole", verbose=False)


@pytest.mark.soak
def test_a_run_with_other_channels_is_trained_on_as_it_is(here, whole):
    first = train(whole.recipe.override(init=str(whole.path), prune_channels=0.4, epochs=1, objective="distill",
                                        objective_args={"teacher": str(whole.path)}), workdir=here / "a", verbose=False)
    assert multiply_adds(first.model()) <= 0.6 * multiply_adds(whole.model())
    assert first.result["teacher"]["test"] == whole.result["test"]
    second = train(whole.recipe.override(init=str(here / "a"), quantize="int8", epochs=1), workdir=here / "b",
                   verbose=False)
    assert is_aware(second.model()) and multiply_adds(second.model()) == multiply_adds(first.model())
    assert len(json.loads((here / "b" / "init.json").read_text())["new"]) == 0


@pytest.mark.parametrize("change, words", [
    (["quantize=int8"], ["quantize", "init=RUN"]), (["prune_channels=0.5"], ["prune_channels", "init=RUN"]),
    (["quantize=int2"], ["int8", "int4"]), (["prune=1"], ["prune", "less than 1"]),
    (["quantize=int8", "init=RUN", "precision=mixed_bfloat16"], ["float32"]),
    (["objective=distill"], ["teacher is required"]),
    (["objective=distill", "objective_args.teacher=nowhere"], ["nowhere"]),
    (["objective=distill", "objective_args.teacher=RUN", "objective_args.answers=some"], ["soft", "hard"])])
def test_mistakes_of_a_training_are_one_line(refused, whole, change, words):
    refused("train", "cnn_digits", "model_args.size=mu", "epochs=1",
            *(one.replace("RUN", str(whole.path)) for one in change), words=words)


def test_a_teacher_that_does_not_classify_is_refused(refused, here):
    train("simclr_digits", "model_args.size=mu", "epochs=1", workdir=here / "views", verbose=False, test=False)
    refused("train", "cnn_digits", "objective=distill", f"objective_args.teacher={here / 'views'}",
            words=["objective=contrast", "a teacher classifies"])


def test_a_teacher_of_other_classes_is_refused(refused, table, here, whole):
    refused("train", "mlp_csv", f"data=csv:{table}", "data_args.label=kind", "objective=distill",
            f"objective_args.teacher={whole.path}", words=["They have to be the same"])


def test_the_versions_are_chosen_by_size_and_score():
    versions = [{"name": name, "bytes": size, "milliseconds": 1.0, "val": val}
                for name, size, val in (("a", 100, 0.90), ("b", 70, 0.897), ("c", 71, 0.85), ("d", 40, 0.80))]
    assert chosen(versions, Target(), 0.9, "max")["name"] == "b"  # the smallest that loses half a point at most
    assert chosen(versions, Target(bytes=80), 0.9, "max")["name"] == "b"
    assert chosen(versions, Target(bytes=50), 0.9, "max")["name"] == "d"
    assert chosen(versions, Target(bytes=10), 0.9, "max") is None
    assert chosen(versions, Target(milliseconds=0.5), 0.9, "max") is None
    assert frontier(versions, "max") == {"a", "b", "d"}
    assert chosen(versions, Target(), 0.79, "min")["name"] == "d"
    assert [size_of(text) for text in ("96 KB", "96KiB", "1.5 MB")] == [96_000, 98_304, 1_500_000]


@pytest.fixture
def own(tmp_path):
    """A run of the user's own network on the user's own table, frozen, as far as a ladder looks at it."""
    home = tmp_path / "home"
    (home / "run" / "code").mkdir(parents=True)
    for file in ("people.csv", "more.csv", "first.keras", "run/code/my.py"):
        (home / file).touch()
    recipe = Recipe(model="my.py:build", model_args={"width": 3, "weights": "first.keras"}, data="csv:people.csv",
                    data_args={"label": "risk", "test": "more.csv"}, splits={"train": "train[:50%]"}, freeze=("a*",),
                    epochs=10)
    run = Run.create(recipe, home / "run")
    write_json(run.path / "data.json", {"kind": "row", "shape": 2, "classes": ["a", "b"], "folder": str(home)})
    return run


def test_the_ladder_finds_the_user_s_files_from_every_folder(own, here, monkeypatch):
    found = ladder.next_recipe(own, 2)
    monkeypatch.chdir(own.path.parent)
    assert found == ladder.next_recipe(Run(own.path.relative_to(own.path.parent)), 2)
    home = own.path.parent
    assert found.model == f"{home}/run/code/my.py:build" and found.model_args == {
        "width": 3, "weights": f"{home}/first.keras"}
    assert found.data == f"csv:{home}/people.csv" and found.splits == {"train": "train[:50%]"}
    assert found.data_args == {"label": "risk", "test": f"{home}/more.csv"}


def test_the_ladder_keeps_the_trainings_of_other_settings_and_the_settings_of_keras(own, monkeypatch, caplog):
    Run.create(own.recipe, own.path.parent / "rung" / "run")
    monkeypatch.setattr(ladder, "train", lambda *_, **__: keras.config.dtype_policy().name)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = ladder.trained(own.recipe.override(epochs=3), own.path.parent / "rung", None)
    finally:
        keras.config.set_dtype_policy(before)
    assert found == "mixed_bfloat16" and "is made anew" in caplog.text
    assert (own.path.parent / "rung-1" / "run" / "recipe.json").is_file()


def test_the_ladder_trains_layers_that_were_frozen(own):
    assert own.recipe.freeze and not ladder.next_recipe(own, 2).freeze


def test_the_work_of_a_series_is_that_of_all_its_steps(tmp_path):
    run = Run.create(Recipe(model="conv1d", data="series:none.npz"), tmp_path)
    network = zoo.build("conv1d", (12, 2), 5, size="mu")
    network.save(run.path / "model.keras")
    write_json(run.path / "data.json", {"kind": "sequence", "shape": [12, 2], "classes": list("abcde")})
    write_json(run.path / "result.json", {"status": "completed", "monitor": "accuracy"})
    (tmp_path / "export").mkdir()
    write_json(tmp_path / "export" / "export.json", {
        "bytes": 1, "latency": {"1": {"file_ms": 1.0}}, "scores": {"accuracy": {"file": 0.5}},
        "run_model_sha256": exporting.digest(run.model_file)})
    found = json.loads(json.dumps(ladder.measured("whole", run, tmp_path, None)))
    assert found["multiply_adds"] == multiply_adds(network, 12) > multiply_adds(network)


def test_a_file_of_weights_that_are_no_more_is_made_anew(tmp_path, monkeypatch, caplog):
    def export(run, *_, out, **__):
        made.append(out)
        out.mkdir()
        write_json(out / exporting.FACTS, facts := {
            "bytes": len(made), "latency": {"1": {"file_ms": 1.0}}, "scores": {"accuracy": {"file": 0.5}},
            "run_model_sha256": exporting.digest(run.model_file)})
        return facts

    monkeypatch.setattr(exporting, "export", export)
    made, network = [], harness.in_a_row()
    run = Run.create(Recipe(model="cnn", data="digits"), tmp_path)
    write_json(run.path / "data.json", {"kind": "image", "shape": [8, 8, 1], "classes": list("abc")})
    write_json(run.path / "result.json", {"status": "completed", "monitor": "accuracy"})
    for weights_differ, version in ((True, 1), (False, 1), (True, 2)):
        if weights_differ:
            harness.randomise(network).save(run.path / "model.keras")
        assert ladder.measured("whole", run, tmp_path, None)["bytes"] == version
    assert "is of other weights" in caplog.text and (tmp_path / "export-1").is_dir()


def test_what_no_rung_can_change_ends_the_ladder_and_other_mistakes_are_raised():
    def refused(error):
        raise error("quantize: it has operations between its layers")

    assert ladder.possible("a", refused, Impossible) is None
    with pytest.raises(UserError, match="quantize"):
        ladder.possible("a", refused, UserError)


@pytest.fixture
def walked(own, monkeypatch):
    """Return the names that a ladder yields whose files have these bytes and scores, or are refused."""
    finish(own)
    monkeypatch.setattr(ladder, "trained", lambda *_: own)

    def found(files, target=None):
        def measured(name, *_):
            if isinstance(files[name], str):
                raise (Impossible if "No file" in files[name] else UserError)(files[name])
            return {"name": name, "bytes": files[name][0], "milliseconds": 1.0, "val": files[name][1]}

        monkeypatch.setattr(ladder, "measured", measured)
        return [one["name"] for one in ladder.versions(
            own, own.path / "compress", "max", target or Target(), 1, None)]

    return found


def finish(run, **facts):
    """Give a run the result that a ladder reads."""
    (run.path / "model.keras").touch()
    write_json(run.path / "result.json", {"status": "completed", "monitor": "accuracy", "val": {"accuracy": 0.9},
                                          "parameters": 7} | facts)


def test_a_version_that_reaches_the_target_but_loses_is_trained_to_be_rounded_first(walked):
    files = {"whole": (90, 0.7), "whole-aware": (90, 0.89)}
    assert walked(files, Target(bytes=100)) == ["whole", "whole-aware"]
    assert walked({"whole": (90, 0.899)}, Target(bytes=100)) == ["whole"]
    later = {"whole": (120, 0.7), "whole-aware": (120, 0.89), "channels-25": (90, 0.9)}
    assert walked(later, Target(bytes=100)) == list(later)


def test_a_version_whose_file_is_refused_is_left_out(walked, caplog):
    caplog.set_level("INFO", logger="kerasdl")
    dead = "No file was written: as litert in int8 the model answers every example alike."
    files = {"whole": (90, 0.9), "channels-25": (80, 0.7), "channels-25-aware": dead, "channels-50": dead,
             "channels-70": (40, 0.9), "channels-85": (30, 0.9)}
    assert walked(files) == ["whole", "channels-25", "channels-70", "channels-85"]
    assert f"channels-50 is left out. {dead}" in caplog.text
    for name, why in (("whole", dead), ("channels-25", "There is no data.")):
        with pytest.raises(UserError, match=why):
            walked(files | {name: why})


def test_a_training_that_diverged_is_left_out(own, monkeypatch):
    def train(recipe, workdir, **_):
        finish(Run.create(recipe, workdir), status="diverged", message="The loss is nan.")
        raise Diverged("The loss is nan.")

    monkeypatch.setattr(ladder, "train", train)
    folder = own.path.parent / "rung"
    for _ in range(2):  # the second time finds what the first one left
        version = ladder.trained(own.recipe, folder, None)
        with pytest.raises(Impossible, match=f"written: its training diverged. The loss is nan. .* {folder}"):
            ladder.measured("rung", version, folder, None)
        monkeypatch.setattr(ladder, "train", None)


def test_a_run_that_was_moved_keeps_its_trainings_and_no_other_takes_them(own, monkeypatch):
    model = harness.in_a_row()
    model.save(own.path / "model.keras")
    recipe = ladder.next_recipe(own, 2).override(objective_args={"teacher": str(own.path)})
    rung = Run.create(recipe, own.path / "compress" / "a" / "run")
    write_json(rung.path / "init.json", {"weights": pretrained.read(recipe).facts["weights"]})
    finish(rung)
    moved = Run(own.path.parent.rename(own.path.parent.with_name("there")) / "run")
    recipe = ladder.next_recipe(moved, 2).override(objective_args={"teacher": str(moved.path)})
    folder = moved.path / "compress" / "a"
    monkeypatch.setattr(ladder, "train", None)
    assert ladder.trained(recipe, folder, None).recipe == recipe

    model.trainable_weights[0].assign(2 * np.asarray(model.trainable_weights[0]))
    model.save(moved.path / "model.keras")
    monkeypatch.setattr(ladder, "train", lambda recipe, workdir, **_: Run.create(recipe, workdir))
    assert not (ladder.trained(recipe, folder, None).path / "result.json").exists()
    assert (folder.with_name("a-1") / "run" / "result.json").is_file()


def test_an_objective_without_scores_is_refused(own, monkeypatch):
    finish(own, monitor="loss")
    monkeypatch.setattr(objectives, "of", lambda *_: SimpleNamespace(scores={"loss": "min"}))
    with pytest.raises(UserError, match="has no score but its loss"):
        ladder.score_of(own)


def test_a_private_run_is_not_compressed(own, monkeypatch):
    """Its smaller versions would learn from the data without the promise."""
    finish(own)
    monkeypatch.setattr(Run, "holds_private", True)
    with pytest.raises(UserError, match="trained privately"):
        walk.check(own)


@pytest.fixture
def compressing(own, monkeypatch):
    """A run whose ladder has one version, and an older file that was chosen."""
    finish(own)
    (own.path / "compress" / "chosen").mkdir(parents=True)
    monkeypatch.setattr(walk, "check", lambda run: None)
    monkeypatch.setattr(formats, "find", lambda *_: SimpleNamespace(FILE="model.tflite"))
    monkeypatch.setattr(ladder, "versions", lambda *_: iter([{
        "name": "whole", "bytes": 5000, "milliseconds": 0.1, "val": 0.9, "parameters": 7, "multiply_adds": 9}]))
    return own


def test_nothing_is_chosen_where_no_version_reaches_the_target(compressing, refused):
    refused("-q", "compress", compressing.path, "--to", "10 B", words=["No version reaches 0.01 KB", "whole: 5.0 KB"])
    folder = compressing.path / "compress"
    assert not (folder / "chosen").exists() and "whole" in (folder / "compress.html").read_text()
    assert json.loads((folder / "compress.json").read_text())["chosen"] is None


def test_two_processes_do_not_compress_one_run(compressing, refused):
    with alone(compressing.path / "compress", ""):
        refused("-q", "compress", compressing.path, words=["Another process works in", "compress. Wait for it"])


def test_a_full_disk_is_one_line_and_keeps_the_older_file(compressing, refused, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    exported, chosen = (compressing.path / "compress" / name for name in ("whole/export", "chosen"))
    exported.mkdir(parents=True)
    for file in (exported / "model.tflite", chosen / "model.tflite"):
        file.touch()
    for where, name in ((walk.tempfile, "TemporaryFile"), (walk.shutil, "copyfile")):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, full)
            line = refused("-q", "compress", compressing.path, words=["No space left", "Once it can be, run it again"])
        assert "--" not in line and (chosen / "model.tflite").is_file()
    assert sorted(path.name for path in chosen.parent.iterdir()) == ["chosen", "lock", "whole"]


def test_the_command_marks_what_was_chosen_and_the_frontier(capsys):
    size = {"bytes": 5000, "parameters": 7, "multiply_adds": 9, "milliseconds": 0.1, "val": 0.5}
    show({"score": "accuracy", "chosen": "b", "test": {"file": 0.4, "keras": 0.6}, "versions": [
        {"name": name, "frontier": ahead, **size} for name, ahead in (("a", False), ("b", True), ("c", True))]})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[6:] for line in lines if line.strip()[:1] in tuple("abc")] == [[], ["*", "f"], ["f"]]
    assert any("frontier" in line for line in lines)


@pytest.mark.soak
def test_compress_walks_down_to_a_size(command, refused, whole, here, runtime_here, monkeypatch):
    try:
        formats.find("litert", "int8")
    except UserError as error:
        pytest.skip(str(error))
    run = Run(shutil.copytree(whole.path, here / "run"))
    monkeypatch.setattr(ladder, "SHARES", (0.4, 0.6))
    monkeypatch.setattr(ladder, "LOST", 1.0)
    size = ladder.measured("whole", run, run.path / "compress" / "whole", None)["bytes"]
    done = command("compress", run.path, "--to", f"{size - 1} B", "--epochs", "1", "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert [one["name"] for one in facts["versions"]] == ["whole", "channels-40"]
    assert facts["chosen"] == "channels-40" and facts["versions"][1]["bytes"] < size
    folder = run.path / "compress"
    assert facts["test"]["keras"] == run.result["test"]["accuracy"] and 0 < facts["test"]["file"] <= 1
    assert json.loads((folder / "chosen" / "export.json").read_text())["bytes"] == facts["versions"][1]["bytes"]
    assert "channels-40" in (folder / "compress.html").read_text()
    assert Run(folder / "channels-40" / "run").recipe.objective == "distill"

    monkeypatch.setattr(ladder, "train", None)  # what is there is not trained again
    assert walk.compress(run, Target(size - 1), epochs=1)["chosen"] == "channels-40"
    refused("compress", run.path, "--to", "lots", words=["96 KB"])
    refused("compress", folder / "channels-40" / "run", words=["compressed already"])
