"""onnxruntime-web, which runs ONNX files in browsers: fetched from npm's registry once, pinned and checked."""

import base64
import logging
import tarfile
from pathlib import Path

from kerasdl import downloads
from kerasdl.files import cache

VERSION = "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="  # npm's
ADDRESS = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
FILES = {  # in the folder of the page, and in the package; servers know the types of these endings
    "ort.js": "package/dist/ort.wasm.bundle.min.mjs",
    "ort.wasm": "package/dist/ort-wasm-simd-threaded.wasm",
}
LICENSE = "LICENSE"  # the package has none, but names it and its holder in its files
logger = logging.getLogger(__name__)


def fetch() -> Path:
    """Return the package, which is downloaded unless the cache has it.

    Raises:
        UserError: no network, or a package that was changed.
    """
    kind, _, digest = INTEGRITY.partition("-")
    file = cache() / "npm" / ADDRESS.rpartition("/")[2]
    if not file.is_file():
        logger.info("fetching onnxruntime-web %s from npm, once", VERSION)
    return downloads.fetch(ADDRESS, file, f"{kind}:{base64.b64decode(digest).hex()}")


def unpack(package: Path, folder: Path) -> None:
    """Write what a page needs of the package into a new folder, with its licence."""
    folder.mkdir()
    with tarfile.open(package) as archive:
        for name, inside in FILES.items():
            held = archive.extractfile(inside)
            assert held is not None  # by INTEGRITY
            (folder / name).write_bytes(held.read())
    (folder / LICENSE).write_bytes(Path(__file__).with_name("onnxruntime.LICENSE").read_bytes())
