"""What this installation is made of, and what is wrong with it."""

import os
from importlib import metadata
from pathlib import Path

from kerasdl.run import environment

PACKAGES = ("tensorflow", "tensorflow-datasets", "tensorflow-metadata", "keras", "tensorboard", "protobuf", "jax",
            "scikit-learn", "pandas")


def examine() -> tuple[dict[str, str], list[str]]:
    """Facts by name, and a sentence for each thing that is wrong, with what to do."""
    versions = {name: version for name in PACKAGES if (version := installed(name))}
    problems = version_problems(versions) + wheel_problems() + tfds_problems()
    facts = {name: str(value) for name, value in environment().items() if name not in versions}
    devices, device_problems = examine_devices()
    folders, folder_problems = examine_folders()
    return {**facts, **versions, **devices, **folders}, problems + device_problems + folder_problems


def installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def version_problems(versions: dict[str, str]) -> list[str]:
    """Pairs of versions that are known not to work together."""
    def parts(name):
        return tuple(int(part) for part in versions[name].split(".")[:3] if part.isdigit())

    problems = []
    if "keras" in versions and parts("keras") < (3, 14):
        problems.append(f"keras {versions['keras']} is too old: pip install 'keras>=3.14'")
    if "tensorflow" in versions and not (2, 19, 1) <= parts("tensorflow") < (2, 22):
        problems.append(f"tensorflow {versions['tensorflow']} is not one of 2.19.1 to 2.21")
    if "tensorboard" not in versions:
        problems.append("tensorboard is missing, and TensorFlow 2.21 does not bring it: pip install tensorboard")
    if (versions.get("tensorflow", "").startswith("2.19") and "tensorflow-metadata" in versions
            and parts("tensorflow-metadata") >= (1, 18)):
        problems.append(f"tensorflow-metadata {versions['tensorflow-metadata']} does not load with TensorFlow 2.19's "
                        "protobuf: pip install 'tensorflow-metadata<1.18'")
    return problems


def wheel_problems() -> list[str]:
    """Two distributions that both own the module `tensorflow`: the last one installed has overwritten the other."""
    owners = sorted(set(metadata.packages_distributions().get("tensorflow", [])))
    if len(owners) > 1:
        return [f"{' and '.join(owners)} are installed over each other: pip uninstall -y {' '.join(owners)}, "
                "then install one"]
    return []


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
    import keras
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    if gpus:
        native = all(detail.get("compute_capability", (0,))[0] >= 8 for detail in details)
    else:
        native = any(flag in cpu_flags() for flag in ("amx_bf16", "avx512_bf16"))
    facts = {"backend": keras.backend.backend(),
             "devices": ", ".join(detail.get("device_name", "GPU") for detail in details) or "CPU",
             "bfloat16": "native" if native else "emulated here, and slower than float32"}
    if keras.backend.backend() != "tensorflow":
        return facts, [f"kerasdl trains on the TensorFlow backend, and Keras uses {keras.backend.backend()}: "
                       "set KERAS_BACKEND=tensorflow"]
    return facts, []


def cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


def examine_folders() -> tuple[dict[str, str], list[str]]:
    """Where tfds data is looked for and what is there, and whether runs can be written here."""
    from kerasdl.data.named import data_dirs

    asked, problems = os.environ.get("TFDS_DATA_DIR"), []
    if asked and not Path(asked).is_dir():
        problems.append(f"TFDS_DATA_DIR is {asked}, which is not a folder: create it, or unset the variable")
    if not os.access(".", os.W_OK):
        problems.append(f"{Path.cwd()} is not writable: train with --workdir")
    found = {folder: sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name != "downloads")
             for folder in data_dirs() if folder.is_dir()}
    shown = "; ".join(f"{folder} ({', '.join(names) or 'empty'})" for folder, names in found.items())
    return {"data folders": shown or f"none yet; digits will be prepared in {data_dirs()[0]}"}, problems
