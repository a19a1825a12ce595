"""`kerasdl serve`: answers are those of `kerasdl predict`, and whatever is sent, the server answers the next one."""

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
import zoo_harness as harness
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from serving_harness import client, exported, flat, line, png, same

from kerasdl import data
from kerasdl.compression.quantize_aware import quantize_aware
from kerasdl.data import images, resize
from kerasdl.deploy import exporting
from kerasdl.deploy.serving import app
from kerasdl.deploy.serving.inputs import Inputs
from kerasdl.deploy.serving.limits import Limits
from kerasdl.deploy.serving.served import Served
from kerasdl.errors import UserError
from kerasdl.evaluation.predict import predict
from kerasdl.files import write_json
from kerasdl.hub import push
from kerasdl.run import Run

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (8, 8), "uint8")
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def digits(folder):
    return exported(folder / "digits", model="cnn", model_args={"size": "mu"}, data="digits")


@pytest.fixture(scope="module")
def people(folder):
    """Rows with a date, a category, numbers that may be missing, and a truth."""
    frame = pd.DataFrame({"age": RNG.integers(18, 80, 60), "height": RNG.normal(170, 10, 60).round(1),
                          "city": RNG.choice(["Bern", "Oslo", "Rome"], 60), "smoker": RNG.choice([True, False], 60),
                          "joined": [f"2024-{1 + day % 12:02}-{1 + day % 28:02}" for day in range(60)],
                          "risk": RNG.choice(["high", "low"], 60)})
    frame.loc[::7, "height"] = np.nan
    frame.to_csv(folder / "people.csv", index=False)
    return exported(folder / "people", model="mlp", model_args={"size": "mu"}, data=f"csv:{folder / 'people.csv'}",
                    data_args={"label": "risk", "fill": "median", "dates": ["joined"]})


@pytest.fixture(scope="module")
def reviews(folder):
    pytest.importorskip("tokenizers")
    (folder / "texts").mkdir()
    for name, words in (("bad", "dull flat slow film"), ("good", "bright warm quick film")):
        lines = [" ".join(RNG.choice(words.split(), 4)) for _ in range(30)]
        (folder / "texts" / f"{name}.txt").write_text("\n".join(lines))
    return exported(folder / "reviews", model="conv1d", model_args={"size": "mu"}, data=f"text:{folder / 'texts'}",
                    data_args={"length": 6, "tokens": "bpe"})


@pytest.fixture(scope="module")
def server(digits):
    with client(digits, resize=True, limits=Limits(megabytes=2, examples=20, megapixels=1, seconds=20)) as made:
        yield made


# Answers

def files(tmp_path):
    """Images as people have them: grey, colour, transparent, turned by EXIF, of another size, and of few colours."""
    colour = RNG.integers(0, 256, (30, 17, 3), "uint8")
    turned = Image.Exif()
    turned[images.ORIENTATION] = 6
    given = {"grey.png": png(PIXELS), "colour.png": png(colour), "small.png": png(PIXELS[:5, :3]),
             "clear.png": png(RNG.integers(0, 256, (9, 9, 4), "uint8")),
             "turned.jpg": png(colour, format="JPEG", exif=turned), "plain.jpg": png(colour, format="JPEG"),
             "few.gif": png(Image.fromarray(colour).quantize(8), format="GIF")}
    for name, content in given.items():
        (tmp_path / name).write_bytes(content)
    return given


def test_images_are_answered_as_predict_does(server, digits, tmp_path):
    given = files(tmp_path)
    wanted = predict(digits, [tmp_path / name for name in given], resize=True, top=4)
    found = server.post("/predict?top=4", files=[("file", item) for item in given.items()])
    same(found, wanted)
    assert [each["example"] for each in found.json()["predictions"]] == list(given)
    for (name, content), one in zip(given.items(), wanted, strict=True):
        same(server.post("/predict?top=4", content=content, headers={"Content-Type": f"image/{name[-3:]}"}), [one])


def test_files_of_a_form_have_as_many_examples_together_as_one_request_may(people):
    rows = [",".join(people.data["columns"])] + [",".join("1" if values is None else values[0] for values in
                                                          people.data["columns"].values())] * 3
    form = [("file", (f"{number}.csv", "\n".join(rows))) for number in range(4)]
    with client(people, limits=Limits(examples=10)) as made:
        assert made.post("/predict", files=form[:3]).status_code == 200
        found = made.post("/predict", files=form)
        assert found.status_code == 413, found.text


def test_arrays_are_answered_as_predict_does(server, digits):
    x = harness.pictures(5)
    wanted, file = predict(digits, x), io.BytesIO()
    np.save(file, np.asfortranarray(x))
    same(server.post("/predict", json={"instances": x.tolist()}), wanted)
    same(server.post("/predict", content=file.getvalue(), headers={"Content-Type": "application/x-npy"}), wanted)


@pytest.mark.parametrize("kind", ["int64", "float32"])
def test_a_dark_image_is_judged_as_predict_does(server, digits, kind):
    """Whole numbers 0 and 1 may be a dark image; floats are one that was divided by 255."""
    x = np.eye(8, dtype=kind)[None, ..., None]
    found = [server.post("/predict", json={"instances": x.tolist()}),
             server.post("/predict", content=npy(x), headers={"Content-Type": "application/x-npy"})]
    if kind == "int64":
        for one in found:
            same(one, predict(digits, x))
        return
    with pytest.raises(UserError, match="lies in 0..1"):
        predict(digits, x)
    assert all("lies in 0..1: multiply it by 255" in line(one, 422) for one in found)


def test_rows_are_answered_as_predict_does(people, folder, tmp_path):
    """Also where a value is missing, a number is written as text, and a column that nobody needs is there."""
    text = "age,height,city,smoker,joined,more\n40,,Rome,True,2024-02-03,x\n33.5,180,Bern,false,2024-11-30 08:15,\n"
    (tmp_path / "rows.csv").write_text(text)
    wanted = predict(people, [tmp_path / "rows.csv"])
    rows = [{"age": 40, "height": None, "city": "Rome", "smoker": True, "joined": "2024-02-03", "more": [1]},
            {"smoker": False, "age": "33.5", "height": 180, "city": "Bern", "joined": "2024-11-30 08:15"}]
    with client(people) as made:
        columns = list(made.get("/model").json()["columns"])
        assert columns == ["age", "height", "city", "smoker", "joined"]
        same(made.post("/predict", json={"rows": rows}), wanted)
        same(made.post("/predict", json={"rows": [[row[name] for name in columns] for row in rows]}), wanted)
        found = made.post("/predict", content=text, headers={"Content-Type": "text/csv; charset=utf-8"})
        same(found, wanted)
        assert found.json()["predictions"][1]["example"] == "the file:3"
        for row, words in (({"city": "Paris"}, "'Paris' that the training data has not"), ({"city": None}, "missing"),
                           ({"age": "old"}, "holds numbers, and has 'old'"), ({"age": {"a": 1}}, "A value of a row"),
                           ({"joined": "soon"}, "dates")):
            refused = made.post("/predict", json={"rows": [rows[0], rows[1] | row]})
            assert words in line(refused, 422) and str(tmp_path.parent) not in refused.text
        assert "'age', 'joined' are missing" in line(made.post("/predict", json={"rows": [
            {"height": 1, "city": "Rome", "smoker": True}]}), 422)
        assert "5 values: age, height" in line(made.post("/predict", json={"rows": [[1, 2]]}), 422)
        assert "1e999" not in line(made.post("/predict", headers=JSON, content=json.dumps(
            {"rows": [rows[0]]}).replace("40", "1e999")), 422)
    with client(people, unknown="missing") as made:
        assert made.post("/predict", json={"rows": [rows[0] | {"city": "Paris"}]}).status_code == 200


def test_what_makes_an_input_of_a_row_travels_with_the_file(people):
    facts = json.loads((people.path / "export" / "onnx" / "export.json").read_text())
    assert all(facts[key] == people.data[key] for key in ("columns", "medians", "reading"))
    assert facts["columns"]["city"] == ["Bern", "Oslo", "Rome"] and facts["medians"]["height"] > 100
    with client(people) as made:
        assert made.get("/model").json()["input"] == "a value for each of `columns`"


def test_rows_of_a_table_without_a_header_are_sent_by_its_numbers(folder):
    frame = pd.DataFrame({"kind": RNG.choice(["a", "b"], 60), "x": RNG.normal(size=60), "y": RNG.normal(size=60)})
    frame.to_csv(folder / "bare.csv", index=False, header=False, sep=";", decimal=",")
    run = exported(folder / "bare", model="linear", data=f"csv:{folder / 'bare.csv'}", data_args={
        "label": "0", "header": False, "sep": ";", "decimal": ",", "skiprows": 1})
    with client(run) as made:
        about = made.get("/model").json()
        assert list(about["columns"]) == ["1", "2"] and about["separator"] == ";"
        asked = ([{"1": 0.5, "2": 1.5}], [[0.5, 1.5]], [{"1": "0,5", "2": "1,5"}])
        one, *others = (made.post("/predict", json={"rows": rows}) for rows in asked)
        assert one.status_code == 200 and all(other.json() == one.json() for other in others)


def test_the_page_separates_fields_as_the_file_of_the_training_does(people, monkeypatch):
    monkeypatch.setattr(Run, "recipe", people.recipe.override(data="csv:rows.tsv"))
    served = Served.find(people, people.path / "export" / "onnx")
    assert app.about(served, Inputs(people.data, Limits()), Limits())["separator"] == "\t"


def test_an_array_that_unpacks_is_no_array(people):
    with client(people) as made:
        found = made.post("/predict", content=npz(), headers={"Content-Type": "application/x-npy"})
        assert "does not load" in line(found, 400)


def test_texts_are_answered_as_predict_does(reviews, tmp_path):
    some = ["a dull film", "Bright, warm and QUICK film with many more words", "unseen"]
    (tmp_path / "some.txt").write_text("\n".join(some))
    wanted = predict(reviews, [tmp_path / "some.txt"])
    with client(reviews) as made:
        same(made.post("/predict", json={"texts": some}), wanted)
        same(made.post("/predict", files={"file": ("some.txt", "\n".join(some))}), wanted)
        same(made.post("/predict", json={"texts": [f" \t{text}\n" for text in some]}), wanted)
        assert "text 1 is empty" in line(made.post("/predict", json={"texts": ["a", " "]}), 422)
        assert "list of strings" in line(made.post("/predict", json={"texts": [1]}), 422)
        assert "whole numbers" in line(made.post("/predict", json={"instances": [[9999] * 6]}), 422)
        assert "takes texts" in line(made.post("/predict", content=png(PIXELS), headers={
            "Content-Type": "image/png"}), 415)


def test_series_of_any_length_are_answered_as_predict_does(folder, tmp_path):
    x = RNG.normal(size=(40, 9, 2)).astype("float32")
    x[::3, 6:] = np.nan
    np.savez(folder / "series.npz", x=x, y=np.arange(40) % 2)
    run = exported(folder / "series", model="conv1d", model_args={"size": "mu"}, data=f"series:{folder / 'series.npz'}",
                   data_args={"fill": "interpolate"})
    np.savez(tmp_path / "asked.npz", x=x[:4])
    gap, long = x[1].tolist(), [[0.0, 1.0]] * 10
    gap[2] = [None, 1.0]
    with client(run) as made:
        wanted = predict(run, [tmp_path / "asked.npz"])
        same(made.post("/predict", json={"instances": [one[:6 if not place % 3 else 9].tolist()
                                                       for place, one in enumerate(x[:4])]}), wanted)
        file = io.BytesIO()
        np.save(file, x[:4])
        same(made.post("/predict", content=file.getvalue(), headers={"Content-Type": "application/x-npy"}), wanted)
        assert made.post("/predict", json={"instances": [gap]}).status_code == 200  # filled as in training
        assert "10 steps" in line(made.post("/predict", json={"instances": [long]}), 422)
        assert "of 2 values" in line(made.post("/predict", json={"instances": [[1.0, 2.0]]}), 422)
        assert "no array" in line(made.post("/predict", json={"instances": [[["a", 1]]]}), 422)


@pytest.mark.parametrize("fit", [images.Fit(), images.Fit(0.8), images.Fit(None, "bicubic"),
                                 images.Fit(1.0, "bicubic")])
def test_images_are_resized_bit_for_bit_as_tensorflow_does(fit):
    for shape, side in (((7, 5, 3), 1), ((6, 9, 1), 3), ((12, 12, 3), 3)):
        for _ in range(4):
            image = RNG.integers(0, 256, (*RNG.integers(1, 60, 2), side), "uint8")
            np.testing.assert_array_equal(resize.fitted(image, shape, fit), images.fitted(image, shape, fit))


def test_every_colour_becomes_the_same_grey():
    colours = np.arange(0, 2**24, 7, "uint32").view("uint8").reshape(-1, 1, 4)[..., :3]
    np.testing.assert_array_equal(resize.grey(colours), images.conform(colours, (*colours.shape[:2], 1), None).numpy())


# Requests that are refused

def bomb(side):
    """Return a small file of many pixels."""
    return png(Image.new("1", (side, side)))


def npy(array, shape=None):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue() if shape is None else file.getvalue().replace(b"(1, 8, 8, 1)", shape)


def npz():
    """Return an .npz, whose content may unpack to any size."""
    file = io.BytesIO()
    np.savez_compressed(file, x=np.zeros(1000))
    return file.getvalue()


ONE = np.zeros((1, 8, 8, 1), "float32")
BAD = {
    "a wide image": (413, {"content": lambda: png(Image.new("1", (900_000, 1))), "headers": {
        "Content-Type": "image/png"}}, "while it is resized"),
    "an array that unpacks": (422, {"content": npz, "headers": {"Content-Type": "application/x-npy"}},
                              "does not decode"),
    "half an array": (400, {"content": lambda: npy(ONE)[:20], "headers": {"Content-Type": "application/x-npy"}},
                      "does not load"),
    "bomb": (413, {"content": lambda: bomb(3000), "headers": {"Content-Type": "image/png"}}, "3000x3000 pixels"),
    "a bomb for Pillow": (413, {"content": lambda: bomb(15_000), "headers": {"Content-Type": "image/png"}}, "million"),
    "40 MB": (413, {"content": lambda: b"x" * 40_000_000, "headers": {"Content-Type": "image/png"}}, "2 MB"),
    "40 MB, undeclared": (413, {"content": lambda: (b"x" * 1_000_000 for _ in range(40)), "headers": JSON}, "2 MB"),
    "type": (415, {"content": b"x", "headers": {"Content-Type": "application/x-tar"}}, "Send one of these types"),
    "no type": (415, {"content": b"x"}, "no Content-Type"),
    "empty": (400, {"content": b"", "headers": JSON}, "no body"),
    "no examples": (422, {"json": {"instances": []}}, "no examples"),
    "NaN": (400, {"content": b'{"instances": [[[[NaN]]]]}', "headers": JSON}, "NaN is no number of JSON"),
    "infinity": (422, {"json": {"instances": np.full((1, 8, 8, 1), 1e300).tolist()}}, "infinite"),
    "NaN in an array": (422, {"content": lambda: npy(ONE * np.nan), "headers": {"Content-Type": "application/x-npy"}},
                        "infinite, missing"),
    "no JSON": (400, {"content": b'{"instances": [', "headers": JSON}, "no JSON"),
    "deep JSON": (400, {"content": b"[" * 100_000, "headers": JSON}, "JSON"),
    "other JSON": (422, {"json": {"image": "/etc/passwd"}}, "one of rows, texts, instances"),
    "ragged": (422, {"json": {"instances": [[1], [1, 2]]}}, "shape (N, 8, 8, 1)"),
    "texts in an array": (422, {"json": {"instances": [[[["a"]]]]}}, "shape (N, 8, 8, 1)"),
    "shape": (422, {"json": {"instances": [[1, 2]]}}, "Received: (1, 2)"),
    "too many": (413, {"json": {"instances": np.zeros((21, 8, 8, 1)).tolist()}}, "may hold 20 examples"),
    "0..1": (422, {"json": {"instances": (ONE + 0.5).tolist()}}, "0..255"),
    "above 255": (422, {"json": {"instances": (ONE + 256).tolist()}}, "outside 0..255"),
    "below 0": (422, {"json": {"instances": (ONE - 1).astype(int).tolist()}}, "outside 0..255"),
    "objects": (422, {"content": lambda: npy(np.array([{}])), "headers": {"Content-Type": "application/x-npy"}},
                "Expected numbers"),
    "an array that claims to be large": (400, {"content": lambda: npy(ONE, b"(10000000000,)"), "headers": {
        "Content-Type": "application/octet-stream"}}, "does not load"),
    "no image": (422, {"content": b"GIF89a", "headers": {"Content-Type": "image/gif"}}, "does not decode"),
    "a program for Pillow": (422, {"content": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "headers": {
        "Content-Type": "image/png"}}, "does not decode"),
    "path as a name": (422, {"files": {"file": ("../../../etc/passwd", b"x")}}, "passwd does not decode"),
    "no file": (422, {"files": {"file": (None, b"x")}}, "no file"),
    "half a form": (422, {"content": b"--b\r\nContent", "headers": {
        "Content-Type": "multipart/form-data; boundary=b"}}, "form"),
    "no boundary": (400, {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, "form"),
    "rows for images": (422, {"json": {"rows": [{"a": 1}]}}, "takes images"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_gets_a_line_and_the_next_one_its_answer(server, name):
    status, request, words = BAD[name]
    request = {key: value() if callable(value) else value for key, value in request.items()}
    found = line(server.post("/predict", **request), status)
    assert words in found and "/tmp" not in found
    assert server.post("/predict", json={"instances": ONE.tolist()}).status_code == 200


@pytest.mark.parametrize("top", ["0", "-1", "x", "", "1.5"])
def test_top_is_a_number(server, top):
    assert "top" in line(server.post(f"/predict?top={top}", content=b"x"), 422)
    found = server.post("/predict?top=" + "9" * 99, json={"instances": ONE.tolist()})
    assert len(flat(found.json()["predictions"])[0]) == 10


@pytest.mark.parametrize("path", ["/report/../recipe.json", "/report/%2e%2e/recipe.json", "/recipe.json",
                                  "/..%2f..%2fetc/passwd", "//etc/passwd", "/report?file=recipe.json/../x",
                                  "/static/page.html", "/model.keras"])
def test_paths_lead_nowhere(server, path):
    found = server.get(path)
    assert found.status_code == 404 and "error" in found.json() or found.headers["content-type"] == "text/html"


def test_the_report_is_that_of_the_run_and_nothing_else(server, digits, tmp_path):
    report = digits.path / "report.html"
    assert "kerasdl report" in line(server.get("/report"), 404)
    try:
        report.write_text("<p>the report")
        assert server.get("/report").text == "<p>the report" and server.get("/model").json()["report"]
        report.unlink()
        (tmp_path / "secret").write_text("secret")
        report.symlink_to(tmp_path / "secret")
        assert "secret" not in server.get("/report").text
    finally:
        report.unlink()


def test_other_methods_and_pages(server):
    assert "takes" in line(server.get("/predict"), 405)
    assert server.get("/healthz").json() == {"status": "ok"}
    page = server.get("/")
    assert page.headers["content-type"].startswith("text/html") and not re.search("https?://", page.text)
    assert "/predict" in server.get("/openapi.json").json()["paths"]
    assert server.get("/docs").status_code == 404  # which would load its scripts from elsewhere


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/model", "/openapi.json"])
def test_monitors_ask_by_head(server, path):
    assert server.head(path).status_code == 200 and server.head("/predict").status_code == 405
    assert "head" not in server.get("/openapi.json").json()["paths"].get(path, {})


def test_no_answer_leads_out_of_a_proxy_s_prefix(server):
    assert server.get("/healthz/", follow_redirects=False).status_code == 404


def test_metrics_are_read_by_prometheus_and_do_not_grow_with_paths(server):
    for path in ("/a", "/b"):
        server.get(path)
    server.post("/predict", json={"instances": ONE.tolist()})
    families = {family.name: family for family in text_string_to_metric_families(server.get("/metrics").text)}
    requests = {tuple(sample.labels.values()): sample.value for sample in families["kerasdl_requests"].samples
                if sample.name.endswith("total")}
    assert requests["/predict", "200"] >= 1 and requests["other", "404"] >= 2
    assert {path for path, _ in requests} <= {"/predict", "/healthz", "/metrics", "/model", "/report", "/", "other",
                                              "/openapi.json"}
    assert families["kerasdl_batch_examples"].samples and families["kerasdl_waiting_examples"].samples[0].value == 0


# What is served

def test_other_runs_and_damaged_files_are_refused(refused, digits, people, folder, tmp_path):
    refused("serve", digits.path, "--file", people.path / "export" / "onnx", words=["of another run"])
    refused("serve", digits.path, "--file", tmp_path, words=["no export.json", "kerasdl export"])
    facts = json.loads((digits.path / "export" / "onnx" / "export.json").read_text())
    shutil.copytree(digits.path / "export" / "onnx", tmp_path / "of_another")
    (tmp_path / "of_another" / "export.json").write_text(json.dumps(facts | {"run_data_sha256": "0" * 64}))
    refused("serve", digits.path, "--file", tmp_path / "of_another", words=["whose data is not that of"])
    (tmp_path / "of_another" / "export.json").write_text(json.dumps(facts | {"run_model_sha256": "0" * 64}))
    refused("serve", digits.path, "--file", tmp_path / "of_another", words=["whose model.keras is not that of"])
    (tmp_path / "of_another" / "export.json").write_text(json.dumps(facts | {"format": "openvino", "file": "model"}))
    refused("serve", digits.path, "--file", tmp_path / "of_another", words=["litert and onnx", "as openvino"])
    for damaged in (json.dumps(facts)[:-9], "{}", "[]"):
        (tmp_path / "of_another" / "export.json").write_text(damaged)
        refused("serve", digits.path, "--file", tmp_path / "of_another", words=["export.json is damaged", "again"])
    refused("serve", tmp_path, words=["not a run"])
    other = exported(tmp_path / "other", model="linear", data="digits")
    file = other.path / "export" / "onnx" / "model.onnx"
    write_json(file.with_name("export.json"), json.loads(file.with_name("export.json").read_text()) | {
        "run_model_sha256": exporting.digest(other.model_file)})
    assert Served.find(other, file.parent).file == file
    (other.path / "model.keras").unlink()  # as in a container
    assert Served.find(other, file.parent).file == file
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    refused("serve", other.path, words=["SHA-256"])
    recipe = other.path / "recipe.json"
    recipe.write_text(recipe.read_text().replace('"classify"', '"mae"'))
    refused("serve", other.path, words=["objective=mae makes no predictions"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused("serve", digits.path, "--port", port, words=[f"127.0.0.1:{port}", "--port"])


def test_a_run_from_hugging_face_is_served_with_its_export_and_report(digits, tmp_path):
    """It comes without the folder of its training, as links to files elsewhere in the cache."""
    run = Run(shutil.copytree(digits.path, tmp_path / "run"))
    write_json(run.path / "data.json", run.data | {"folder": "/home/me", "remarks": ["2 images are in two splits."]})
    exports = run.path / "export" / "onnx"
    write_json(exports / "export.json", json.loads((exports / "export.json").read_text()) | {
        "run_data_sha256": run.data_digest, "run_data": "as it was counted before"})
    (run.path / "report.html").write_text("<p>the report")
    write_json(run.path / "result.json", {"status": "completed"})
    blobs, snapshot = tmp_path / "cache" / "blobs", tmp_path / "cache" / "snapshots" / "d3adbeef"
    blobs.mkdir(parents=True)
    for number, (name, held) in enumerate(push.contents(run, "a card").items()):
        (blobs / str(number)).write_bytes(held if isinstance(held, bytes) else held.read_bytes())
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(blobs / str(number))
    found = Served.find(Run(snapshot), snapshot / "export" / "onnx")
    assert app.report_of(found).read_text() == "<p>the report"
    (snapshot / "report.html").unlink()
    (snapshot / "report.html").symlink_to(tmp_path / "run" / "report.html")
    assert app.report_of(found) is None


def test_a_run_without_a_file_is_exported_first(digits, monkeypatch, tmp_path):
    """By a process of its own, whose mistake is this command's."""
    from kerasdl.cli import serve

    asked = []

    def made(words, env, **_):
        asked.append((words[1:], env["KERAS_BACKEND"]))
        return subprocess.CompletedProcess(words, 2, "", "warning: x\nkerasdl: No file was written: why.\n")

    monkeypatch.setattr(subprocess, "run", made)
    files = {name: tmp_path / f"{name}.keras" for name in ("plain", "rounds")}
    rounding = ["litert", "--quantize", "int8"]
    network = harness.in_a_row()
    network.save(files["plain"])
    quantize_aware(network, "int8", np.zeros((4, 8, 8, 1), "float32")).save(files["rounds"])
    for number, (file, quantize, form) in enumerate(((None, None, ["onnx"]), (None, "int8", rounding),
                                                     ("plain", None, ["onnx"]), ("rounds", None, rounding))):
        init = str(files[file]) if file else ""  # of a model that rounds, the layers go on as they are
        run = Run.create(digits.recipe.override(quantize=quantize, init=init), tmp_path / str(number))
        if file:
            shutil.copyfile(files[file], run.path / "model.keras")
        with pytest.raises(UserError, match="^No file was written: why.$"):
            serve.exported(run)
        words = ["-P", "-m", "kerasdl", "export", str(run.path), "--format", *form, "--json"]
        assert asked.pop() == (words, "tensorflow")
        folder = run.path / "export" / "-".join(form[::2])

        def late(*args, folder=folder, **kwargs):
            folder.mkdir(parents=True)
            (folder / "export.json").touch()
            return made(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "run", late)
            assert serve.exported(run) == folder, "of another server that began at the same time"
        asked.clear()


CHILD = """if True:
    import sys
    sys.modules |= {"tensorflow": None, "jax": None}  # as if they were not installed
    from kerasdl.cli import main
    try:
        main()
    except SystemExit as stop:
        sys.exit("imported Keras" if "keras" in sys.modules else stop.code)
"""


def post(connection, path, body, kind="application/json", more=b""):
    """Send a request over a socket without its last bytes `more`."""
    size = len(body) + len(more)
    connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n"
                       .encode() + body)


def test_a_process_without_tensorflow_answers_and_stops_gracefully(digits, people, tmp_path):
    """A request that has begun when SIGTERM comes is answered; then the process ends with 0."""
    table = tmp_path / "rows.csv"
    table.write_text("age,height,city,smoker,joined\n40,,Rome,True,2024-02-03\n")
    for run, body, kind in ((digits, png(PIXELS), "image/png"), (people, table.read_bytes(), "text/csv")):
        process = subprocess.Popen([sys.executable, "-c", CHILD, "serve", str(run.path), "--port", "0", "--json"],
                                   stdout=subprocess.PIPE, text=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
        try:
            address = json.JSONDecoder().raw_decode(until(process.stdout, "}\n"))[0]["address"]
            host, port = address.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port)), timeout=60) as connection:
                post(connection, "/predict", body[:-3], kind, more=body[-3:])
                with socket.create_connection((host, int(port)), timeout=60) as other:
                    other.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                    assert b"200 OK" in other.recv(4096)
                process.send_signal(signal.SIGTERM)
                connection.sendall(body[-3:])
                found = connection.makefile("rb").read()
            assert b" 200 OK" in found and b'"predictions"' in found
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()


def until(stream, end):
    text = ""
    while not text.endswith(end):
        part = stream.readline()
        assert part, text
        text += part
    return text


def test_an_answer_that_takes_too_long_is_given_up(digits, monkeypatch):
    free = threading.Event()
    with client(digits, limits=Limits(seconds=0.05)) as made:
        batcher = made.app.state.batcher
        call, batcher.call = batcher.call, lambda x: free.wait() and None
        assert "0.05 seconds" in line(made.post("/predict", json={"instances": ONE.tolist()}), 504)
        batcher.call = call
        free.set()


@pytest.mark.soak
def test_litert_serves_as_well(folder):
    pytest.importorskip("ai_edge_litert")
    run = exported(folder / "litert", "litert", model="cnn", model_args={"size": "mu"}, data="digits")
    x = data.load("digits", "val").x[:70]
    with client(run, "litert") as made:
        same(made.post("/predict", json={"instances": x.tolist()}), predict(run, x))
        assert len(flat(made.post("/predict", json={"instances": x[:1].tolist()}).json()["predictions"])) == 1
