"""What a server makes of a request, without a model: files, forms, rows and what is pasted; and how it stops."""

import asyncio
import gc
import io
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fastapi import FastAPI
from scipy.io import wavfile
from starlette.requests import Request

from kerasdl.deploy.serving import app, requests, server
from kerasdl.deploy.serving.inputs import Examples, Inputs
from kerasdl.deploy.serving.limits import Limits, Refused

SEVERAL = {"kind": "row", "shape": 4, "classes": [], "columns": {"a": None, "b": None, "c": ["x", "(missing)"]},
           "medians": {"a": 7.0, "b": 8.0}}


@pytest.mark.parametrize("sep, decimal", [("space", "."), (" ", ","), ("tab", "."), (";", ","), (None, ".")])
def test_a_missing_value_moves_no_other_into_its_column(sep, decimal):
    dialect = {"sep": sep, "decimal": decimal} if sep else {}
    given = Inputs(SEVERAL | {"reading": {"dialect": dialect}}, Limits())
    asked = [{"a": None, "b": 5.5, "c": "x"}, {"a": 1, "b": None, "c": "x"}, {"a": 1, "b": 2, "c": None}]
    wanted = [[7, 5.5, 1, 0], [1, 8, 1, 0], [1, 2, 0, 1]]
    assert given.of_rows(asked).x.tolist() == wanted
    assert given.of_rows([list(row.values()) for row in asked]).x.tolist() == wanted


def pasted(text, separator):
    """Return the rows that the page makes of a text."""
    if not shutil.which("node"):
        pytest.skip("there is no node")
    function = re.search(r"^function rowsOf.*?^}", app.PAGE.read_text(), re.M | re.S)[0]
    code = f"{function} console.log(JSON.stringify(rowsOf({json.dumps(text)}, {json.dumps(separator)})))"
    return json.loads(subprocess.run(["node", "-e", code], capture_output=True, check=True, text=True).stdout)


def test_the_page_reads_what_is_pasted_and_sends_it_by_the_names_of_columns():
    text = ' a ,"b, c"\r\n1,"say ""x"""\r\n\n2\n'
    assert pasted(text, ",") == [{"a": "1", "b, c": 'say "x"'}, {"a": "2", "b, c": ""}]
    assert pasted("", ",") == pasted("a,b\n", ",") == []
    assert pasted('a,b\n5" pipe,2\n6, "x,y"\n', ",") == [{"a": '5" pipe', "b": "2"}, {"a": "6", "b": "x,y"}]
    with pytest.raises(subprocess.CalledProcessError) as error:
        pasted("a,b\n1,2\n1,5,2\n", ",")
    assert "Row 2 has 3 fields, and the header 2." in error.value.stderr


@pytest.mark.parametrize("model, typed, ask", [
    ({"kind": "row", "columns": {}}, False, "a .npy file"),
    ({"kind": "row", "columns": {"a": None}}, True, "a CSV file"),
    ({"kind": "tokens", "columns": {}}, False, "a .npy file"),
    ({"kind": "tokens", "columns": {}, "source": "text"}, True, "a text file"),
    ({"kind": "sequence", "columns": {}}, True, "a .npy file"), ({"kind": "image", "columns": {}}, False, "an image")])
def test_the_page_has_places_for_what_the_server_takes(model, typed, ask):
    if not shutil.which("node"):
        pytest.skip("there is no node")
    about = {"shape": [4, 1], "classes": [], "limits": {"examples": 1000, "megabytes": 20}, "separator": ",", **model}
    page = app.PAGE.read_text()
    quoted = re.search(r"^const quoted.*$", page, re.M)[0]
    start = re.search(r"^function start.*?^}", page, re.M | re.S)[0]
    code = f"""const held = {{}}, at = (id) => held[id] ??= {{hidden: true}}, document = {{}}; let model;
        {quoted} {start}
        start({json.dumps(about)}); console.log(JSON.stringify([!at("typed").hidden, at("ask").textContent]));"""
    found = json.loads(subprocess.run(["node", "-e", code], capture_output=True, check=True, text=True).stdout)
    assert found == [typed, f"Choose or drop {ask}"]


def test_the_page_takes_no_spaces_that_align_rows_for_fields():
    found = pasted('a  b  c\n10 2  3\n  4 "" "x  y"\n', " ")
    assert found == [{"a": "10", "b": "2", "c": "3"}, {"a": "4", "b": "", "c": "x  y"}]


def facts(**given):
    """Return the data.json of a model, as far as inputs are read by it."""
    return {"kind": "row", "shape": 1, "classes": ["a", "b"], "columns": {"x": None}, "medians": {}, "reading": {},
            **given}


@pytest.mark.parametrize("name", ["x", "x|y"])
def test_rows_of_one_column_are_read_whatever_separates_others(name):
    given = Inputs(facts(columns={name: None}, reading={"dialect": {"sep": ";"}}), Limits())
    for rows in ([{name: 1.5}, {name: 2}], [[1.5], [2]]):
        assert given.of_rows(rows).x.tolist() == [[1.5], [2]]


def test_the_decimal_sign_is_that_of_numbers_alone():
    columns = {"x": None, "c": ["1", "2"]}
    given = Inputs(facts(columns=columns, shape=3, reading={"dialect": {"decimal": ","}}), Limits())
    assert given.of_rows([{"x": 1.5, "c": 1.0}]).x.tolist() == [[1.5, 1, 0]]


def test_a_line_break_in_a_value_makes_no_row():
    values = ["one\rtwo", "one\ntwo", "one\r\ntwo"]
    given = Inputs(facts(columns={"c": values, "x": None}, shape=4, medians={"x": 9}), Limits())
    found = given.of_rows([{"c": value, "x": place} for place, value in enumerate(values)])
    assert found.x[:, -1].tolist() == [0, 1, 2] and len(found.names) == 3


@pytest.mark.parametrize("kind, shape", [("row", 2), ("tokens", [4]), ("sequence", [4, 1])])
def test_models_of_plain_arrays_say_that_they_take_them(kind, shape):
    given = Inputs(facts(kind=kind, shape=shape, columns={}), Limits())
    for refuse in (lambda: given.of_rows([{"x": 1}]), lambda: given.of_texts(["a"]),
                   lambda: given.of_image(b"", "a.png")):
        with pytest.raises(Refused, match="takes arrays, which are sent as instances"):
            refuse()


def wav(samples, rate):
    file = io.BytesIO()
    wavfile.write(file, RATE, np.zeros(samples, "uint8"))
    return file.getvalue().replace(RATE.to_bytes(4, "little"), rate.to_bytes(4, "little"))


RATE, LARGE = 8000, Limits(examples=10**6)
SERIES = {"kind": "sequence", "columns": {}, "shape": [9, 100], "reading": {"source": "series"}}
SOUND = {"kind": "sequence", "columns": {}, "shape": [400, 1], "build_args": {"sample_rate": RATE},
         "reading": {"source": "audio", "rate": RATE, "seconds": 0.05}}


@pytest.mark.parametrize("model, ask", [
    ({"kind": "image", "shape": [512, 512, 3]}, lambda given: given.check_count(1000)),
    (SERIES, lambda given: given.of_instances([[[0.0] * 100]] * 999 + [[[0.0] * 100] * 1000])),
    (SERIES | {"reading": {}, "shape": [1000, 100]}, lambda given: given.of_instances([[[0.0] * 100]] * 1000)),
    (SOUND, lambda given: given.of_file(wav(10_000, 1), "a.wav", ".wav"))])
def test_small_requests_do_not_become_large_arrays(model, ask):
    with pytest.raises(Refused, match="A request may hold|10,000,000 values|80,000,000 samples") as error:
        ask(Inputs(facts(**model), LARGE))
    assert error.value.status == 413


def test_what_is_not_too_large_is_resampled():
    given = Inputs(facts(**SOUND), LARGE)
    assert given.of_file(wav(10_000, RATE // 2), "a.wav", ".wav").x.shape == (1, 400, 1)


def test_an_array_is_no_table():
    """Its numbers would have to be encoded as in training: minus those of `offsets`, for one."""
    given = Inputs(SEVERAL, Limits())
    file = io.BytesIO()
    np.save(file, np.ones((1, 4)))
    for ask in (lambda: given.of_instances([[1, 2, 1, 0]]), lambda: given.of_file(file.getvalue(), "a.npy", ".npy")):
        with pytest.raises(Refused, match="takes rows, .* not as an array"):
            ask()


@pytest.mark.parametrize("wrong", [[0, 3, 4], [3, 0, 4], [3, 9, 0], [3, -1, 0], [3, 1.5, 0], [True, True, False]])
def test_tokens_of_arrays_are_those_of_predict(wrong):
    given = Inputs({"kind": "tokens", "shape": [3], "columns": {}, "build_args": {"vocabulary": 9}}, Limits())
    assert given.of_instances([[3, 4, 0], [0, 0, 0]]).x.tolist() == [[3, 4, 0], [0, 0, 0]]
    with pytest.raises(Refused, match="The example 0 has tokens other than .* < 9, where 0 is padding at the end"):
        given.of_instances([wrong])


@pytest.mark.parametrize("kind, reading, name, is_long", [
    ("sequence", {"source": "audio"}, "a.wav", False), ("sequence", {"source": "series"}, "a.csv", False),
    ("tokens", {"source": "text", "form": "documents"}, "a.txt", False), ("row", {}, "a.csv", True),
    ("tokens", {"source": "text", "form": "documents"}, "a.csv", True), ("tokens", {"source": "tags"}, "a.txt", True),
    ("tokens", {"source": "text", "form": "lines"}, "a.txt", True), ("sequence", {"source": "series"}, "a.ts", True)])
def test_a_file_has_too_many_lines_only_where_lines_are_examples(monkeypatch, kind, reading, name, is_long):
    """The bytes of a sound, the lines of a document and the steps of a series are not."""
    monkeypatch.setattr("kerasdl.data.texts.tokens_of", lambda facts: None)
    given = Inputs(SEVERAL | {"kind": kind, "reading": reading}, Limits(examples=1))
    monkeypatch.setattr(given, "_read", lambda data, name, ending: "read")
    if not is_long:
        assert given.of_file(b"\n" * 300, name, name[1:]) == "read"
        return
    with pytest.raises(Refused, match="too many lines"):
        given.of_file(b"\n" * 300, name, name[1:])


def of_form(*parts):
    """Return what the server finds in a form of (name, Content-Type) of files."""
    body = "".join(f'--b\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
                   "x\r\n" for name, kind in parts) + "--b--\r\n"
    scope = {"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=b")]}
    return asyncio.run(requests.files_of(Request(scope), body.encode(), Inputs(SEVERAL, Limits())))


def test_the_ending_of_a_long_name_and_a_type_with_parameters_are_seen():
    long, typed, named = of_form(("n" * 120 + ".CSV", "application/octet-stream"), ("rows", "Text/CSV; charset=utf-8"),
                                 ("../rows.tsv", "text/csv"))
    assert long == (b"x", "n" * 100, ".csv")
    assert typed == (b"x", "rows", ".csv") and named == (b"x", "rows.tsv", ".tsv")


@pytest.mark.parametrize("columns", [SEVERAL["columns"], {}])
def test_the_server_does_not_wait_for_rows(monkeypatch, columns):
    """They are read by the pool, where somebody's table may be before them."""
    given, threads = Inputs(SEVERAL | {"columns": columns}, Limits()), []
    for name in ("of_rows", "of_instances"):
        monkeypatch.setattr(given, name, lambda value: threads.append(threading.current_thread()))
    request = Request({"type": "http", "headers": [(b"content-type", b"application/json")]})
    body = b'{"rows": [[1, 2, "x"]]}' if columns else b'{"instances": [[1]]}'
    with ThreadPoolExecutor(1) as pool:
        asyncio.run(requests.examples_of(request, body, given, pool))
    assert (threads[0] is threading.main_thread()) == (not columns)


def test_words_and_arrays_of_tokens_in_one_form_are_refused():
    """Only the former get a tag for each word."""
    words = Examples(["0"], np.zeros((1, 4), "int32"), [[("a", 0)]])
    tokens = Examples(["0"], np.zeros((1, 4), "int32"))
    for parts in ([words, tokens], [tokens, words]):
        with pytest.raises(Refused, match="texts and arrays apart") as error:
            requests.joined(parts)
        assert error.value.status == 422
    assert len(requests.joined([words, words]).words) == 2 and not requests.joined([tokens, tokens]).words


def test_a_signal_before_the_server_runs_stops_it(monkeypatch):
    """A SIGTERM that comes while uvicorn has not started yet; where it is lost a second one ends the test."""
    late = threading.Timer(20, os.kill, (os.getpid(), signal.SIGTERM))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(gc, "collect", lambda: os.kill(os.getpid(), signal.SIGTERM))
    monkeypatch.setattr(gc, "freeze", late.start)
    try:
        with warnings.catch_warnings():
            server.serve(FastAPI(), server.bound("127.0.0.1", 0), 1)
        assert late.is_alive()
    finally:
        late.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
