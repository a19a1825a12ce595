"""`kerasdl card`: numbers of the run and nothing else, front matter that hubs read, and one private commit."""

import html
import http.server
import json
import re
import threading
from types import SimpleNamespace

import pytest
import yaml

from kerasdl import objectives
from kerasdl.errors import UserError
from kerasdl.files import write_json
from kerasdl.hub import card, push, task
from kerasdl.objectives.base import Objective
from kerasdl.recipe import Recipe, load
from kerasdl.run import Run

huggingface_hub = pytest.importorskip("huggingface_hub")


def finished(folder, recipe, facts=None, **result):
    """A finished run without its model."""
    run = Run.create(recipe, folder)
    write_json(run.path / "data.json", {
        "kind": "image", "shape": [8, 8, 1], "classes": ["no|ne", "one"], "columns": {}, "folder": "/home/somebody/in",
        "examples": {"train": "1257-848ae96d", "val": "180-12c92319"}, "remarks": ["2 images are in two splits."],
        **(facts or {})})
    write_json(run.path / "result.json", {
        "recipe": recipe.name, "seed": 3, "status": "completed", "monitor": "accuracy", "best_epoch": 2,
        "parameters": 161514, "val": {"accuracy": 0.91, "loss": 0.3}, "test": {"accuracy": 0.8765432, "loss": 0.4},
        "train": {"seconds": 10.63, "epochs": 3}, "better": {"accuracy": "max", "loss": "min"},
        "finished": "2026-11-29T08:14:34Z", "environment": {"kerasdl": "0.2.0", "keras": "3.15.1", "device": "CPU"},
        **result})
    (run.path / "model.keras").write_bytes(b"a model")
    (run.path / "predictions.npz").write_bytes(b"answers")
    return run


@pytest.fixture
def run(tmp_path):
    return finished(tmp_path / "run", load("cnn_digits").override(epochs=3, seed=3))


def parts(text):
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_front_matter_is_what_the_run_says(run):
    front, body = parts(text := card.model_card(run, "Apache-2.0", "me/digits"))
    assert front["library_name"] == "keras" and front["pipeline_tag"] == "image-classification"
    assert front["license"] == "apache-2.0" and front["datasets"] == ["digits"] and front["metrics"] == ["accuracy"]
    (entry,) = front["model-index"]
    measured = {metric["type"]: metric["value"] for found in entry["results"] for metric in found["metrics"]}
    assert measured == run.result["test"]
    assert entry["results"][0]["dataset"]["split"] == "test"

    read = huggingface_hub.ModelCard(text).data  # what the library makes of it
    assert {found.metric_type: found.metric_value for found in read.eval_results} == run.result["test"]
    assert read.model_name == "cnn_digits" and read.tags == ["kerasdl", "cnn", "classify", "image"]
    assert "license" not in parts(card.model_card(run))[0]


def test_the_text_has_the_run_s_numbers_and_no_others(run):
    """Each number of the text is one of the run's files."""
    controls = {"linear": {"val": {"accuracy": 0.71}, "test": None}}
    write_json(run.path / "result.json", run.result | {"controls": controls})
    _, body = parts(card.model_card(run, repository="me/digits"))
    assert "| accuracy (more is better) | 0.9100 | 0.8765 |" in body
    assert "| linear | 0.7100 |" in body and "161,514 parameters" in body
    assert "Epoch 2 of 3 was kept, by accuracy on the validation split. The test split was read once" in body
    assert "| train | 1,257 |" in body and "2 images are in two splits." in body and "seed 3" in body
    assert "kerasdl train cnn_digits epochs=3 seed=3" in body and 'snapshot_download("me/digits")' in body
    given = json.dumps([run.result, run.data, run.recipe.model_dump(mode="json")])
    given += " 0.9100 0.8765 0.3000 0.4000 0.7100 10.6"  # rounded
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", body.partition("## Use")[0])
    for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)*", plain):
        assert number in given, number


def test_folders_of_the_author_stay_out(tmp_path):
    made = Recipe(name="mine", model="mlp", data="csv:/home/somebody/secret/rows.csv", data_args={"label": "kind"})
    run = finished(tmp_path, made, {"kind": "row", "shape": 3, "columns": {"size": None, "colour": ["red", "blue"]}})
    front, body = parts(text := card.model_card(run))
    assert "somebody" not in text and "secret" not in text
    assert "`csv:rows.csv`" in body and "kerasdl train FOLDER data=csv:PATH" in body
    assert "datasets" not in front and "| colour | one of `red`, `blue` |" in body
    given = push.contents(run, text)
    assert "folder" not in json.loads(given["data.json"]) and json.loads(given["data.json"])["remarks"]
    assert push.places(run, given) == ["recipe.json"]  # said, as it cannot be helped
    (run.path / "metrics.csv").write_text(f"see {tmp_path.parent}/x\n")
    assert push.places(run, push.contents(run, text)) == ["recipe.json", "metrics.csv"]


@pytest.mark.parametrize("settings, folder", [
    ({"init": "/srv/runs/first"}, "/srv/runs"), ({"data_args": {"test": "~/acme/test.csv"}}, "~/acme"),
    ({"objective": "distill", "objective_args": {"teacher": "/mnt/c++/vit"}}, "/mnt/c++"),
    ({"model_args": {"weights": "/mnt/für 'x' & \"y\"/a.keras"}}, "/mnt/für 'x' & \"y\"")])
def test_files_that_name_a_folder_of_the_recipe_are_said(settings, folder, tmp_path):
    """However it is written in them, and no others."""
    run = finished(tmp_path / "run", Recipe(model="mlp", data="csv:rows.csv", **settings))
    given = {"plain.md": f"of {folder}".encode(), "some.json": json.dumps({"x": f"first\n{folder}/x"}).encode(),
             "page.html": f"<p>{html.escape(folder)}".encode(), "other.md": f"x{folder} {folder}2".encode()}
    assert push.places(run, given) == ["plain.md", "some.json", "page.html"]
    assert "recipe.json" in push.places(run, push.contents(run, ""))


def test_the_command_has_the_last_part_of_paths_and_whole_names(tmp_path):
    recipe = load("cnn_digits").override("init=/home/somebody/runs/x", "objective=distill",
                                         "objective_args.teacher=/home/somebody/y", "model_args.weights=augreg/ti16")
    text = card.model_card(finished(tmp_path / "one", recipe))
    assert "somebody" not in text and "augreg/ti16" in text
    assert "kerasdl train cnn_digits" in text and "init=x" in text and "objective_args.teacher=y" in text
    rows = Recipe(model="mlp", data="csv:/mnt/acme/rows.csv", data_args={"label": "km/h", "test": "sets/test.csv"})
    remark = "test is sets/test.csv, because it lies next to /mnt/acme/rows.csv."
    text = card.model_card(finished(tmp_path / "two", rows, {"kind": "row", "shape": 3, "remarks": [remark]}))
    assert '{"label": "km/h", "test": "test.csv"}' in text and "acme" not in text
    assert "test is test.csv, because it lies next to rows.csv." in text


def test_names_that_are_not_utf_8_are_written_with_backslashes(command, tmp_path):
    """A class may be the name of a folder, of which Python has such bytes as halves of surrogate pairs."""
    run = finished(tmp_path / "run", load("cnn_digits"), {"classes": ["gr\udcfcn", "grün"], "remarks": ["gr\udcfcn"]})
    done = command("card", run.path, "--push", "me/digits", "--dry-run")
    assert done.code == 0, done.err
    assert "Classes: `gr\\udcfcn`, `grün`." in (run.path / "README.md").read_text(encoding="utf-8")


def test_a_public_dataset_may_have_a_configuration(tmp_path):
    run = finished(tmp_path, Recipe(model="cnn", data="mnist_corrupted/spatter"))
    front, body = parts(card.model_card(run))
    assert front["datasets"] == ["mnist_corrupted/spatter"] and "`mnist_corrupted/spatter`" in body
    assert front["model-index"][0]["results"][0]["dataset"]["name"] == "mnist_corrupted/spatter"


def test_an_ensemble_is_said_to_be_one(tmp_path):
    recipe = Recipe(name="ensemble", model="ensemble", model_args={"members": ("/home/somebody/a", "b")}, data="digits")
    members = [{"run": "a", "recipe": "cnn_digits", "seed": seed, "val": {"accuracy": 0.9}} for seed in (4, 7)]
    run = finished(tmp_path, recipe, members=members)
    write_json(run.path / "result.json", {key: value for key, value in run.result.items() if key not in (
        "test", "train", "best_epoch", "monitor", "finished")})
    text = card.model_card(run)
    assert "kerasdl ensemble RUN RUN" in text and "somebody" not in text
    assert "one average of 2 trainings, cnn_digits with seed 4, cnn_digits with seed 7" in text
    assert "test split was read once" not in text and "seed 3" not in text


def test_the_command_of_a_table_has_its_splits():
    recipe = Recipe(model="mlp", data="csv:/home/me/x.csv", splits={"train": "train[:60%]"})
    made = card.again(SimpleNamespace(recipe=recipe, result={}))
    assert made == "kerasdl train FOLDER data=csv:PATH 'splits.train=train[:60%]'"
    on_jax = card.again(SimpleNamespace(recipe=recipe, result={"environment": {"backend": "jax"}}))
    assert on_jax == f"{made} --backend jax"
    assert "kerasdl calibrate RUN" in card.again(SimpleNamespace(recipe=recipe, result={"calibrated": {}}))


def test_every_objective_has_the_task_that_hubs_know(tmp_path):
    kinds = {"row": "tabular", "image": "image", "tokens": "text"}
    wanted = {("language", "tokens"): "text-generation", ("adversarial", "image"): "unconditional-image-generation",
              ("masked", "tokens"): "feature-extraction", ("mae", "image"): "image-feature-extraction",
              ("reconstruct", "image"): "image-to-image",
              ("tag", "tokens"): "token-classification", ("regress", "row"): "tabular-regression",
              ("regress", "image"): None, ("classify", "sequence"): None}
    for name in ("classify", "multilabel", "distill"):
        wanted |= {(name, kind): f"{of}-classification" for kind, of in kinds.items()}
    for (name, kind), tag in wanted.items():
        made = object.__new__(objectives.get(name))  # without a recipe
        assert task.pipeline_tag(made, {"kind": kind, "shape": [1]}) == tag, (name, kind)
    sound = {"kind": "sequence", "shape": [1], "reading": {"source": "audio"}}
    assert task.pipeline_tag(object.__new__(objectives.get("classify")), sound) == "audio-classification"

    class Own(Objective):
        predicts, target = True, "number"

    assert task.pipeline_tag(object.__new__(Own), {"kind": "row", "shape": 3}) == "tabular-regression"


def test_the_command_writes_the_card(command, run, refused, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    done = command("card", run.path, "--json")
    assert done.code == 0 and json.loads(done.out) == {"card": str(run.path / "README.md")}
    assert (run.path / "README.md").read_text() == card.model_card(run)
    refused("card", run.path, "--push", "me/digits", words=["token", "hf auth login", "HF_TOKEN"])
    refused("card", run.path, "--push", "digits", words=["OWNER/NAME"])
    refused("card", run.path, "--license", "my own", words=["--license", "my own"])
    refused("card", run.path, "--public", words=["--push"])
    done = command("card", run.path, "--push", "me/digits", "--dry-run", "--json")  # needs no token
    assert "model.keras" in json.loads(done.out)["files"] and "predictions.npz" not in json.loads(done.out)["files"]
    write_json(run.path / "result.json", run.result | {"status": "diverged"})
    refused("card", run.path, words=["diverged", "completed run"])


# A small server in the place of Hugging Face: what it was asked, and what it holds

class Hub(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        size = int(self.headers.get("Content-Length") or 0)
        asked = self.rfile.read(size)
        self.server.asked.append((self.path, asked))
        if self.path == "/api/repos/create":
            self.answer({"url": "https://huggingface.co/me/digits", "id": "me/digits"})
        elif "/preupload/" in self.path:
            self.answer({"files": [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                                   for one in json.loads(asked)["files"]]})
        elif "/commit/" in self.path:
            self.answer({"success": True, "commitOid": "abc", "commitUrl": "https://huggingface.co/me/digits/commit/abc",
                         "commitTitle": "x"})
        else:
            self.answer({})

    def do_GET(self):
        self.server.asked.append((self.path, b""))
        if "/tree/" in self.path:
            self.answer([{"type": "file", "path": name, "size": 1, "oid": "0"} for name in self.server.files])
            return
        self.answer({"id": "me/digits", "private": self.server.private, "sha": "0", "siblings": [], "tags": [],
                     "downloads": 0, "likes": 0})

    def answer(self, found):
        content = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def is_private(asked):
    """Whether a request makes a private repository; versions of huggingface-hub write it in two ways."""
    wanted = json.loads(asked)
    return wanted.get("private") is True or wanted.get("visibility") == "private"


@pytest.fixture
def hub(monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.asked, server.private, server.files = [], True, [".gitattributes"]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        made = huggingface_hub.HfApi
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda **given: made(endpoint=address, token="hf_x", **given))
        monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_x")
        yield server
        server.shutdown()


def test_all_files_go_in_one_private_commit(command, run, hub):
    (run.path / "code").mkdir()
    (run.path / "code" / "net.py").write_text("def build(): ...\n")
    done = command("card", run.path, "--push", "me/digits", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["commit"] == "https://huggingface.co/me/digits/commit/abc"
    paths = [path.partition("?")[0] for path, _ in hub.asked]
    assert paths[0] == "/api/repos/create" and sum("/commit/" in path for path in paths) == 1
    assert is_private(hub.asked[0][1])
    lines = [json.loads(line) for path, asked in hub.asked if "/commit/" in path for line in asked.splitlines()]
    sent = {line["value"]["path"] for line in lines if line["key"] == "file"}
    assert sent == {"README.md", "model.keras", "recipe.json", "data.json", "result.json", "code/net.py"}


def test_the_commit_removes_what_is_left_of_another_run(run, hub):
    hub.files = [".gitattributes", "README.md", "model.keras", "choice.json", "code/old.py", "export/onnx/export.json",
                 "notes.md", "examples/choice.json"]
    push.push(push.contents(run, "x"), "me/digits")
    lines = [json.loads(line) for path, asked in hub.asked if "/commit/" in path for line in asked.splitlines()]
    removed = {line["value"]["path"] for line in lines if line["key"] == "deletedFile"}
    assert removed == {"choice.json", "code/old.py", "export/onnx/export.json"}


def test_what_is_public_is_only_written_to_if_the_user_says_so(run, hub):
    hub.private = False
    with pytest.raises(UserError, match="is there and public. Add --public"):
        push.push({"README.md": b"x"}, "me/digits")
    assert not any("/commit/" in path for path, _ in hub.asked)
    assert push.push({"README.md": b"x"}, "me/digits", public=True)["public"]
    assert [is_private(asked) for path, asked in hub.asked if path == "/api/repos/create"] == [True, False]


def test_a_private_repository_stays_private_and_is_called_so(command, run, hub):
    done = command("card", run.path, "--push", "me/digits", "--public")
    assert done.code == 0 and "/abc, private" in done.out and "me/digits was there and is private" in done.out
    assert not json.loads(command("card", run.path, "--push", "me/digits", "--public", "--json").out)["public"]


def test_without_a_network_one_line_says_so(run, monkeypatch):
    made = huggingface_hub.HfApi
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda **given: made(endpoint="http://127.0.0.1:9", **given))
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_x")
    with pytest.raises(UserError, match="cannot be reached .* Nothing was uploaded"):
        push.push({"README.md": b"x"}, "me/digits")
