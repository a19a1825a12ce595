"""A run is a folder: the names of its files, how they are written, and how the run is loaded back."""

import hashlib
import json
import os
import secrets
import shutil
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasdl import user_code
from kerasdl.errors import UserError
from kerasdl.files import take_lock, write_new, write_text, writing
from kerasdl.recipe import Recipe, names
from kerasdl.recipe import load as load_recipe
from kerasdl.text import resuming, typed

FILES = ("data.json", "choice.json", "init.json", "result.json", "metrics.csv", "tensorboard", "checkpoint",
         "model.keras", "predictions.npz", "report.html", "code", "tokenizer.json", "seen.npy")  # and recipe.json
SEEN = "seen.npy"  # hashes of what was learned from without labels
INIT = Path("checkpoint") / "init.keras"  # the first weights, copied until the run is finished
# Arguments that are paths, or may be.
PATHS_IN = {"data_args": ("val", "test", "root", "tokens"), "model_args": ("weights",), "objective_args": ("teacher",)}
NOTES = ("folder", "noted", "remarks", "run")  # of Run.data: all that does not say which data it is


@dataclass(frozen=True)
class Run:
    """A trained recipe on disk.

    Files: recipe.json (exactly what ran), data.json (class names, shapes and columns, what predict needs), choice.json
    (what "auto" became), init.json (where the first weights came from, if the recipe says so), result.json (the
    numbers; absent while the run is not finished), metrics.csv (a row an epoch), tensorboard/, checkpoint/ (while it is
    not finished), model.keras, predictions.npz (the answers for the test split), report.html, seen.npy (a
    hash of each example that was learned from without labels), tokenizer.json of a model of text, and code/ with the
    user's own files, if the recipe names some.
    """

    path: Path

    @classmethod
    def create(cls, recipe: Recipe, workdir: str | Path | None = None, ours: bool = True, new: bool = False) -> "Run":
        """A new folder, `runs/<recipe>/<time>-<id>/` or `workdir`, which holds recipe.json.

        Args:
            ours: whether this process writes the run; of several workers only the first one does.
            new: whether a run that is there, as another process has just begun it, is continued and not written over;
                see Run.unfinished.

        Raises:
            UserError: if the folder cannot be written, or `new` finds a run there that cannot go on.
        """
        path = folder_for(recipe.name or recipe.model) if workdir is None else Path(workdir)
        with writing(path, "Choose another --workdir."):
            path.mkdir(parents=True, exist_ok=True)
            text, there = recipe.model_dump_json(indent=2) + "\n", False
            if ours and new:
                there = not write_new(path / "recipe.json", text)
            elif ours:
                write_text(path / "recipe.json", text)
        return (cls.unfinished(path, recipe) if there else None) or cls(path)

    @classmethod
    def unfinished(cls, path: str | Path | None, recipe: Recipe, several: bool = False) -> "Run | None":
        """The interrupted run of this recipe in a folder, to go on with; None where the folder holds no run.

        Args:
            several: whether runs are to have folders of their own in this one.

        Raises:
            UserError: if the run there is finished, or is of another recipe: the difference is named. Or the folder
                holds what a run would overwrite or hide.
        """
        if path is None:
            return None
        if not os.fspath(path):
            raise UserError("--workdir is empty. Name a folder, or leave it out.")
        if not (Path(path) / "recipe.json").exists():
            _check_free(Path(path), several)
            return None
        run = cls.open(path)
        if (run.path / "result.json").exists():
            shutil.rmtree(run.path / "checkpoint", ignore_errors=True)  # of a process that was killed just before
            raise UserError(f"{path} already holds a finished run ({run.result['status']}). To train anew, choose "
                            f"another --workdir. To begin with its weights, add --init {typed(path)}.")
        if changed := recipe.changes(run.recipe):
            raise UserError(f"{path} holds an interrupted run of another recipe: {', '.join(changed)}. "
                            "Resume it without changes, or choose another --workdir.")
        return run

    @classmethod
    def completed(cls, path: str | Path | None, recipe: Recipe) -> "Run | None":
        """The completed run of this recipe, and of the user's own files as they are, in a folder; None without one."""
        if not path or not all((Path(path) / name).is_file() for name in ("recipe.json", "result.json")):
            return None
        run = cls(Path(path))
        if recipe.changes(run.recipe) or user_code.changed(recipe, run.path) or run.result["status"] != "completed":
            return None
        shutil.rmtree(run.path / "checkpoint", ignore_errors=True)  # of a process that was killed just before
        return run

    @classmethod
    def open(cls, path: "str | Path | Run") -> "Run":
        """The run in a folder.

        Raises:
            UserError: if the folder is not a run's.
        """
        if not os.fspath(path.path if isinstance(path, Run) else path):
            raise UserError("A run is named by its folder. Received an empty name.")
        run = path if isinstance(path, Run) else cls(Path(path))
        if not run.path.is_dir():
            raise UserError(f"There is no run folder {run.path}. Make one with: kerasdl train RECIPE")
        if not (run.path / "recipe.json").is_file():
            raise UserError(f"{run.path} is not a run: it has no recipe.json.")
        return run

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Within it, a file that cannot be written ends the training in one line: what is kept, and how to go on."""
        with writing(self.path, lambda: f"{self._kept()} Once it can be: {self.again}"):
            yield

    @contextmanager
    def alone(self, ours: bool = True) -> Iterator[None]:
        """Within it no other process trains this run.

        Args:
            ours: whether this process writes the run; the others ask nobody.

        Raises:
            UserError: if another process does, or has just finished it.
        """
        lock = None
        try:
            with self.writing():
                lock, alone = take_lock(self.path / "recipe.json") if ours else (None, True)
            if not alone:
                raise UserError(f"Another process trains {self.path}. Wait for it, or stop it.")
            if ours and (self.path / "result.json").exists():
                raise UserError(f"{self.path} was finished meanwhile by another process.")
            if lock is not None:
                for half in self.path.glob(".partial-*-model.keras"):  # of processes that were killed
                    half.unlink(missing_ok=True)
            yield
        finally:
            if lock is not None:
                os.close(lock)

    @property
    def again(self) -> str:
        """How to go on with this run when it is interrupted."""
        if self.path.parts[-3:-1] == ("audit", "shadows"):
            return f"repeat the audit of {self.path.parents[2]}"
        several = any(self.path.glob("checkpoint/worker-*"))
        if (self.path / "recipe.json").is_file() and self.recipe.data == "arrays":
            return f"call kerasdl.train again, with the same data and workdir={os.fspath(self.path)!r}"
        return "start the job again on every worker" if several else resuming("train", self.path)

    def _kept(self) -> str:
        steps = [int(file.stem.removeprefix("step-")) for file in self.path.glob("checkpoint/**/step-*.npz")]
        return f"The checkpoint of step {max(steps)} is kept." if steps else "No checkpoint was written yet."

    @property
    def recipe(self) -> Recipe:
        return load_recipe(self.path / "recipe.json")

    @property
    def result(self) -> dict[str, Any]:
        """What was measured. Raises UserError while the run is not finished."""
        file = self.path / "result.json"
        if not file.is_file():
            raise UserError(f"{self.path} has no result.json: the run did not finish. To go on: {self.again}")
        return _read(file)

    @property
    def data(self) -> dict[str, Any]:
        """What the model expects: {"shape", "classes"} and, for CSV rows, "columns"; and "run", the run's folder."""
        facts = _read(self._need("data.json"))
        kind = "row" if isinstance(facts["shape"], int) else "image"  # 0.1 wrote no kind
        return {"kind": kind, **facts, "run": str(self.path)}

    @property
    def folder(self) -> str | None:
        """The folder in which it began, from which its data has its path; None where it has not begun."""
        return self.data.get("folder") if (self.path / "data.json").is_file() else None

    @property
    def data_digest(self) -> str:
        """The SHA-256 of what a model's file is used with: data.json but for NOTES and, of texts, tokenizer.json."""
        facts = {key: value for key, value in self.data.items() if key not in NOTES}
        tokens = self.path / "tokenizer.json"
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()
                              + (tokens.read_bytes() if tokens.is_file() else b"")).hexdigest()

    @property
    def choice(self) -> dict[str, Any] | None:
        """What became of the recipe's "auto" fields, and the speeds that decided; None where there is no "auto"."""
        file = self.path / "choice.json"
        return _read(file) if file.exists() else None

    @property
    def origin(self) -> dict[str, Any]:
        """Where the first weights came from, if the recipe has `init`: recipe, seed, a hash, and which layers."""
        return _read(self._need("init.json"))

    @property
    def holds_private(self) -> bool:
        """Whether its weights, a member's, or those that it began with were trained privately."""
        begun = self.origin if (self.path / "init.json").is_file() else {}
        made = self.result if (self.path / "result.json").is_file() else {}
        return bool(self.recipe.private or begun.get("private")
                    or any(member.get("private") for member in made.get("members", ())))

    @property
    def metrics(self):
        """metrics.csv as a pandas DataFrame, a row an epoch."""
        import pandas

        return pandas.read_csv(self._need("metrics.csv"))

    def model(self):
        """The trained keras.Model: raw examples in, logits out."""
        file = self.model_file
        user_code.register(self.path)
        return load_model(file)

    @property
    def model_file(self) -> Path:
        """The file of the trained model. Raises UserError where the run did not get that far."""
        return self._need("model.keras")

    def _need(self, name: str) -> Path:
        file = self.path / name
        if not file.is_file():
            raise UserError(f"{self.path} has no {name}: the run did not get that far. To go on: {self.again}")
        return file


def _read(file: Path) -> Any:
    """What a file of a run says. Raises UserError for one that is not whole, as after an interrupted copy."""
    try:
        return json.loads(file.read_bytes())
    except ValueError:
        raise UserError(f"{file} is damaged. Copy the run again, or train it anew.") from None


def located_path(path: str, folder: str | None) -> str:
    """Return a path, or that from a run's folder where there is nothing of that path here."""
    if folder and not Path(path).expanduser().exists() and (there := Path(folder, path)).exists():
        return str(there)
    return path


def weights_file(init: str) -> Path:
    """The .keras file that a recipe's `init` names.

    Raises:
        UserError: there is none.
    """
    file = Path(init) if init.endswith(".keras") else Path(init) / "model.keras"
    if not file.is_file():
        raise UserError(f"init={init}: there is no {file}. Give the folder of a finished run, or a .keras file. "
                        "Public weights are model_args.weights=NAME, see kerasdl weights list.")
    return file


def load_model(file: Path, told: str = ""):
    """The keras.Model in a .keras file, uncompiled, the zoo's layers known.

    Args:
        file: what to load.
        told: what the error begins with.

    Raises:
        UserError: a file that is damaged or no model, or has layers that nobody knows.
    """
    import keras

    from kerasdl import zoo

    zoo.register()
    try:
        return keras.saving.load_model(file, compile=False)
    except (ValueError, TypeError, OSError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{told}{file} does not load as a Keras model: "
                        f"{' '.join(str(error).split())[:200]}") from None


def _check_free(folder: Path, several: bool) -> None:
    """Raise a UserError for a folder that holds what a run would overwrite or, unless there are to be `several`, for
    one of runs, also by their recipes, as runs/ is: a run in it would hide them."""
    if taken := [name for name in FILES if (folder / name).exists() and not _others(folder / name)]:
        raise UserError(f"{folder} is not a run's folder, and holds {taken[0]}, which a run would overwrite. "
                        "Choose another --workdir.")
    inner = (file for depth in ("*", "*/*") for file in folder.glob(f"{depth}/recipe.json"))
    if not several and (found := next(inner, None)):
        raise UserError(f"{folder} holds runs, such as {found.parent}, and a run has a folder of its own. "
                        "Choose another --workdir.")


def _others(folder: Path) -> bool:
    """Whether it holds checkpoints of a worker other than the first, whose own folder may have no recipe.json."""
    return folder.name == "checkpoint" and folder.is_dir() and all(
        part.name.startswith("worker-") for part in folder.iterdir())


def folder_for(name: str) -> Path:
    """A new name in runs/, by time. Of a model of the user's own it has the name of the file."""
    if user_code.is_reference(name):
        name = user_code.split(name)[0].stem
    return Path("runs") / name / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def recipe_of(recipe: Recipe | str | Path, overrides: Sequence[str] = (), workdir: str | Path | None = None,
              **changes: Any) -> Recipe:
    """The recipe of a name, a file or a run, as kerasdl.recipe.load has it, with overrides. Of a run, the user's own
    code is the run's copy: the file itself may have changed since, or be elsewhere. And its paths are from the folder
    in which it began.

    Args:
        workdir: where it is to be trained; in its own folder a run is resumed with its recipe as it is.
        **changes: overrides as values.
    """
    found = load_recipe(recipe)
    if isinstance(recipe, Recipe) or str(recipe) in names():
        return found.override(*overrides, **changes)
    path = Path(recipe)
    folder = path.parent if path.name == "recipe.json" else path
    goes_on = workdir is not None and Path(workdir).resolve() == folder.resolve()
    changed = (found if goes_on else from_folder(found, Run(folder).folder)).override(*overrides, **changes)
    if goes_on or not (folder / user_code.CODE).is_dir():
        return changed
    given = {*changes, *(pair.partition("=")[0].strip() for pair in overrides)}
    return changed.model_copy(update={field: value for field, value in user_code.kept(changed, folder).items()
                                      if field not in given})


def from_folder(recipe: Recipe, folder: str | None) -> Recipe:
    """Return the recipe of a run for another folder than that in which it began: paths of data, weights and a teacher
    are from that one if they are there, also where there is something of that path here, as it may be other data."""
    if folder is None or Path(folder).resolve() == Path.cwd():
        return recipe

    def there(value: Any) -> Any:
        return str(Path(folder, value)) if value and isinstance(value, str) and Path(folder, value).exists() else value

    source, colon, path = recipe.data.partition(":")
    args = {field: {key: there(value) if key in paths else value for key, value in getattr(recipe, field).items()}
            for field, paths in PATHS_IN.items()}
    return recipe.model_copy(update={"data": f"{source}:{there(path)}" if colon else recipe.data,
                                     "init": there(recipe.init), **args})


def load(path: str | Path | Run) -> Run:
    """The run in a folder: `kerasdl.load("runs/vit_digits/...").model()`. See Run.open."""
    return Run.open(path)


