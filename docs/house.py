"""The diagram of the house: draws docs/images/house.svg, boxes in rows with arrows downwards.

    python docs/house.py

Boxes are opaque, so that the diagram reads on a light and on a dark page. It is narrow, so that it reads on a phone.
"""

from pathlib import Path

ROWS = (  # a room may import the rooms of lower rows; a tuple is one row
    ("cli",),
    ("auto", "nas"),
    ("tuning", "photos", "probing", "explain", "audit", "plan", "hub", "published", "ensemble"),
    ("costs",),
    ("deploy",),
    ("reports",),
    ("train",),
    ("checkpoints", "evaluation", "devices"),
    ("objectives",),
    ("data", "attacks", "compression"),
    ("zoo",),
    ("recipe", "run", "runs", "files", "environment", "errors", "installation"),
)
WORDS = {"cli": "the commands", "costs": "of a network before it is trained", "deploy": "files for other runtimes",
         "reports": "the page of a run", "train": "from a recipe to a run", "objectives": "what a model learns",
         "zoo": "the models"}
PARTS = {"recipes"}  # folders that belong to a room: shipped recipes are files of `recipe`
PICTURE = "images/house.svg"
WIDTH, EDGE, GAP, HEIGHT, ARROW, COLUMNS = 400, 4, 8, 40, 22, 3
COLOURS = (*["#dbe7fb"] * 6, *["#fde9c9"] * 2, *["#d9f2e1"] * 3, "#e8e6ee")


def svg() -> str:
    """Return the diagram."""
    shapes, y = [], EDGE
    for row, colour in zip(ROWS, COLOURS, strict=True):
        if y > EDGE:
            shapes.append(arrow(y))
            y += ARROW
        columns = len(row) if len(row) <= 4 else COLUMNS
        for start in range(0, len(row), columns):
            shapes += boxes(row[start:start + columns], y, colour)
            y += HEIGHT + GAP
        y -= GAP
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + EDGE}" width="{WIDTH}" '
            f'height="{y + EDGE}" role="img" aria-label="The rooms of kerasdl, one row above the other">\n'
            '<g font-family="system-ui, sans-serif" font-size="14" text-anchor="middle" fill="#1c2430">\n'
            f'{"".join(shapes)}</g>\n</svg>\n')


def boxes(rooms: tuple[str, ...], y: int, colour: str) -> list[str]:
    """Return the boxes of one line, side by side."""
    width = (WIDTH - 2 * EDGE - GAP * (len(rooms) - 1)) / len(rooms)
    shapes = []
    for i, room in enumerate(rooms):
        x = EDGE + i * (width + GAP)
        size = ' font-size="13"' if len(rooms) > COLUMNS else ""
        words = f'<tspan font-weight="600"{size}>{room}</tspan>'
        if len(rooms) == 1 and room in WORDS:
            words += f'<tspan dx="8">{WORDS[room]}</tspan>'
        shapes.append(f'<rect x="{x:g}" y="{y}" width="{width:g}" height="{HEIGHT}" rx="8" fill="{colour}" '
                      f'stroke="#8a94a6"/>\n<text x="{x + width / 2:g}" y="{y + HEIGHT / 2 + 5:g}">{words}</text>\n')
    return shapes


def arrow(y: int) -> str:
    """Return an arrow that points down, from the bottom of a row at height `y`."""
    x, tip = WIDTH / 2, y + ARROW - 2
    return (f'<path d="M{x:g} {y + 2} V{tip} M{x - 5:g} {tip - 6} L{x:g} {tip} L{x + 5:g} {tip - 6}" '
            'fill="none" stroke="#8a94a6" stroke-width="2"/>\n')


if __name__ == "__main__":
    (Path(__file__).parent / PICTURE).write_text(svg())
