"""`kerasdl export --format web`: the page answers as `kerasdl predict` does, tried in Chromium."""

import functools
import http.server
import json
import queue
import shutil
import subprocess
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
import zoo_harness as harness
from PIL import Image

from kerasdl import data, objectives, zoo
from kerasdl.data import images, row_chunks
from kerasdl.data.table_file import MISSING_WORDS, Dialect
from kerasdl.deploy import exporting, formats, measure
from kerasdl.deploy.web import facts, runtime
from kerasdl.errors import UserError
from kerasdl.evaluation.predict import predict
from kerasdl.files import write_json
from kerasdl.recipe import Recipe
from kerasdl.run import Run

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
RANDOM = np.random.default_rng(0)
SECONDS = 120  # for all of the browser's answers
FITS = [((8, 8, 1), None), ((32, 24, 3), None), ((64, 90, 3), None),
        ((28, 28, 3), {"crop": 0.875, "interpolation": "bicubic"}),
        ((20, 20, 1), {"crop": 1.0, "interpolation": "bilinear"})]


def made(folder, model, target=None, **facts_of_data):
    """A finished run, as far as an export looks at it."""
    objective = {"number": "regress"}.get(target, "classify")
    run = Run.create(Recipe(model="cnn", data="digits", objective=objective), folder)
    model.save(run.path / "model.keras")
    write_json(run.path / "data.json", facts_of_data)
    return run


def exported(run, x, model_file=None):
    """Make the folder of the page, without the comparison, which tests/test_deploy.py tests."""
    form, model, objective = formats.find("web"), run.model(), objectives.of(run.recipe, run.path)
    path = run.path / "web"
    form.check(run, objective, model)
    if model_file:
        path.mkdir()
        shutil.copyfile(model_file, path / "model.onnx")
    else:
        form.write(model, str(path), None, x)
    about = exporting.about(run, objective, model)
    form.accompany(str(path), run, objective, about | {"scores": {"accuracy": {"file": 0.5}}, "examples": len(x)}, x)


@pytest.fixture(scope="module")
def package():
    try:
        return runtime.fetch()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def runs(tmp_path_factory, package):
    """A run of grey images, one of colours, one of rows and the same of arrays, each with its page."""
    pytest.importorskip("onnxruntime")
    root, names = tmp_path_factory.mktemp("runs"), [str(digit) for digit in range(10)]
    colours = {"kind": "image", "shape": [28, 28, 3], "classes": ["a", "b", "c"],
               "reading": {"fit": {"crop": 0.875, "interpolation": "bicubic"}}}
    digits = harness.randomise(zoo.build("cnn", (8, 8, 1), 10, size="mu"))
    linear = harness.randomise(keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)]))
    columns = {"2": None, "1": ["7", "red", "(missing)"], "size, mm": None}
    rows = {"kind": "row", "shape": 5, "classes": [], "columns": columns, "medians": {"2": 1.5},
            "reading": {"offsets": {"size, mm": 1000.0}}}
    found = {
        "digits": (made(root / "digits", digits, kind="image", shape=[8, 8, 1], classes=names),
                   np.pad(RANDOM.integers(0, 256, (20, 8, 4, 1)), ((0, 0), (0, 0), (2, 2), (0, 0)))),
        "colours": (made(root / "colours", keras.Sequential([
            keras.Input((28, 28, 3)), keras.layers.Rescaling(1 / 255), keras.layers.AveragePooling2D(14),
            keras.layers.Flatten(), keras.layers.Dense(3)]), **colours), np.zeros((4, 28, 28, 3))),
        "rows": (made(root / "rows", linear, "number", **rows), np.eye(5)),
        "arrays": (made(root / "arrays", linear, "number", **rows | {"columns": {}, "reading": {}}), np.eye(5))}
    for name, (run, x) in found.items():
        exported(run, x.astype("float32"), root / "rows" / "web" / "model.onnx" if name == "arrays" else None)
    return {name: run for name, (run, _) in found.items()}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Image files of every kind that a visitor may have: {name: path}."""
    folder = tmp_path_factory.mktemp("files")
    smooth = np.kron(RANDOM.integers(0, 256, (6, 8, 4)), np.ones((9, 11, 1))).astype("uint8")
    turned = Image.Exif()
    turned[images.ORIENTATION] = 6
    Image.fromarray(smooth[..., :3]).save(folder / "colour.png")
    Image.fromarray(smooth[..., 0]).save(folder / "grey.png")
    Image.fromarray(smooth[..., :3]).save(folder / "turned.jpg", exif=turned, quality=95)
    Image.fromarray(smooth).save(folder / "clear.png")
    Image.fromarray(smooth[..., :3]).quantize(16).save(folder / "palette.png")
    Image.fromarray(smooth[:8, :8, 0]).save(folder / "small.png")
    white = np.full((9, 9, 4), 255, "uint8")
    white[2:5, :, 3] = 0
    Image.fromarray(white).save(folder / "white.png")
    Image.fromarray(np.full((9, 9), 40_000, "uint16")).save(folder / "deep.png")
    return {path.name: path for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def found(runs, files, tmp_path_factory):
    """What the pages answered in a browser."""
    if not (browser := next(filter(None, map(shutil.which, BROWSERS)), None)):
        pytest.skip("no Chromium is installed, in which the page could be tried")
    root, came = tmp_path_factory.mktemp("served"), queue.Queue()
    for name, run in runs.items():
        (root / name).symlink_to(run.path / "web")
    for name, path in files.items():
        (root / name).symlink_to(path)
    (root / "index.html").symlink_to(Path(__file__).with_name("web_in_browser.html"))
    read = [name for name in files if name not in ("white.png", "deep.png")]
    write_json(root / "given.json", {
        "fits": [{"file": name, "shape": shape, "fit": fit} for name in read for shape, fit in FITS],
        "pages": {"digits": [["upload", "small.png"], ["upload", "turned.jpg"], ["upload", "white.png"],
                             ["upload", "deep.png"], ["draw", [[0.5, 0.1], [0.5, 0.3], [0.5, 0.5]]]],
                  "colours": [["upload", "colour.png"], ["upload", "turned.jpg"]],
                  "rows": [["csv", CSV], ["csv", "2,1\n3,red\n"], ["csv", '2,1,"size, mm"\n3,blue,1000\n']],
                  "arrays": [["json", "[1, -2, 0.5, 0, 4]"], ["json", "[[1, 2], [3]]"]]}})

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_POST(self):
            came.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(root))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shown = subprocess.Popen(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             f"--user-data-dir={tmp_path_factory.mktemp('browser')}", "--remote-debugging-port=0",  # else it ends
             f"http://127.0.0.1:{server.server_port}/"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            answers = json.loads(came.get(timeout=SECONDS))
        finally:
            shown.terminate()
            shown.wait()
            server.shutdown()
    assert "error" not in answers, answers["error"]
    return answers


def in_node(expression):
    """Return what an expression gives of the page's functions that make examples, or the text of its error."""
    if not shutil.which("node"):
        pytest.skip("there is no node")
    code = Path(runtime.__file__).with_name("examples.js").read_text().replace("export ", "")
    code += f"""
        const attempt = (make) => {{ try {{ return make(); }} catch (error) {{ return error.message; }} }};
        console.log(JSON.stringify(({expression}).map(attempt)));"""
    return json.loads(subprocess.run(["node", "-e", code], capture_output=True, check=True, text=True).stdout)


def test_pasted_rows_are_those_of_the_file_or_a_line():
    given = ['a,b\n5" pipe,2\n6, "x,""y"\n', "a,b\n1,2\n1,5,2\n"]
    plain, long = in_node(f"{json.dumps(given)}.map((text) => () => readCsv(text))")
    assert plain == [{"a": '5" pipe', "b": "2"}, {"a": "6", "b": 'x,"y'}]
    assert long == "Row 2 has 3 fields, and the header 2."


def test_spaces_that_align_pasted_rows_are_no_fields():
    aligned, quoted, long = in_node("""["a  b c\\n10 2  3\\n  4  5 6\\n", 'a b c\\n"" 2  "x  y"\\n', "a b\\n1 2 \\n"]
        .map((text) => () => readCsv(text, " "))""")
    assert aligned == [{"a": "10", "b": "2", "c": "3"}, {"a": "4", "b": "5", "c": "6"}]
    assert quoted == [{"a": "", "b": "2", "c": "x  y"}]
    assert long == "Row 1 has 3 fields, and the header 2."  # as `kerasdl predict` says


def test_a_number_is_what_tables_have():
    facts = {"columns": [["a", None]], "medians": {}, "offsets": {}, "missing": [""], "decimal": ","}
    wrong, good = ["0x1F", "0b1", "Infinity", "1e39", "1 2", "1,2,3", "1.500"], ["-1,5e1", "+,5", "7,", "1,500", "true"]
    found = in_node(f"{json.dumps(wrong + good)}.map((a) => () => [...ofRow({{a}}, {json.dumps(facts)})])")
    assert all("holds numbers" in line for line in found[:len(wrong)])
    assert found[len(wrong):] == [[-15], [0.5], [7], [1.5], [1]]
    assert in_node('[() => written(-1.5, ","), () => written(1e-7, ","), () => written(2.5, ".")]') == [
        "-1,5", "1e-7", "2.5"]
    assert in_node(f"[() => [...ofRow({{a: '7.'}}, {json.dumps(facts | {'decimal': '.'})})]]") == [[7]]


def test_pasted_rows_are_read_as_predict_does(tmp_path):
    """What is missing, truths and whole numbers: the same numbers, or both refuse the row."""
    columns = {"n": None, "flag": ["False", "True"], "code": ["7", "8", "red", "(missing)"], "plain": ["a", "1.0"]}
    facts = {"columns": columns, "medians": {"n": 2.5}, "reading": {"offsets": {"n": 1.0}}}
    good = {"n": "4", "flag": "True", "code": "7", "plain": "a"}
    given = [good | {name: value} for name, values in {
        "n": (*MISSING_WORDS, "NA ", "TRUE", "none"), "flag": ("true", "FALSE", "TRUE", "NA", "tRUE", "1", "1.0"),
        "code": ("7.0", "8.00", "7.5", " 7", "07", "7e0", "0.7e1", "null", "#N/A", "", "True", "Red"),
        "plain": ("1.0", "1", "N/A", "1.00")}.items() for value in values]
    wanted = []
    for row in given:
        (tmp_path / "rows.csv").write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
        chunk, = row_chunks.read([tmp_path / "rows.csv"], columns, facts, Dialect(), 10)
        wanted.append(chunk.x[0].tolist() if len(chunk.x) else None)
    page = {"columns": list(columns.items()), "medians": facts["medians"], "offsets": {"n": 1.0}, "decimal": ".",
            "missing": MISSING_WORDS}
    found = in_node(f"{json.dumps(given)}.map((row) => () => [...ofRow(row, {json.dumps(page)})])")
    assert [None if isinstance(one, str) else one for one in found] == wanted
    assert 10 < wanted.count(None) < len(wanted) - 25


def test_pasted_series_end_early_or_with_null_and_have_no_gaps():
    asked = [("[[1,2],[3,4]]", [3, 2], "null"), ("[[1,2],[3,4],[null,null]]", [3, 2], "null"),
             ("[[1,2]]", [None, 2], "null"), ("[1,2]", [2], "null"), ("[[1,2],[null,4],[5,6]]", [3, 2], "null"),
             ("[[1,2],[null,null],[5,6]]", [3, 2], '"interpolate"'), ("[1,null]", [2], "null"),
             ("[[null,null]]", [3, 2], "null"), ("[[1,2],[3,4]]", [1, 2], "null"), ('["1",2]', [2], "null"),
             ("[1e39,2]", [2], "null")]
    short, null, free, row, gap, filled, missing, empty, long, text, large = in_node(
        "[" + ",".join(f"() => {{ const {{values, shape}} = ofJson({json.dumps(given)}, {{shape: {json.dumps(shape)}, "
                       f"fill: {fill}}}); return [[...values], shape]; }}" for given, shape, fill in asked) + "]")
    assert short == null == [[1, 2, 3, 4, None, None], [3, 2]]  # NaN, which JSON has not
    assert free == [[1, 2], [1, 2]] and row == [[1, 2], [2]]
    assert gap == empty == "A number is missing, and only steps at the end may be null."
    assert missing == "A number is missing."
    assert "kerasdl predict fills it" in filled and "shape [1, 2]" in long
    assert text == 'Numbers of float32 were expected. Received: "1"' and large.endswith("1e+39")


CSV = '1,2,"size, mm",other\n7,2.5,1001,x\nred,,999.5,"a ""b"""\n,-1e0,1000,\n'


def test_the_page_resizes_as_python_does(found, files):
    """Alpha may lose 1 in a browser, which multiplies colours with it. All else is equal to the bit."""
    cases = [(name, shape, fit) for name in files if name not in ("white.png", "deep.png") for shape, fit in FITS]
    for (name, shape, fit), pixels in zip(cases, found["pixels"], strict=True):
        wanted = images.load_image(files[name], shape, images.Fit(**fit) if fit else images.Fit())
        apart = np.abs(wanted.ravel().astype(int) - pixels)
        assert apart.max() <= (1 if name == "clear.png" else 0), (name, shape, fit, apart.max())


def test_an_uploaded_image_gets_the_probabilities_of_predict(found, runs, files):
    for page, place, name in (("digits", 0, "small.png"), ("digits", 1, "turned.jpg"), ("colours", 0, "colour.png"),
                              ("colours", 1, "turned.jpg")):
        (_, wanted), = predict(runs[page], [files[name]], resize=True, top=10)
        answers = found[page]["answers"][place]["answers"]
        assert [one["label"] for one in answers] == [label for label, _ in wanted]
        np.testing.assert_allclose([one["value"] for one in answers], [value for _, value in wanted], atol=1e-4)
        assert [one["chosen"] for one in answers] == [True, *[False] * (len(wanted) - 1)]
        assert f"{100 * answers[0]['value']:.1f} %" in found[page]["answers"][place]["bars"]


def test_what_cannot_be_read_is_a_line_on_the_page(found):
    white, deep = (found["digits"]["answers"][place] for place in (2, 3))
    assert "nothing is seen on white" in white["error"] and "16 bits" in deep["error"]
    assert white["answers"] is None and deep["answers"] is None
    assert found["digits"]["state"] == "Images of 8 × 8 pixels, 10 classes. On 20 validation examples: accuracy 0.5."


def test_a_drawing_is_brought_to_where_the_training_images_have_their_ink(found):
    """A line in the upper half of the pad; the examples have ink from top to bottom, in four columns in the middle."""
    drawn = found["digits"]["answers"][4]
    seen = np.array(drawn["seen"]).reshape(8, 8)
    assert len(drawn["answers"]) == 10
    assert (seen.max(1) > 100).all() and (seen[:, [0, 1, 6, 7]] < 50).all() and (seen[:, 3:5] > 100).any()


def test_pasted_rows_get_the_numbers_of_predict(found, runs, tmp_path):
    """Columns named as numbers keep their order, what is missing is the median, and offsets are taken off."""
    (tmp_path / "rows.csv").write_text(CSV)
    wanted = [value for _, ((_, value),) in predict(runs["rows"], [tmp_path / "rows.csv"])]
    pasted, lacking, unknown = found["rows"]["answers"]
    np.testing.assert_allclose([one["value"] for (one,) in pasted["answers"]], wanted, rtol=1e-5)
    assert "size, mm" in lacking["error"] and "'blue'" in unknown["error"]


def test_an_example_without_names_is_pasted_as_json(found, runs):
    (_, ((_, wanted),)), = predict(runs["arrays"], np.array([[1, -2, 0.5, 0, 4]], "float32"))
    good, wrong = found["arrays"]["answers"]
    assert [one["value"] for one in good["answers"]] == [pytest.approx(wanted, rel=1e-5)]
    assert "shape [5]" in wrong["error"]


def test_a_run_is_exported_with_all_that_the_page_needs(runs, monkeypatch):
    """The runtime in this process: a new one takes seconds to import what is imported here already."""
    run, call = runs["digits"], formats.find("web").load
    write_json(run.path / "data.json", data.load("digits", "val").describe())
    times = {f"seconds{size}": np.ones((2, 3)) for size in measure.TIMED}
    monkeypatch.setattr(exporting, "measured", lambda form, path, plain, x, _: {
        "all": measure.in_batches(call(str(path), 1), x), **times})
    said = exporting.export(run, "web")
    folder = run.path / "export" / "web"
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert names == ["examples.js", "export.json", "index.html", "model.js", "model.json", "model.onnx",
                     "onnxruntime/LICENSE", "onnxruntime/ort.js", "onnxruntime/ort.wasm", "page.js", "style.css"]
    assert said["run_model_sha256"] == exporting.digest(run.model_file)
    assert said["file"] == "." and said["bytes"] > (folder / "onnxruntime" / "ort.wasm").stat().st_size
    written = json.loads((folder / "model.json").read_text())
    assert written["answers"] == "softmax"
    assert written["about"].endswith(f"accuracy {said['scores']['accuracy']['file']:.4g}.")
    assert written["pad"]["ground"] == 0 and written["pad"]["ink"] == 255  # light on dark


def test_a_page_names_no_address_but_its_own(runs):
    """The policy in the page forbids others, and no file asks for one."""
    page = runs["digits"].path / "web"
    assert "default-src 'none'" in (page / "index.html").read_text()
    for path in page.glob("*.*s"):
        assert "https://" not in path.read_text() and "http://" not in path.read_text()


@pytest.mark.parametrize("change, words", [
    ({"shape": [8, 8, 2]}, "1 or 3 channels"), ({"reading": {"value_range": [0, 4095]}}, "8 bits"),
    ({"kind": "tokens", "shape": [8]}, "tokenizer"),
    ({"kind": "row", "shape": 8, "reading": {"dates": ["day"]}}, "'day'")])
def test_models_that_the_page_cannot_ask_are_refused(tmp_path, change, words):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    run = made(tmp_path, model, **{"kind": "image", "shape": [8, 8, 1], "classes": ["a", "b"], **change})
    shape = change.get("shape", [8, 8, 1])
    with pytest.raises(UserError, match=words):
        facts.check(run, objectives.of(run.recipe, run.path), tuple(np.ravel(shape)), (2,))


def test_answers_of_another_kind_are_refused(tmp_path):
    """Probabilities that the page would not show as the objective does."""
    run = made(tmp_path, keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)]), kind="row", shape=1,
               classes=["a", "b"])
    objective = objectives.of(run.recipe, run.path)
    assert facts.shown_as(objective, ["a", "b"], (2,)) == "softmax"
    objective.answers = lambda outputs, classes, top: [[("a", 0.5), ("b", 0.5)] for _ in outputs]
    with pytest.raises(UserError, match="answers in another way"):
        facts.check(run, objective, (1,), (2,))


def test_the_page_separates_fields_as_the_file_of_the_training_does(tmp_path, monkeypatch):
    run = made(tmp_path, keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]), "number", kind="row", shape=1,
               classes=[], columns={"a": None})
    monkeypatch.setattr(Run, "recipe", run.recipe.override(data="csv:rows.tsv"))
    about = {"recipe": "x", "classes": [], "scores": {}, "examples": 1, "input": {"shape": [1]},
             "output": {"shape": [1]}}
    assert facts.of(run, objectives.of(run.recipe), about, np.ones((2, 1)))["separator"] == "\t"


def test_the_form_begins_with_the_median_of_large_numbers_too():
    x = np.array([[-5.0, 0], [3, 1], [7.25, 1]], "float32")
    columns = {"seconds": None, "colour": ["red"]}
    assert facts.defaults(columns, {"seconds": 1.7e9 + 12_345}, x) == {"seconds": 1_700_012_348.0, "colour": "red"}


def test_where_to_draw_is_measured():
    """Dark on light with a line at the right; noise is no drawing."""
    x = np.full((5, 10, 20, 1), 255, "uint8")
    x[:, 2:8, 12:14] = 15
    found = facts.pad(x)
    assert found["ground"] == 255 and found["ink"] == 15
    np.testing.assert_allclose([found["side"], found["centre"]], [[0.6, 0.1], [0.5, 0.65]])
    assert facts.pad(RANDOM.integers(0, 256, (5, 8, 8, 1))) is None
    assert facts.pad(np.zeros((5, 8, 8, 1))) is None


def test_without_a_network_a_line_says_where_the_package_goes(monkeypatch, tmp_path):
    monkeypatch.setenv("KERASDL_CACHE", str(tmp_path))
    monkeypatch.setattr(runtime, "ADDRESS", "http://127.0.0.1:9/onnxruntime-web-0.tgz")
    with pytest.raises(UserError, match=f"Without a network, put onnxruntime-web-0.tgz into {tmp_path / 'npm'}"):
        runtime.fetch()
    (tmp_path / "npm").mkdir(exist_ok=True)
    (tmp_path / "npm" / "onnxruntime-web-0.tgz").write_bytes(b"another package")
    with pytest.raises(UserError):
        runtime.fetch()
