"""What several test files share: the folder of data, the command run in this process, and a few tiny runs."""

import functools
import gc
import os
import shutil
import tempfile
from types import SimpleNamespace

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the command has it, whose runs are compared with those here

for threads in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):  # of each worker of pytest, and of what it starts
    os.environ.setdefault(threads, "1")

PROGRAMS = None
if "TF_XLA_FLAGS" not in os.environ:  # empty at first; what one test has compiled the others and their processes find
    PROGRAMS = tempfile.mkdtemp(prefix="kerasdl-programs-")
    os.environ["TF_XLA_FLAGS"] = f"--tf_xla_persistent_cache_directory={PROGRAMS}"

gc.set_threshold(100_000, 20, 20)  # tracing makes many objects that stay: searching them takes a tenth of the time


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="also run the tests marked soak, which take many minutes")


def pytest_configure(config):
    config.addinivalue_line("markers", "soak: trains for minutes; run only with --soak")


def pytest_unconfigure(config):
    if PROGRAMS:  # in the process that the others were started by
        shutil.rmtree(PROGRAMS, ignore_errors=True)


LONG = ("zoo", "backends", "replicas", "docs", "workers", "tuning", "tuning_trials", "resume", "gan_run", "train",
        "plan", "adversarial", "reproduce", "ensemble")  # files that take longest, so that none of them begins last


def pytest_collection_modifyitems(config, items):
    places = {f"test_{name}.py": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))  # keeps the order within a file
    if config.getoption("--soak"):
        return
    slow = [item for item in items if "soak" in item.keywords]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory):
    """Where digits is prepared, unless the user has named a folder."""
    with pytest.MonkeyPatch.context() as patch:
        if not os.environ.get("TFDS_DATA_DIR"):
            patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("tensorflow_datasets")))
        yield


@pytest.fixture(scope="session", autouse=True)
def digits_once():
    """Reading digits takes half a second, and hundreds of tests train on them: a process reads a split once."""
    from kerasdl.data.sources import tfds

    read, kept = tfds.read, {}

    @functools.wraps(read)
    def reading(name, **how):
        key = (os.environ["TFDS_DATA_DIR"], repr(sorted(how.items())))
        if name != "digits":
            return read(name, **how)
        if key not in kept:
            kept[key] = read(name, **how)
        return dict(kept[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfds, "read", reading)
        yield


@pytest.fixture(scope="session", autouse=True)
def a_look_refuses_nothing_that_is_read(digits_once):
    """Each data set that any test reads is looked at as the command does before: that must find no mistake."""
    from kerasdl.data import sources

    read, read_for = sources._whole, sources.load_for

    def whole(name, splits, target, args):
        found = read(name, splits, target, args)
        sources.look(name, target=target, **args)
        return found

    def load_for(facts, name, split, /, **args):
        found = read_for(facts, name, split, **args)
        sources.look_for(facts, name, **args)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "_whole", whole)
        patch.setattr(sources, "load_for", load_for)
        yield


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder as the working directory, so that nothing is written into the repository."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(here, monkeypatch, capsys):
    """Runs `kerasdl ARGUMENTS` in this process, and returns its exit code, stdout and stderr."""
    from kerasdl import cli
    from kerasdl.cli import terminal

    monkeypatch.setattr(terminal.console, "width", 200)

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["kerasdl", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return call


@pytest.fixture
def refused(command):
    """Runs a command that a user got wrong: exit code 2, one line on stderr with these words in it, no traceback."""

    def call(*arguments, words=()):
        done = command(*arguments)
        assert done.code == 2, done
        lines = done.err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("kerasdl: "), done.err
        assert "Traceback" not in done.out + done.err
        for word in words:
            assert word in lines[0]
        return lines[0]

    return call


@pytest.fixture
def runtime_here(monkeypatch):
    """The runtime of an export in this process: a new one takes seconds to import what is imported here already."""
    import numpy as np

    from kerasdl.deploy import exporting, measure

    def measured(form, path, plain, x, run):
        files = [path.with_name(f".{name}") for name in ("network.keras", "given.npz", "found.npz")]
        try:
            plain.save(files[0])
            np.savez(files[1], x=x)
            measure.main(form, str(path), *map(str, files), str(run))
            with np.load(files[2]) as arrays:
                return dict(arrays)
        finally:
            for file in files:
                file.unlink(missing_ok=True)

    monkeypatch.setattr(exporting, "measured", measured)


@pytest.fixture(scope="session")
def hard_recipe():
    """Everything that could make two runs differ, in a tiny network: augmentation, dropout, batch norm, averaging."""
    from kerasdl.recipe import Recipe

    return Recipe(name="hard", model="cnn", model_args={"size": "mu", "drop": 0.2}, data="digits",
                  augment=(("translate", 1), "alternating_flip"), batch=128, epochs=3, lr=1e-2, weight_decay=0.01,
                  ema=0.9)


@pytest.fixture(scope="session")
def hard_run(hard_recipe, tmp_path_factory):
    from kerasdl.train.fit import train

    return train(hard_recipe, workdir=tmp_path_factory.mktemp("runs") / "hard", verbose=False)


@pytest.fixture(scope="session")
def explained_network(hard_run):
    """That run's model, with batch normalisation and ReLUs, as explanations see one."""
    from kerasdl.explain.network import Network

    return Network(hard_run.model())


@pytest.fixture(scope="session")
def digit_images():
    from kerasdl.data import load

    return load("digits", "test").x[:24]


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """A CSV of 200 rows: two numbers, a category with text, and a class that follows from them."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    size, colour = rng.normal(50, 10, 200), rng.choice(["red", "green", "blue"], 200)
    frame = pd.DataFrame({"size": size.round(2), "weight": rng.normal(0, 1, 200).round(3), "colour": colour,
                          "kind": np.where(size + 10 * (colour == "red") > 52, "big", "small")})
    path = tmp_path_factory.mktemp("table") / "rows.csv"
    frame.to_csv(path, index=False)
    return path
