"""A source of data is one file of kerasdl/data/sources, found by its name."""

import sys

import numpy as np
import pytest
from data_harness import PARTS, refused

from kerasdl.data import from_arrays, load, load_splits, sources, to_predict
from kerasdl.errors import DataError

SOURCE = '''
import numpy as np

from kerasdl.data import from_arrays
from kerasdl.errors import DataError

KIND = "sequence"


def read(path, *, target, steps=4):
    if not path.isdigit():
        raise DataError(f"waves:PATH is waves:SEED. Received: {path!r}.")
    x = np.random.default_rng(int(path)).normal(size=(40, steps, 2))
    return from_arrays(x, None if target is None else np.arange(40) % 2)
'''


@pytest.fixture
def waves(tmp_path, monkeypatch):
    (tmp_path / "waves.py").write_text(SOURCE)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    yield
    sys.modules.pop("kerasdl.data.sources.waves", None)


def test_a_new_source_is_one_file(waves):
    assert set(sources.prefixes()) == {"audio", "chars", "csv", "folder", "series", "tags", "text", "waves"}
    parts = load_splits("waves:3", PARTS, steps=6)
    assert {name: len(part) for name, part in parts.items()} == {"train": 28, "val": 4, "test": 8}
    assert parts["train"].kind == "sequence" and parts["train"].shape == (6, 2) and parts["train"].target == "class"
    assert load("waves:3", target=None).target is None
    assert load("waves:3", classes=["1", "0"], per_class=2).classes == ("1", "0")
    refused(lambda: load("waves:3", stpes=6), "'stpes'", "'steps'")
    refused(lambda: load("waves:3", "tset"), "train, val, test", "'tset'")
    refused(lambda: load("waves:x"), "waves:SEED")


def test_evaluation_on_other_data_asks_for_the_kind_of_the_model(waves):
    facts = load("waves:3").describe()
    other = sources.load_for(facts, "waves:4", "test", target="class")
    np.testing.assert_array_equal(other.x, load("waves:4", "test").x)
    refused(lambda: sources.load_for(facts, "digits", "test", target="class"), "takes sequence data", "waves:PATH",
            "Received: digits")
    images = load("digits").describe()
    refused(lambda: sources.load_for(images, "waves:4", "test", target="class"), "image data, such as folder:PATH")


def test_files_of_a_kind_that_no_source_reads(tmp_path):
    facts = from_arrays(np.random.default_rng(0).normal(size=(40, 3, 2)))["train"].describe()
    (tmp_path / "x.wav").write_bytes(b"")
    refused(lambda: to_predict.check([tmp_path / "x.wav"], facts), "sequence data", "x.wav", ".npy", "predict(run, x)")
    refused(lambda: to_predict.check(["-"], facts), "sequence data", ".npy")


def test_a_target_that_does_not_exist():
    with pytest.raises(DataError, match="'class', 'labels', 'number', 'tags' or None. Received: 'clas'"):
        load("digits", target="clas")
