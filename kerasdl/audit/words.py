"""Numbers as the sentences of an audit say them, and what its cards are made of."""

from markupsafe import Markup

NARROW = 4.6  # inches of a figure whose letters can be read on a phone


def percent(value: float) -> str:
    """Return a share with one decimal: "98.7 %"; two close to 0 and 1."""
    return f"{100 * value:.2f} %" if 0 < min(value, 1 - value) < 0.01 else f"{100 * value:.1f} %"


def share(value: float) -> str:
    """Return a share that somebody chose: "90 %", "0.1 %"."""
    return f"{100 * value:.3g} %"


def points(value: float) -> str:
    """Return a difference of two shares: "+1.3 points"."""
    return f"{100 * value:+.1f} points"


def span(low: float, high: float) -> str:
    """Return an interval of shares: "-0.1 to 3.4 %"."""
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def some(names: list[str], most: int = 5) -> str:
    """Return names as a list that ends with how many are left out: "A, B and 7 more"."""
    rest = len(names) - most
    return ", ".join(names) if rest <= 0 else f"{', '.join(names[:most])} and {rest} more"


def fold(summary: str, body: Markup) -> Markup:
    """Return something that opens when its line is pressed."""
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, body)
