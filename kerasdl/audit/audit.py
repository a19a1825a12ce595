"""Audit a run: ask each part, keep what it found, and write it down as audit.json."""

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import kerasdl
from kerasdl.audit import parts
from kerasdl.audit.grouping import Grouping
from kerasdl.audit.subject import Subject
from kerasdl.data import Split
from kerasdl.environment import environment
from kerasdl.files import alone, write_json, writing
from kerasdl.run import Run
from kerasdl.text import moment
from kerasdl.train.record import peak_rss_mb

FOLDER, FILE = "audit", "audit.json"
AGAIN = "Make room, and audit it again: what is measured is not measured again."
logger = logging.getLogger(__name__)


def audit(run: Run | str | Path, groups: Grouping | Sequence[Grouping] = (), *, quick: bool = False, seed: int = 0,
          shadows: int | None = None, data: Mapping[str, Split] | None = None, only: str | Sequence[str] = ()
          ) -> dict[str, Any]:
    """Ask all parts about a run, write RUN/audit.json, and return what it holds.

    What a part found stays in RUN/audit/PART.json: an audit that was interrupted measures what is missing.

    Args:
        run: a finished run, or its folder.
        groups: who is compared: a column, a level of folders, a function of the test split, or several of these; see
            kerasdl.audit.grouping.
        quick: whether to look at fewer examples.
        seed: of everything that is drawn at random.
        shadows: how many shadow runs to train for membership inference, not 1; None: as many as take a minute.
        data: the splits "train", "val" and "test" of a run that was trained on arrays.
        only: names of parts; by default all.

    Raises:
        UserError: a run that cannot be audited, groups that are not there, missing packages, or another process that
            audits the run.
    """
    asked = parts.in_order((only,) if isinstance(only, str) else tuple(only))
    subject = Subject(run, seed=seed, quick=quick, groups=groups, shadows=shadows, data=data)
    subject.split("test"), subject.groups  # before anything takes long
    with alone(subject.run.path / FOLDER, AGAIN):
        found = [{"name": name, "title": part.TITLE, **answer(subject, name, part)} for name, part in asked.items()]
        document = {**about(subject), "parts": found, "seconds": round(sum(part["seconds"] for part in found), 2),
                    "peak_rss_mb": round(peak_rss_mb(), 1), "finished": moment(), "kerasdl": kerasdl.__version__,
                    "environment": environment()}
        with writing(subject.run.path / FILE, AGAIN):
            write_json(subject.run.path / FILE, document)
    return document


def about(subject: Subject) -> dict[str, Any]:
    """Return which run it is, and what it was asked with."""
    recipe, result = subject.recipe, subject.run.result
    return {"run": str(subject.run.path), "recipe": recipe.name or recipe.model, "objective": recipe.objective,
            "model": recipe.model, "data": recipe.data, "kind": subject.kind, "test_examples": len(subject.split()),
            "classes": list(subject.classes), "test": result.get("test", {}), "groups": list(subject.grouped_by),
            "functions": list(subject.functions), "quick": subject.quick, "seed": subject.seed,
            "shadows": subject.shadows}


def answer(subject: Subject, name: str, part: Any) -> dict[str, Any]:
    """Return what a part found, measured now or before, with its sentences; or why it says nothing.

    Returns:
        silent: why it says nothing, or "".
        lines: its sentences.
        found: what `measure` gave; {} where it is silent.
        seconds: of measuring, whenever that was.
        key: what the result depends on, hashed.
    """
    if why := part.applies(subject):
        logger.info("%s %s", part.TITLE, why)
        return {"silent": why, "lines": [], "found": {}, "seconds": 0.0, "key": ""}
    file, mark = subject.run.path / FOLDER / f"{name}.json", key(subject, part)
    kept = read(file)
    if kept.get("key") != mark:
        began = time.monotonic()
        found = json.loads(json.dumps(part.measure(subject), allow_nan=False))  # as it is read back
        kept = {"key": mark, "seconds": round(time.monotonic() - began, 2), "found": found}
        with writing(file, AGAIN):
            file.parent.mkdir(exist_ok=True)
            write_json(file, kept)
    lines = part.lines(kept["found"])
    logger.info("%s (%.1f s) %s", part.TITLE, kept["seconds"], lines[0])
    return {"silent": "", "lines": lines, **kept}


def key(subject: Subject, part: Any) -> str:
    """Return a hash of all that a part's result depends on."""
    settings = {name: subject.settings[name] for name in getattr(part, "SETTINGS", ())}
    facts = {"version": part.VERSION, "weights": subject.weights, "examples": subject.examples_hash,
             "seed": subject.seed, "quick": subject.quick, "settings": settings}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def read(file: Path) -> dict[str, Any]:
    """Return what an earlier audit wrote; {} without one."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
