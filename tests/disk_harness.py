"""Trains on a small tmpfs that fills up, or turns read-only, at a chosen moment; then mends that and resumes.

Run as a program, where it may mount: a folder, the recipe's file, and the cases; by default all. It leaves the runs in
`<folder>/out/<case>` and in `<folder>/told.json` what the command said: {case: [[exit code, stderr], ...]}, when it
failed and when it resumed.
"""

import contextlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

from kerasdl import cli
from kerasdl.checkpoints import callback
from kerasdl.devices import on_device
from kerasdl.train import record

SIZE = 2**20
CASES = {"rows": (2, 1), "tensorboard": (9, 0), "result": ("finish", 0), "unwritable": (9, None)}
# the moment, a step or "finish", and the pages that are left then; None: nothing may be written


def kerasdl(*words: str) -> tuple[int, str]:
    sys.argv, told = ["kerasdl", *words], io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
    return code, told.getvalue()


def spoil(disk: Path, run: Path, pages: int | None) -> None:
    if pages is None:
        subprocess.run(["mount", "--bind", run, run], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", run], check=True)
        return
    room = shutil.disk_usage(disk).free - 4096 * pages
    (disk / "ballast").write_bytes(b"x" * room)


def mend(disk: Path, run: Path, pages: int | None) -> None:
    if pages is None:
        subprocess.run(["umount", run], check=True)
    else:
        (disk / "ballast").unlink()


@contextlib.contextmanager
def at(moment: int | str, act):
    """Within it `act` is called once, before that step or before the end."""
    owner, name = (record, "finish") if moment == "finish" else (callback.CheckpointCallback, "on_train_batch_begin")
    original = getattr(owner, name)

    def acting(*arguments, **keywords):
        if moment == "finish":
            act()
        elif arguments[0].step + 1 == moment:
            arguments[0].checkpoints.wait()  # a folder that is written to cannot be made read-only
            act()
        return original(*arguments, **keywords)

    setattr(owner, name, acting)
    yield
    setattr(owner, name, original)


def main(folder: str, recipe: str) -> None:
    on_device.STEPS = 1  # so that every step can be the moment
    disk, told = Path(folder) / "disk", {}
    disk.mkdir()
    for case, (moment, pages) in CASES.items():
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", disk], check=True)
        run = disk / case
        with at(moment, lambda run=run, pages=pages: spoil(disk, run, pages)):
            first = kerasdl("train", recipe, "--workdir", str(run), "--checkpoint-every", "0", "--no-report")
        mend(disk, run, pages)
        told[case] = [first, kerasdl("train", "--resume", str(run), "--no-report")]
        shutil.copytree(run, Path(folder) / "out" / case)
        if case == "rows":
            spoil(disk, run, pages)
            told["report"] = [kerasdl("report", str(run))]
        subprocess.run(["umount", disk], check=True)
    (Path(folder) / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
