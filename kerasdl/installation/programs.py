"""Programs that XLA compiled, kept on disk for the next process that runs the same: half of a small run is compiling.

TensorFlow and JAX name a program by what it computes. Not by what computes it: so each set of versions, flags,
processor and cores has a folder of its own. Of a file that is cut short TensorFlow makes an error of the training, so
its files are looked at first; JAX compiles again. GPUs and TPUs are left out: there the time goes elsewhere.
"""

import hashlib
import os
import platform
import shutil
from contextlib import suppress
from pathlib import Path

from kerasdl import files
from kerasdl.errors import UserError
from kerasdl.installation import tpu, versions

LIMIT = 2**29  # bytes of one folder; beyond it the older half goes
ROOM = 2**30  # bytes that must be free on the disk
TENSORFLOW = "--tf_xla_persistent_cache_directory="  # of TF_XLA_FLAGS
JAX = "JAX_COMPILATION_CACHE_DIR"
FLAGS = ("XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "TF_NUM_INTRAOP_THREADS")  # others that count
GPU = Path("/dev/nvidiactl")


def keep() -> None:
    """Let the frameworks keep their programs, where nothing speaks against it. Call it before they are imported."""
    if GPU.exists() or tpu.attached():
        return
    try:
        flags, here = users_flags(), folder()
        if has_space(here) or any(flag.startswith(TENSORFLOW) for flag in flags):
            return
        here.mkdir(parents=True, exist_ok=True)
        if not os.access(here, os.W_OK) or shutil.disk_usage(here).free < ROOM:
            return
        tidy(here)
    except (OSError, UserError):  # no home, a disk that is read only: it works without
        return
    os.environ["TF_XLA_FLAGS"] = " ".join([*flags, f"{TENSORFLOW}{here}"])
    if os.environ.get(JAX, str(root())).startswith(str(root())):
        os.environ[JAX] = str(here / "jax")


def has_space(path: Path) -> bool:
    """Return whether a path has white space, at which XLA divides its flags."""
    return any(map(str.isspace, str(path)))


def users_flags() -> list[str]:
    """Return TF_XLA_FLAGS without what a parent process has set here, which may have had more cores than this one."""
    flags = os.environ.get("TF_XLA_FLAGS", "").split()
    return [flag for flag in flags if not flag.startswith(f"{TENSORFLOW}{root()}")]


def root() -> Path:
    """Return the folder of all."""
    return files.cache() / "programs"


def folder() -> Path:
    """Return the folder of the programs that fit this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    known = [sorted(versions.installed().items()), tpu.installed("jaxlib"), processor(), cores,
             users_flags(), *map(os.environ.get, FLAGS)]
    return root() / hashlib.sha256(repr(known).encode()).hexdigest()[:16]


def processor() -> list[str]:
    """Return the name of the processor, and what it can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return [platform.machine(), platform.processor()]
    return [line for line in lines if line.startswith(("model name", "flags", "Features"))]


def tidy(here: Path) -> None:
    """Remove files that are not whole, and the older half where there is too much."""
    there = []
    for file in [*here.glob("*.pb"), *here.glob("jax/*")]:
        with suppress(OSError):  # another process removes it
            if file.suffix != ".pb" or whole(file):
                there.append((file.stat().st_mtime, file.stat().st_size, file))
            else:
                file.unlink()
    if sum(size for _, size, _ in there) > LIMIT:
        for _, _, file in sorted(there)[:len(there) // 2 + 1]:
            with suppress(OSError):
                file.unlink()


def whole(file: Path) -> bool:
    """Return whether a file, a protocol buffer whose fields have a length, ends where its last field does."""
    size, at = file.stat().st_size, 0
    with file.open("rb") as opened:
        while at < size:
            opened.seek(at)
            head = opened.read(20)
            tag, place = varint(head, 0)
            length, place = varint(head, place)
            if tag & 7 != 2:  # a number, whose value stands where a length would
                length = 0
            at += place + length
    return 0 < size == at


def varint(data: bytes, place: int) -> tuple[int, int]:
    """Return the number that begins at a place, seven bits in a byte and the lowest first, and where it has ended."""
    number = 0
    for shift, byte in enumerate(data[place:]):
        number |= (byte & 127) << 7 * shift
        if byte < 128:
            return number, place + shift + 1
    return number, len(data) + 1  # cut short: beyond the end
