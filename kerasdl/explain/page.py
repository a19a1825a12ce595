"""explain.html: what a model looks at, with the checks of each method; and the section of the run's report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from kerasdl import figures
from kerasdl.explain import methods, outcome, overlay
from kerasdl.explain.explaining import Explained
from kerasdl.objectives.sections import Section
from kerasdl.reports import additions, html
from kerasdl.text import typed

PAGE, HERE = "explain.html", Path(__file__).parent
SHOWN, COLUMNS = 12, 12  # examples of the report's section, columns of a row
SCORES = ("insertion", "deletion", "score")
NAMES = {"random": "random places", "edges": "edges", "centre": "nearness to the centre"}  # of the controls


def write(explained: Explained, found: dict[str, Any], folder: Path) -> Path:
    """Write the page, one file that needs no other, and return its path.

    Args:
        explained: what was explained.
        found: what its explain.json holds.
        folder: where explain.json is.
    """
    words, blocks = outcome.texts(explained), []
    for row in found["methods"]:
        blocks.append({"row": row, "cards": cards(explained, row["method"], found["examples"], words),
                       "parts": parts(explained, row["method"], words), "curves": curves(row), "cascade": cascade(row)})
    described = [{"module": methods.find(name), "body": methods.find(name).show(arrays, explained.material)}
                 for name, arrays in explained.descriptions.items()]
    text = html.render(HERE / f"{PAGE}.j2", found=found, blocks=blocks, described=described, scores=SCORES,
                       kind=explained.subject.kind, names=NAMES, command=command(explained, found),
                       originals=originals(explained, found["examples"]))
    return html.write(folder / PAGE, text, outcome.AGAIN)


def command(explained: Explained, found: dict[str, Any]) -> str:
    """Return the command that explains the same methods again; of which examples, a reader knows better."""
    names = ",".join([*(row["method"] for row in found["methods"]), *explained.descriptions])
    return f"kerasdl explain {typed(explained.subject.run.path)} --method {names}{' --check' * bool(explained.checks)}"


def originals(explained: Explained, rows: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return (address, caption) of each image as it is; other examples can be read in their maps."""
    if explained.examples is None or explained.subject.kind != "image":
        return []
    return [(figures.png(np.clip(each, 0, 255).round().astype("uint8")), caption(row))
            for each, row in zip(explained.examples.x, rows, strict=False)]


def caption(row: dict[str, Any]) -> str:
    """Return what an example is, and what the model answered: "test 7: 9, said 4 (97.2%)"."""
    said = row["predicted"] + (f" ({row['probability']:.1%})" if row["probability"] is not None else "")
    true = f"{row['truth']}, said " if row["truth"] is not None else "said "
    return f"{row['example']}: {true}{said}"


def cards(explained: Explained, name: str, rows: Sequence[dict[str, Any]], words: Sequence[Sequence[str]]
          ) -> list[Markup]:
    """Return each example with the map of a method, as HTML."""
    if name not in explained.found or explained.examples is None:
        return []
    explanation, kind = explained.found[name], explained.subject.kind
    made = []
    for place, row in enumerate(rows):
        other = explained.subject.network.classes > 1 and row["explained"] != row["predicted"]
        text = caption(row) + (f", explained: {row['explained']}" if other else "") + (
            "" if np.abs(explanation.maps[place]).max() > 0 else "; the map is 0 everywhere")
        if outcome.drawn(kind):
            body = Markup('<img src="{}" alt="{} of {}">').format(
                figures.png_of(outcome.pixels(explained, name, place)), name, row["example"])
        elif kind == "tokens":
            body = overlay.of_text(words[place], explanation.maps[place], explanation.signed)
        else:
            body = columns(words[place], explained.examples.x[place], explanation.maps[place],
                           explained.subject.offsets)
        made.append(Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(body, text))
    return made


def columns(names: Sequence[str], x: np.ndarray, values: np.ndarray, offsets: Mapping[str, float]) -> Markup:
    """Return the columns of a row that count most, with their values and bars.

    Args:
        names: of the columns.
        x: the row.
        values: attributions.
        offsets: {column: what was subtracted from its numbers}.
    """
    order = np.argsort(-np.abs(values), kind="stable")[:COLUMNS]
    size = np.abs(values).max() or 1.0
    form = Markup('<tr><th scope="row">{}</th><td>{}</td><td class="side"><span class="{}" style="--v:{:.3f}">'
                  "{:+.3g}</span></td></tr>")
    shown = [f"{each + offsets[name]:.12g}" if name in offsets else f"{each:.6g}"
             for name, each in zip(names, x.astype("float64"), strict=True)]
    rows = [form.format(names[place], shown[place], "for" if values[place] > 0 else "against",
                        abs(values[place]) / size, values[place]) for place in order]
    head = Markup('<thead><tr><th scope="col">column</th><th scope="col">value</th><th scope="col">attribution</th>'
                  "</tr></thead>")
    return Markup('<div class="scroll"><table class="full text">{}<tbody>{}</tbody></table></div>').format(
        head, Markup("").join(rows))


def parts(explained: Explained, name: str, words: Sequence[Sequence[str]]) -> list[tuple[str, list[Markup]]]:
    """Return the further maps of the first examples: [(caption, [HTML of each part])]."""
    if name not in explained.found or explained.examples is None:
        return []
    explanation = explained.found[name]
    names = explained.examples.names[:4] if explanation.parts else ()
    return [(example, [part(explained, name, place, each, words) for each in explanation.parts])
            for place, example in enumerate(names)]


def part(explained: Explained, name: str, place: int, which: str, words: Sequence[Sequence[str]]) -> Markup:
    """Return a further map of an example with its name: an image, or a text."""
    if outcome.drawn(explained.subject.kind):
        body = Markup('<img src="{}" alt="{}">').format(
            figures.png_of(outcome.pixels(explained, name, place, which)), which)
    else:
        explanation = explained.found[name]
        body = overlay.of_text(words[place], explanation.parts[which][place], explanation.signed)
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(body, which)


def curves(row: dict[str, Any]) -> list[tuple[str, Markup]]:
    """Return the curves of insertion and of deletion of a method and its controls."""
    if not (check := row["check"]) or "faithfulness" not in check:
        return []
    made = check["faithfulness"]
    lines = {way: [(name, ways[way]) for name, ways in made["curves"].items()] for way in SCORES[:2]}
    return [(way.capitalize(), figures.lines(made["shares"], each, "share of the places", "probability", percent=True))
            for way, each in lines.items()]


def cascade(row: dict[str, Any]) -> Markup | None:
    """Return how alike the maps stay while the layers are randomised."""
    if not row["check"] or len(layers := row["check"]["randomisation"]["layers"]) < 2:
        return None
    kinds = (("with signs", "signed"), ("sizes alone", "absolute"))
    return figures.lines(
        list(range(1, len(layers) + 1)), [(name, [each[key] for each in layers]) for name, key in kinds],
        "groups of layers randomised, from the last", "rank correlation")


def section(explained: Explained, found: dict[str, Any]) -> Section | None:
    """Return the section of the run's report: the examples next to what the first method says of them; None without."""
    if not found["examples"] or not explained.found:
        return None
    name = next(iter(explained.found))
    row, rows = found["methods"][0], found["examples"][:SHOWN]
    doubted = row["check"] is not None and not row["check"]["trusted"]
    body = html.render(
        HERE / "explain_section.html.j2", row=row, cards=cards(explained, name, rows, outcome.texts(explained)),
        plain=originals(explained, rows), doubted=doubted, kind=explained.subject.kind)
    return Section(f"{found['shown']}, and what the network looked at", Markup(body), id="explain")


def hand_in(explained: Explained, found: dict[str, Any]) -> bool:
    """Hand the section to the run's report, and return whether there is one."""
    if made := section(explained, found):
        additions.add(explained.subject.run.path, "explain", [made])
    return made is not None
