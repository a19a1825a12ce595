"""What this installation is made of, and what is wrong with it."""

import os
import platform
import shutil
from contextlib import suppress
from pathlib import Path

from kerasdl import files
from kerasdl.data import decoded
from kerasdl.environment import environment
from kerasdl.errors import UserError
from kerasdl.installation import backend, programs, tpu, versions
from kerasdl.installation.gpu import nvidia_smi

PACKAGES = (*versions.TENSORFLOWS, "tensorflow-datasets", "tensorflow-metadata", "keras", "keras-tuner", "tensorboard",
            "protobuf", "jax", "libtpu", "scikit-learn", "pandas")
PJRT = {"PJRT_DEVICE": "PJRT_DEVICE=TPU", "NEXT_PLUGGABLE_DEVICE_USE_C_API": "NEXT_PLUGGABLE_DEVICE_USE_C_API=true",
        "TF_PLUGGABLE_DEVICE_LIBRARY_PATH": "TF_PLUGGABLE_DEVICE_LIBRARY_PATH=$(python -c 'import libtpu; "
                                            "print(libtpu.get_library_path())')"}
VARIABLES = ("KERAS_BACKEND", "JAX_PLATFORMS", *PJRT, "TPU_NAME", "TPU_LIBRARY_PATH", "TPU_ACCELERATOR_TYPE",
             "CUDA_VISIBLE_DEVICES", "XLA_FLAGS", "TF_XLA_FLAGS", "LIBTPU_INIT_ARGS")


def preflight() -> tuple[dict[str, str], list[str], bool]:
    """What is known without importing TensorFlow or JAX.

    Returns:
        Facts by name, a sentence for each thing that is wrong with what to do, and whether the import would fail.
    """
    packages = {name: version for name in PACKAGES if (version := tpu.installed(name))}
    facts = {name: str(value) for name, value in environment().items() if name not in packages}
    there = versions.installed()
    route, problems = examine_tpu()
    problems = versions.problems(there) + versions.wheel_problems() + problems + variable_problems()
    fails = False
    for check in (versions.check, backend.check):
        try:
            check()
        except UserError as error:
            fails = True
            problems += [str(error)] * (str(error) not in problems)
    return {**facts, **machine(), **packages, **route, **variables()}, problems, fails


def machine() -> dict[str, str]:
    """The system, its memory, the free disk here, and the driver of its GPUs."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {"system": platform.platform(), "cores": f"{own} of {os.cpu_count()}"}
    with suppress(OSError, ValueError):
        size = os.sysconf("SC_PAGE_SIZE")
        facts["memory"] = (f"{size * os.sysconf('SC_AVPHYS_PAGES') / 2**30:.1f} GiB free of "
                           f"{size * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB")
    with suppress(OSError):
        facts["disk"] = f"{shutil.disk_usage('.').free / 2**30:.1f} GiB free in {Path.cwd()}"
    with suppress(UserError):
        facts["compiled programs"] = (f"not kept: XLA cannot read a path with white space, {programs.root()}"
                                      if programs.has_space(programs.root()) else
                                      held(programs.root()))
        facts["decoded images"] = held(decoded.root())
    return facts | {"GPU driver": driver()}


def held(folder: Path) -> str:
    """How much is kept in a folder for later runs."""
    return f"{files.held(folder) / 1e6:.0f} MB in {folder}"


def clear() -> None:
    """Remove what is kept for later runs, which costs them time only."""
    for folder in (programs.root(), decoded.root()):
        shutil.rmtree(folder, ignore_errors=True)


def driver() -> str:
    """The GPUs of this machine and the version of their driver, as nvidia-smi has them."""
    return "; ".join(nvidia_smi("name", "driver_version")) or "none: nvidia-smi is not there, or finds no GPU"


def examine() -> tuple[dict[str, str], list[str]]:
    """What is known only with them: devices, and the data that is there."""
    devices, device_problems = examine_devices()
    folders, folder_problems = examine_folders()
    return {**devices, **folders}, tfds_problems() + device_problems + folder_problems


def examine_tpu() -> tuple[dict[str, str], list[str]]:
    """Whether a TPU is attached, and by which of the two routes it can be used here."""
    found, route = tpu.attached(), tpu.route()
    ways = {"jax": "Keras on JAX: kerasdl train RECIPE --backend jax",
            "tensorflow": "TensorFlow: kerasdl train RECIPE --backend tensorflow --strategy tpu",
            None: "none: pip install 'kerasdl[tpu]'"}
    facts = {"TPU": found or "none attached"} | ({"TPU route": ways[route]} if found else {})
    asked = os.environ.get("KERAS_BACKEND")
    if not found:
        return facts, []
    if route is None:
        return facts, [f"A TPU is attached ({found}), and no package here can drive it; plain tensorflow ends in 'No "
                       "OpKernel ... ConfigureDistributedTPU' (colabtools#5203): pip install 'kerasdl[tpu]'"]
    if asked and asked != route:
        return facts, [f"KERAS_BACKEND is {asked}, and the packages here drive the TPU with {route}: unset it"]
    return facts, []


def variables() -> dict[str, str]:
    """The variables of the environment that decide where Keras computes, of which each is set before the import."""
    there = [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
    return {"variables": " ".join(there)} if there else {}


def variable_problems() -> list[str]:
    """Variables that hide a TPU, promise one, or name a file that is not there."""
    found, problems = tpu.attached(), []
    platforms = os.environ.get("JAX_PLATFORMS")
    if found and platforms and "tpu" not in platforms:
        problems.append(f"JAX_PLATFORMS is {platforms}, which hides the TPU from JAX: unset it")
    if not found and os.environ.get("PJRT_DEVICE") == "TPU":
        problems.append("PJRT_DEVICE is TPU, and none is attached: unset it, or --strategy auto will look for one")
    for name in ("TPU_LIBRARY_PATH", "TF_PLUGGABLE_DEVICE_LIBRARY_PATH"):
        if os.environ.get(name) and not Path(os.environ[name]).is_file():
            problems.append(f"{name} is {os.environ[name]}, which is not a file: unset it")
    if found and tpu.route() == "tensorflow" and (unset := [name for name in PJRT if name not in os.environ]):
        problems.append(f"{', '.join(unset)} must be set for TensorFlow to find a v5e or v6e chip, as an example of "
                        f"keras.io has it (2025-09; not run here): export {' '.join(PJRT.values())}")
    return problems


def tfds_problems() -> list[str]:
    """tfds prints a traceback and returns half a module when its protobuf does not fit, so use a real attribute."""
    try:
        import tensorflow_datasets as tfds

        tfds.core.GeneratorBasedBuilder  # noqa: B018
    except (ImportError, AttributeError) as error:
        return [f"tensorflow_datasets does not import ({error}): "
                "pip install -U tensorflow-datasets importlib_resources"]
    return []


def examine_devices() -> tuple[dict[str, str], list[str]]:
    """The backend, the devices, and whether bfloat16 is native to them."""
    try:
        jax = backend.jax()
        from kerasdl.devices import device

        names, native = device.accelerators(), device.native_bfloat16()
    except UserError as error:
        return {}, [str(error)]
    facts = {"backend": backend.current(), "devices": ", ".join(names) or "CPU",
             "bfloat16": "native" if native else "emulated here, and slower than float32"}
    found = tpu.attached()
    if jax and found and not any("TPU" in name for name in names):
        return facts, [f"A TPU is attached ({found}), and JAX computes on {facts['devices']}: end the process that "
                       "holds the chip, or: pip install -U 'jax[tpu]'"]
    return facts, [] if names else gpu_problems(jax)


def gpu_problems(jax: bool) -> list[str]:
    """What to install where no GPU is found, if the driver has one that no variable hides."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or (jax and os.environ.get("JAX_PLATFORMS"))
    if hidden or not nvidia_smi("index"):
        return []
    name, package = ("JAX", "jax[cuda12]") if jax else ("TensorFlow", "tensorflow[and-cuda]")
    return [f"The driver has a GPU, and {name} does not find it: pip install '{package}'"]


def examine_folders() -> tuple[dict[str, str], list[str]]:
    """Where tfds data is looked for and what is there, and whether runs can be written here."""
    from kerasdl.data.sources.tfds import data_dirs

    asked, problems = os.environ.get("TFDS_DATA_DIR"), []
    try:
        folders = data_dirs()
    except UserError as error:
        return {}, [str(error)]
    if asked and not folders[0].is_dir():
        problems.append(f"TFDS_DATA_DIR is {asked}, which is not a folder: create it, or unset the variable")
    if not os.access(".", os.W_OK):
        problems.append(f"{Path.cwd()} is not writable: train with --workdir")
    found = {folder: sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name != "downloads")
             for folder in folders if folder.is_dir()}
    shown = "; ".join(f"{folder} ({', '.join(names) or 'empty'})" for folder, names in found.items())
    return {"data folders": shown or f"none yet; digits will be prepared in {folders[0]}"}, problems
