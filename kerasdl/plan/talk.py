"""This side of the process that compiles: one question, one answer; its end is an error of one line."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import Any

from kerasdl.errors import UserError
from kerasdl.plan.largest import rounded
from kerasdl.recipe import Recipe

QUIET = {  # for libtpu on a machine without a TPU; the accelerator's name only silences it, whatever the chip
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_LOG_DIR": "disabled",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


class NotCompiled(UserError):
    """The step does not compile on this backend."""


class Compiler:
    """A process that has a recipe's step on one backend and compiles it for one kind of chip; a context manager.

    Attributes:
        about: "memory" of a chip, "size" of the training split, "weights", "statistics" and "versions"; or "error".

    Raises:
        UserError: the recipe cannot be.
        NotCompiled: the process has died.
    """

    def __init__(self, recipe: Recipe, chip: str, backend: str):
        self.log = tempfile.TemporaryFile("w+")
        environment = os.environ | QUIET | {"KERAS_BACKEND": backend}
        self.process = subprocess.Popen([sys.executable, "-P", "-m", "kerasdl.plan.child"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment)
        try:
            self.turn_to(recipe, chip)
        except BaseException:
            self.__exit__(UserError)
            raise

    def turn_to(self, recipe: Recipe, chip: str) -> None:
        """The questions after this are of that recipe and chip."""
        self.about = self.ask(recipe=recipe.model_dump(mode="json"), chip=chip)

    def ask(self, **question: Any) -> dict[str, Any]:
        """The answer to {"batch", "chips"}; a mistake of the user's is raised."""
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise NotCompiled(f"The process that compiles has ended: {self._last_words()}")
        answer = json.loads(line)
        if answer.get("error") == "UserError":
            raise UserError(answer["message"])
        return answer

    def _last_words(self) -> str:
        self.log.seek(0)
        lines = [line.strip() for line in self.log if line.strip()]
        return ", ".join([f"exit code {self.process.wait()}", *lines[-1:]])

    def __enter__(self) -> "Compiler":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: Any) -> None:
        if error:
            self.process.kill()  # it may be in the middle of minutes of work
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


def refuse(answer: dict[str, Any], recipe: Recipe, on: str, each: int | None = None) -> None:
    """The error of an answer, in one line.

    Raises:
        NotCompiled: another backend may do it.
        UserError: none can.
    """
    name = recipe.name or recipe.model
    where = f" in {answer['layer']}" if "layer" in answer else ""
    if answer["error"] == "TooLarge":
        needed, available = (answer[key] / 2**30 for key in ("needed", "available"))
        near = rounded(int(each * available / max(needed, available))) if needed else each // 2
        raise UserError(f"{name} with {each} examples a chip does not fit on {on}{where}: it needs {needed:.2f} GiB of "
                        f"{available:.2f} GiB. Try --batch {near * (recipe.batch // each)}, or more chips.")
    if answer["error"] in ("LookupError", "ImportError", "ModuleNotFoundError"):
        raise UserError(f"No plan for {on}: {answer['message']}")
    raise NotCompiled(f"The step of {name} does not compile for {on}{where}: {answer['message']}")
