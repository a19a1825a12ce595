"""What `kerasdl doctor` knows of TPUs and of versions, in environments that are made up of metadata."""

import os
import subprocess
import sys
from contextlib import nullcontext
from importlib import metadata

import pytest

from kerasdl.devices import device
from kerasdl.errors import UserError
from kerasdl.installation import backend, doctor, tpu, versions
from kerasdl.recipe import load


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with these chips on its bus, packages and variables, and no others that matter."""
    for name in doctor.VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def call(chips=(), packages=(), **variables):
        for i, (vendor, chip) in enumerate(chips):
            (tmp_path / str(i)).mkdir()
            (tmp_path / str(i) / "vendor").write_text(f"{vendor}\n")
            (tmp_path / str(i) / "device").write_text(f"{chip}\n")
        monkeypatch.setattr(tpu, "PCI", tmp_path)
        monkeypatch.setattr(tpu, "installed", lambda name: "1.0" if name in packages else None)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return doctor.examine_tpu()

    return call


V5E = ("0x1ae0", "0x0063")


def test_no_tpu(machine):
    network_card = ("0x1ae0", "0x0042")
    assert machine([network_card, ("0x8086", "0x0063")]) == ({"TPU": "none attached"}, [])


@pytest.mark.parametrize("packages, route", [({"jax", "libtpu"}, "Keras on JAX"),
                                             ({"tensorflow-tpu", "libtpu"}, "TensorFlow: "),
                                             ({"jax", "libtpu", "tensorflow-tpu"}, "TensorFlow: ")])
def test_the_route_to_a_tpu(machine, packages, route):
    facts, problems = machine([V5E] * 4, packages)
    assert facts["TPU"] == "4 chips of v5e" and facts["TPU route"].startswith(route) and not problems


@pytest.mark.parametrize("packages", [(), {"jax"}, {"tensorflow", "libtpu"}])
def test_a_tpu_that_nothing_here_can_drive(machine, packages):
    facts, (problem,) = machine([V5E], packages)
    assert facts["TPU"] == "1 chip of v5e" and "colabtools#5203" in problem and "pip install 'kerasdl[tpu]'" in problem


def test_a_backend_that_cannot_use_the_tpu(machine):
    _, (problem,) = machine([V5E], {"jax", "libtpu"}, KERAS_BACKEND="tensorflow")
    assert "KERAS_BACKEND is tensorflow" in problem and "jax" in problem


@pytest.mark.parametrize("chips, packages, variables, words", [
    ([V5E], {"jax", "libtpu"}, {"JAX_PLATFORMS": "cpu"}, "hides the TPU"),
    ([V5E], {"jax", "libtpu"}, {"JAX_PLATFORMS": "tpu,cpu"}, None),
    ([], (), {"PJRT_DEVICE": "TPU"}, "none is attached"),
    ([], (), {"TPU_LIBRARY_PATH": "nowhere/libtpu.so"}, "not a file"),
    ([V5E], {"tensorflow-tpu", "libtpu"}, {"PJRT_DEVICE": "TPU"}, "NEXT_PLUGGABLE_DEVICE_USE_C_API"),
    ([], (), {"JAX_PLATFORMS": "cpu"}, None),
])
def test_variables(machine, chips, packages, variables, words):
    machine(chips, packages, **variables)
    problems = doctor.variable_problems()
    assert bool(problems) == bool(words) and all(words in problem for problem in problems)
    shown = doctor.variables()["variables"]
    assert all(f"{name}={value}" in shown for name, value in variables.items())


@pytest.mark.parametrize("library, words", [("0.0.35", "aborts the process"), ("0.0.42.1", "aborts the process"),
                                            ("0.0.24", None), ("0.0.14", None), (None, "no libtpu")])
def test_tensorflow_tpu_and_its_library(library, words):
    there = {"keras": "3.15.1", "tensorflow": "2.20.0", "tensorflow-tpu": "2.20.0", "tensorboard": "2.20.0"}
    found = versions.problems(there | ({"libtpu": library} if library else {}))
    assert len(found) == bool(words) and all(words in line and "libtpu>=0.0.14,<=0.0.24" in line for line in found)


GOOD = {"keras": "3.15.1", "tensorflow": "2.21.0", "tensorboard": "2.21.0", "tensorflow-metadata": "1.17.3"}


@pytest.mark.parametrize("changed, words", [
    ({}, None),
    ({"keras": "3.14.0", "tensorflow": "2.19.1"}, None),
    ({"keras": "3.13.2"}, ["keras 3.13.2", "keras>=3.14"]),
    ({"keras": "2.15.0"}, ["keras 2.15.0"]),
    ({"tensorflow": "2.18.1"}, ["tensorflow 2.18.1", "2.19.1", "colabtools#5419"]),
    ({"tensorflow": "2.22.0"}, ["tensorflow 2.22.0", "2.21"]),
    ({"tensorboard": None}, ["no tensorboard", "pip install tensorboard"]),
    ({"tensorflow": "2.19.1", "tensorflow-metadata": "1.18.0"}, ["tensorflow-metadata 1.18.0", "metadata<1.18"]),
    ({"tensorflow-datasets": "4.9.10"}, ["no importlib_resources"]),
])
def test_versions_that_do_not_fit(changed, words):
    found = versions.problems({name: version for name, version in (GOOD | changed).items() if version})
    assert len(found) == (words is not None)
    for word in words or ():
        assert word in found[0]


@pytest.mark.parametrize("owners, cure", [(["tensorflow", "tensorflow"], None),
                                          (["tensorflow-cpu", "tensorflow"], "kerasdl[tf]"),
                                          (["tensorflow-tpu", "tensorflow"], "kerasdl[tpu-tf]")])
def test_tensorflows_that_lie_over_each_other(monkeypatch, owners, cure):
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"tensorflow": owners})
    found, names = versions.wheel_problems(), sorted(owners)
    assert len(found) == bool(cure)
    for line in found:
        assert " and ".join(names) in line and f"pip uninstall -y {' '.join(names)}" in line and cure in line


def test_every_row_says_where_it_was_seen():
    for row in versions.TABLE:
        assert row.packages and row.why and row.do and ("#" in row.seen or "20" in row.seen or "not run" in row.seen)
        assert not row.fits({})


def fake(folder, name, version):
    """Metadata of a wheel that holds the module `tensorflow`, as pip leaves it."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "top_level.txt").write_text("libtpu\n" if name == "libtpu" else "tensorflow\n")


def asked(folder, *words):
    """What the command says in a process that finds this folder's packages first."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run([sys.executable, "-c", "from kerasdl.cli import main; main()", *words], text=True,
                          env=os.environ | {"PYTHONPATH": path}, capture_output=True)


def test_an_import_that_would_abort_is_told_and_not_tried(tmp_path):
    """TensorFlow's is a C++ abort that nothing catches; here a module of that name does the same."""
    fake(tmp_path, "tensorflow-tpu", "2.20.0")
    fake(tmp_path, "libtpu", "0.0.52")
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow/__init__.py").write_text("import os\nos.abort()\n")
    done = asked(tmp_path, "doctor")
    assert done.returncode == 1 and not done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith("wrong: ")]
    assert any("tensorflow-tpu 2.20.0 with libtpu 0.0.52: importing TensorFlow aborts" in line for line in told)
    assert any("tensorflow and tensorflow-tpu are installed over each other" in line
               and "pip uninstall -y tensorflow tensorflow-tpu" in line for line in told)
    refused = asked(tmp_path, "train", "linear_digits")
    assert refused.returncode == 2 and refused.stderr.startswith("kerasdl: ") and "aborts" in refused.stderr


@pytest.mark.parametrize("flags, machine, fits", [
    ("flags\t\t: fpu sse4_2 avx avx2", "x86_64", True), ("flags\t\t: fpu sse4_2", "x86_64", False),
    ("model name\t: unknown", "x86_64", True), ("flags\t\t: fpu", "riscv64", True)])
def test_a_processor_without_avx_is_refused_before_the_process_ends(tmp_path, monkeypatch, flags, machine, fits):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\nbugs\t\t: none\n")
    monkeypatch.setattr(versions, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(versions.platform, "machine", lambda: machine)
    with nullcontext() if fits else pytest.raises(UserError, match="no AVX"):
        versions.check()


def test_what_is_left_of_two_wheels(monkeypatch):
    """Uninstalling one of them takes the module's files, and leaves the folder."""
    from importlib.machinery import ModuleSpec

    monkeypatch.setattr(metadata, "packages_distributions", lambda: {})
    monkeypatch.setattr(versions, "find_spec", lambda name: ModuleSpec(name, None))
    assert "without its module" in versions.wheel_problems()[0]
    with pytest.raises(UserError, match="without its module"):
        versions.check()
    facts, problems, fails = doctor.preflight()
    assert fails and sum("without its module" in problem for problem in problems) == 1 and "cpu" in facts
    monkeypatch.setattr(versions, "find_spec", lambda name: None)
    assert "not installed" in versions.wheel_problems()[0]


@pytest.mark.parametrize("name, words", [("jaxx", "Did you mean 'jax'"), ("torch", "tensorflow"),
                                         ("jax", "already computes with tensorflow")])
def test_a_backend_that_cannot_be(name, words, refused):
    with pytest.raises(UserError, match=words):
        backend.choose(name)
    refused("train", "linear_digits", "--backend", name, words=[words])
    assert os.environ.get("KERAS_BACKEND") != name


@pytest.mark.parametrize("words", [("doctor",), ("train", "linear_digits"), ("eval", "run")])
def test_a_backend_that_the_environment_mistypes(tmp_path, words):
    """Keras answers it with a traceback. doctor tells of the rest, too."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text(load("linear_digits").model_dump_json())
    done = subprocess.run([sys.executable, "-c", "from kerasdl.cli import main; main()", *words], text=True,
                          cwd=tmp_path, env=os.environ | {"KERAS_BACKEND": "tensorlow"}, capture_output=True)
    line = "Unknown backend 'tensorlow' in KERAS_BACKEND. Did you mean 'tensorflow'?"
    if words == ("doctor",):
        assert done.returncode == 1 and f"wrong: {line}" in done.stdout and "KERAS_BACKEND=tensorlow" in done.stdout
    else:
        assert done.returncode == 2 and done.stderr == f"kerasdl: {line}\n"


@pytest.mark.parametrize("words", [("doctor",), ("train", "linear_digits")])
def test_a_backend_in_keras_json_that_cannot_be(tmp_path, words):
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    variables = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    done = subprocess.run([sys.executable, "-c", "from kerasdl.cli import main; main()", *words], text=True,
                          cwd=tmp_path, env=variables | {"KERAS_HOME": str(tmp_path)}, capture_output=True)
    line = "Keras computes with torch, and kerasdl trains with tensorflow or jax. Set KERAS_BACKEND to one of them."
    if words == ("doctor",):
        assert done.returncode == 1 and f"wrong: {line}" in done.stdout and not done.stderr
    else:
        assert done.returncode == 2 and done.stderr == f"kerasdl: {line}\n"


@pytest.mark.parametrize("variable", ["", "jax"])
def test_jax_that_is_asked_for_and_not_installed(tmp_path, monkeypatch, variable):
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", variable)
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    backend.check()
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda name: None)
    place = "KERAS_BACKEND" if variable else str(tmp_path / "keras.json")
    with pytest.raises(UserError, match=f"backend=jax in {place} needs JAX"):
        backend.check()


@pytest.mark.parametrize("jax, variables, cure", [
    (False, {}, "TensorFlow does not find it: pip install 'tensorflow[and-cuda]'"),
    (True, {}, "JAX does not find it: pip install 'jax[cuda12]'"),
    (False, {"CUDA_VISIBLE_DEVICES": "-1"}, None), (False, {"CUDA_VISIBLE_DEVICES": ""}, None),
    (False, {"JAX_PLATFORMS": "cpu"}, "TensorFlow"), (True, {"JAX_PLATFORMS": "cpu"}, None)])
def test_a_gpu_that_is_not_found(machine, monkeypatch, jax, variables, cure):
    machine(**variables)
    monkeypatch.setattr(backend, "jax", lambda: jax)
    monkeypatch.setattr(doctor, "nvidia_smi", lambda *fields: ["0"])
    monkeypatch.setattr(device, "accelerators", lambda: [])
    _, problems = doctor.examine_devices()
    assert len(problems) == bool(cure) and all(f"has a GPU, and {cure}" in problem for problem in problems)
    monkeypatch.setattr(device, "accelerators", lambda: ["NVIDIA H200"])
    assert doctor.examine_devices()[1] == []


@pytest.mark.soak
def test_devices_that_JAX_does_not_have():
    code = "from kerasdl.devices import jax\ntry: jax.leave_out_tpu()\nexcept ValueError as error: print(error)"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True,
                          env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cuda"})
    assert done.returncode == 0 and done.stdout.startswith("JAX finds no device of JAX_PLATFORMS=cuda"), done.stderr


def test_jax_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'kerasdl\[jax\]'"):
        backend.choose("jax")
