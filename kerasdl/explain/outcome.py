"""What came of explaining a run, in a folder: explain.json, maps.npz, and a PNG of each map over its example."""

import json
from pathlib import Path
from typing import Any

import numpy as np

import kerasdl
from kerasdl.environment import environment
from kerasdl.errors import UserError
from kerasdl.explain import examples, methods, overlay
from kerasdl.explain.explaining import Explained
from kerasdl.files import whole, write_json, writing
from kerasdl.text import moment

FILE, ARRAYS = "explain.json", "maps.npz"
AGAIN = "Name another folder with --out."


def document(explained: Explained) -> dict[str, Any]:
    """Return plain numbers: the examples with their answers, each method with its maps' files and checks."""
    subject, recipe = explained.subject, explained.subject.recipe
    return {
        "run": str(subject.run.path), "recipe": recipe.name or recipe.model, "objective": recipe.objective,
        "model": recipe.model, "data": recipe.data, "kind": subject.kind, "classes": subject.classes,
        "shown": explained.examples.title if explained.examples else "", "examples": answers(explained),
        "methods": [_method(explained, name) for name in dict.fromkeys((*explained.found, *explained.checks))],
        "descriptions": [{"method": name, "title": methods.find(name).TITLE,
                          "arrays": {key: significant(values)
                                     for key, values in arrays.items() if np.size(values) <= 1000}}
                         for name, arrays in explained.descriptions.items()],
        "remarks": explained.remarks, "finished": moment(), "kerasdl": kerasdl.__version__,
        "environment": environment()}


def answers(explained: Explained) -> list[dict[str, Any]]:
    """Return for each example its name, the truth if it is known, the answer, and which output is explained."""
    if not explained.found or explained.examples is None:
        return []
    subject, found = explained.subject, next(iter(explained.found.values()))
    shares = subject.probability(found.logits) if subject.probability else found.logits
    rows = []
    for place, name in enumerate(explained.examples.names):
        best, target = int(found.logits[place].argmax()), int(found.target[place])
        said = {"predicted": subject.named(best), "probability": float(shares[place, best])} if subject.classes else {
            "predicted": ", ".join(f"{value:.6g}" for value in found.logits[place]), "probability": None}
        truth = explained.examples.truth[place] if explained.examples.truth else None
        rows.append({"example": name, "truth": truth, **said, "explained": subject.named(target),
                     "logit": float(found.logits[place, target])})
    return rows


def _method(explained: Explained, name: str) -> dict[str, Any]:
    """Return what is said of one method; of texts and rows also its numbers, which no image shows."""
    module, found, kind = methods.find(name), explained.found.get(name), explained.subject.kind
    row = {"method": name, "title": module.TITLE, "reads": module.READS, "source": module.SOURCE,
           "signed": module.SIGNED or kind == "row", "layer": explained.layers.get(name), "images": [], "parts": [],
           "zero": None, "values": None, "check": explained.checks.get(name)}
    if found is not None:
        size = np.abs(found.maps).reshape(len(found.maps), -1).max(axis=1)
        row |= {"zero": float((size == 0).mean()), "parts": list(found.parts),
                "images": [file_name(name, place) for place in range(len(found.maps))] if drawn(kind) else [],
                "values": None if drawn(kind) else significant(found.maps)}
    return row


def significant(values: Any) -> list[Any]:
    """Return an array as lists, without the digits that its precision does not have."""
    digits = 7 if np.asarray(values).dtype == np.float32 else 12
    return np.vectorize(lambda value: float(f"{value:.{digits}g}"), otypes=[float])(values).tolist()


def drawn(kind: str) -> bool:
    """Return whether a map is an image over its example."""
    return kind in ("image", "sequence")


def file_name(method: str, place: int, part: str = "") -> str:
    """Return the name of the PNG of a map."""
    return f"{method}-{place + 1:02d}{'-' + part.replace(' ', '-') if part else ''}.png"


def pixels(explained: Explained, name: str, place: int, part: str = "") -> np.ndarray:
    """Return a map over its example, uint8 (h, w, 3)."""
    found = explained.found[name]
    values = (found.parts[part] if part else found.maps)[place]
    draw = overlay.of_image if explained.subject.kind == "image" else overlay.of_series
    return draw(explained.examples.x[place], values, found.signed)  # type: ignore[union-attr]


def written(folder: Path) -> list[Path]:
    """Return the PNGs of the explanation that is in a folder; others may be the user's, even what is explained."""
    try:
        rows = json.loads((folder / FILE).read_text(encoding="utf-8"))["methods"]
    except (OSError, ValueError, LookupError):
        return []
    return [folder / file_name(row["method"], place, part) for row in rows for place in range(len(row["images"]))
            for part in ("", *row["parts"])]


def write(explained: Explained, folder: Path) -> dict[str, Any]:
    """Write explain.json, the maps as arrays and the PNGs into a folder, and return what explain.json holds.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    found = document(explained)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / FILE).is_file():
        raise UserError(f"{folder} is not empty, and holds no earlier explanation. {AGAIN}")
    with writing(folder, AGAIN):
        folder.mkdir(parents=True, exist_ok=True)
        for old in (*written(folder), folder / ARRAYS):
            old.unlink(missing_ok=True)
        if drawn(explained.subject.kind):
            for name, explanation in explained.found.items():
                for place in range(len(explanation.maps)):
                    for part in ("", *explanation.parts):
                        with whole(folder / file_name(name, place, part)) as partial:
                            overlay.save(pixels(explained, name, place, part), partial)
        if arrays := maps(explained):
            with whole(folder / ARRAYS) as partial:
                np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]  # no name of ours is one of its options
        write_json(folder / FILE, found)
    return found


def maps(explained: Explained) -> dict[str, np.ndarray]:
    """Return all arrays by name: the map of each method, those of its parts, and what describes the model."""
    found = {name: explanation.maps for name, explanation in explained.found.items()}
    found |= {f"{name} {part}": values for name, explanation in explained.found.items()
              for part, values in explanation.parts.items()}
    return found | {f"{name} {key}": values for name, arrays in explained.descriptions.items()
                    for key, values in arrays.items()}


def texts(explained: Explained) -> list[list[str]]:
    """Return the tokens of each text, or the names of the columns for each row."""
    if explained.examples is None or drawn(explained.subject.kind):
        return []
    x = explained.examples.x
    if explained.subject.kind == "tokens":
        return examples.words(explained.subject.run, x)
    return [examples.columns(explained.subject.run, x.shape[1])] * len(x)
