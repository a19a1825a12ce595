"""What a process imports before it trains, and the compiled programs that it finds there."""

import json
import os
import subprocess
import sys
import threading

import pytest

from kerasdl import files
from kerasdl.data import decoded
from kerasdl.errors import UserError
from kerasdl.installation import backend, doctor, lean, programs

UNUSED = ("IPython", "jax", "matplotlib", "pandas", "scipy.stats", "sklearn")


def python(script: str) -> None:
    """Run a script in a process of its own, in which nothing is imported yet."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def test_keras_comes_without_what_a_training_does_not_use_and_nothing_is_missing():
    python(f"""
import gc, sys
from kerasdl.installation import lean
lean.import_keras()
assert gc.isenabled() and not [name for name in {UNUSED} if name in sys.modules]
import inspect, keras, numpy as np, tensorflow as tf
inspect.getmodule(compile("1", "nowhere.py", "exec"))  # looks at every module
assert "sklearn" not in sys.modules
assert "SKLearnClassifier" in dir(keras.wrappers) and "sklearn" in sys.modules
from keras.wrappers import SKLearnRegressor
assert keras.visualization.plot_image_gallery and keras.src.visualization.draw_bounding_boxes
assert tf.compat.v1.Session and tf.compat.v2.Variable is tf.Variable
from tensorflow.lite.python import lite
for _ in range(2):  # the package of that name does not take the place of the API
    assert tf.lite.TFLiteConverter is tf.compat.v2.lite.TFLiteConverter is lite.TFLiteConverterV2
import tensorflow.compat.v1 as tf1
assert tf1.lite.TFLiteConverter is tf.compat.v1.lite.TFLiteConverter and tf1.logging
import pandas as pd
from pandas.testing import assert_frame_equal
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile(loss="mse")
frame = pd.DataFrame({{"a": np.arange(8.0), "b": np.ones(8)}})
model.fit(frame, pd.Series(np.ones(8)), verbose=0)
assert model.predict(frame, verbose=0).shape == (8, 1)
""")


def test_a_training_imports_nothing_that_only_its_report_needs(here):
    python(f"""
import sys
sys.argv = ["kerasdl", "train", "linear_digits", "epochs=1", "--no-report", "-q", "--workdir", "run"]
from kerasdl.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
assert not [name for name in {UNUSED} if name in sys.modules], [name for name in {UNUSED} if name in sys.modules]
""")


@pytest.mark.parametrize(("content", "found"), [('{"backend": "jax"}', "jax"), ("no json", "tensorflow"),
                                                ("[]", "tensorflow"), (None, "tensorflow")])
def test_the_backend_is_known_before_keras_is_imported(tmp_path, monkeypatch, content, found):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    if content is not None:
        (tmp_path / "keras.json").write_text(content)
    assert backend.wanted() == found
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert backend.wanted() == "jax"


def test_a_module_that_is_put_off_is_loaded_once_by_whoever_asks_first(tmp_path, monkeypatch):
    package = tmp_path / "put_off_here"
    package.mkdir()
    (package / "__init__.py").write_text("from put_off_here.count import add\nadd()\nfrom put_off_here import count\n")
    (package / "count.py").write_text("calls = []\ndef add(): calls.append(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", [lean.PutOff(frozenset({"put_off_here"})), *sys.meta_path])
    import put_off_here

    assert put_off_here.__name__ == "put_off_here" and put_off_here.__file__ and "count" not in vars(put_off_here)
    with pytest.raises(AttributeError):
        put_off_here.__wrapped__  # noqa: B018
    found: list = []
    threads = [threading.Thread(target=lambda: found.append(put_off_here.count.calls)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[1]] * 8
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        put_off_here.nothing  # noqa: B018


@pytest.fixture
def cache(tmp_path, monkeypatch):
    for name in ("TF_XLA_FLAGS", programs.JAX):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERASDL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(programs, "GPU", tmp_path / "nothing")
    return tmp_path / "cache"


def test_programs_are_kept_for_these_versions_this_processor_and_its_cores(cache, monkeypatch):
    programs.keep()
    flags = os.environ["TF_XLA_FLAGS"]
    assert flags == f"{programs.TENSORFLOW}{programs.folder()}" and os.environ[programs.JAX].startswith(str(cache))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(99), raising=False)  # as a process of a trial does
    programs.keep()
    assert os.environ["TF_XLA_FLAGS"] == f"{programs.TENSORFLOW}{programs.folder()}" != flags
    there = programs.folder()
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    assert programs.folder() != there


def test_what_the_user_has_set_stays(cache, monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_auto_jit=1")
    monkeypatch.setenv(programs.JAX, "/mine")
    programs.keep()
    assert os.environ["TF_XLA_FLAGS"].startswith("--tf_xla_auto_jit=1 --tf_xla_persistent")
    assert os.environ[programs.JAX] == "/mine"
    monkeypatch.setenv("TF_XLA_FLAGS", f"{programs.TENSORFLOW}/mine")
    programs.keep()
    assert os.environ["TF_XLA_FLAGS"] == f"{programs.TENSORFLOW}/mine"


def test_nothing_is_kept_where_that_fails(cache, monkeypatch):
    cache.write_text("a file, where the folder would be")
    programs.keep()
    monkeypatch.setenv("KERASDL_CACHE", "")
    monkeypatch.setattr(programs.files, "cache", lambda: (_ for _ in ()).throw(UserError("no home")))
    programs.keep()
    assert "TF_XLA_FLAGS" not in os.environ


def test_nothing_is_kept_in_a_path_with_a_space(tmp_path, cache, monkeypatch):
    """XLA would read the path up to there."""
    monkeypatch.setenv("KERASDL_CACHE", str(tmp_path / "My Cache"))
    programs.keep()
    assert "TF_XLA_FLAGS" not in os.environ and programs.JAX not in os.environ
    assert doctor.machine()["compiled programs"].startswith("not kept")


def field(content: bytes) -> bytes:
    """A field of a protocol buffer that holds bytes."""
    size = len(content)
    return bytes([10, size & 127 | 128, size >> 7]) + content


def test_the_older_half_goes_and_what_is_cut_short(cache, monkeypatch):
    programs.keep()
    here = programs.folder()
    for number in range(4):
        (here / f"{number}.pb").write_bytes(field(bytes(300)) + field(bytes(200)))
        os.utime(here / f"{number}.pb", (number, number))
    whole = (here / "3.pb").read_bytes()
    for size in (0, 1, 2, 200, 303, 304, 400, len(whole) - 1):
        (here / "cut.pb").write_bytes(whole[:size])
        assert programs.whole(here / "cut.pb") == (size == 303)  # where a field ends, so does a message
    programs.tidy(here)
    assert sorted(file.name for file in here.glob("*")) == ["0.pb", "1.pb", "2.pb", "3.pb"]
    monkeypatch.setattr(programs, "LIMIT", 2 * len(whole))
    (here / "jax").mkdir()
    (here / "jax" / "step-cache").write_bytes(whole)  # the newest
    programs.tidy(here)
    assert sorted(file.name for file in here.glob("**/*")) == ["3.pb", "jax", "step-cache"]
    assert files.held(programs.root()) == 2 * len(whole)


def test_doctor_removes_what_is_kept(cache, monkeypatch, capsys):
    from kerasdl.cli import doctor as verb

    programs.keep()
    (programs.folder() / "one.pb").write_bytes(bytes(3_000_000))
    decoded.root().mkdir()
    (decoded.root() / "two.npz").write_bytes(bytes(5_000_000))
    monkeypatch.setattr("kerasdl.installation.doctor.preflight", lambda: (doctor.machine(), [], True))
    verb.check_installation()
    said = capsys.readouterr().out
    assert "3 MB" in said and "5 MB" in said
    verb.check_installation(clear=True)
    assert capsys.readouterr().out.count(" 0 MB") == 2 and list(cache.iterdir()) == []


def test_a_second_run_finds_the_program_of_the_first_and_a_broken_one_does_no_harm(here, cache):
    def trained(folder: str) -> dict:
        command = [sys.executable, "-m", "kerasdl", "train", "linear_digits", "epochs=1", "jit=true", "--no-report"]
        done = subprocess.run([*command, "-q", "--workdir", folder], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return json.loads((here / folder / "result.json").read_text())["val"]

    first = trained("one")
    files = {file: file.read_bytes() for file in cache.rglob("*.pb")}
    assert files
    for file, content in files.items():
        file.write_bytes(content[:len(content) // 2])
    assert trained("two") == first
    assert {file: file.stat().st_size for file in cache.rglob("*.pb")} == {file: len(content) for file, content
                                                                         in files.items()}
    times = {file: file.stat().st_mtime_ns for file in files}
    assert trained("three") == first
    assert {file: file.stat().st_mtime_ns for file in cache.rglob("*.pb")} == times
