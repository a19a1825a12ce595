"""What an objective hands to the report: titled sections, made of text, images, tables and drawings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from markupsafe import Markup

from kerasdl import figures
from kerasdl.data.split import Split


@dataclass(frozen=True)
class Findings:
    """What a report may show of a run.

    Attributes:
        model: gives the kept model, loaded when it is first asked for.
        splits: gives a split by its name, loaded when it is first asked for.
        result: result.json.
        data: the name of the data that `splits` come from.
        folder: of the run.
        predictions: (index, truth, outputs) of the test split, or None; see kerasdl.evaluation.predictions.
    """

    model: Callable[[], keras.Model]
    splits: Callable[[str], Split]
    result: Mapping[str, Any]
    data: str
    folder: Path
    predictions: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class Section:
    """A card of the report.

    Attributes:
        title: its heading; "" where the body is a whole card, or several, as a template of the objective's own makes.
        body: HTML. The functions below make it.
        id: of the HTML element; "" for none.
        above: whether it stands before the curves of the training.
    """

    title: str
    body: Markup
    id: str = ""
    above: bool = False


def note(text: str) -> Markup:
    """Return a paragraph in a soft colour."""
    return Markup('<p class="soft">{}</p>').format(text)


def image(pixels: np.ndarray, description: str) -> Markup:
    """Return an image (H, W, C) uint8, as wide as the card."""
    return Markup('<img class="sheet" src="{}" alt="{}">').format(figures.png_of(pixels), description)


def drawing(svg: Markup, description: str) -> Markup:
    """Return a drawing of kerasdl.figures as a figure."""
    return Markup('<figure role="img" aria-label="{}">{}</figure>').format(description, svg)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Markup:
    """Return a table that scrolls where it is wider than the page; the first cell of a row is its name."""
    top = Markup("").join(Markup('<th scope="col">{}</th>').format(cell) for cell in head)
    body = Markup("").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            first, Markup("").join(Markup("<td>{}</td>").format(cell) for cell in rest)) for first, *rest in rows)
    return Markup('<div class="scroll" tabindex="0"><table class="full"><thead><tr>{}</tr></thead>'
                  "<tbody>{}</tbody></table></div>").format(top, body)


def template(name: str, **values: Any) -> Markup:
    """Return a Jinja template of the folder `templates`, rendered."""
    import jinja2

    pages = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True,
                               trim_blocks=True, lstrip_blocks=True)
    return Markup(pages.get_template(name).render(**values))


def preformatted(text: str) -> Markup:
    """Return a text with its lines as they are."""
    return Markup('<pre class="sample">{}</pre>').format(text)
