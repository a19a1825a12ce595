"""The questions of an audit. A part is one file of this folder, and its module has

- `TITLE`: the question, in plain words;
- `ORDER`: its place among the others;
- `VERSION`: a number that grows when the same run would get another result;
- `applies(subject) -> str`: "", or one line that says why it says nothing about this run;
- `measure(subject) -> dict`: what it found, as plain JSON;
- `lines(found) -> list[str]`: that in at most six sentences: first the answer, then how far it can be trusted;
- `sections(found) -> list[Section]`: the cards of the page below these sentences, with figures and tables;
- `SETTINGS`, if it reads some: names of kerasdl.audit.subject.Subject.settings;
- `PACKAGES`, if it needs some besides those of kerasdl.

What a part found is measured again when the weights, the data, the seed, `--quick`, its VERSION or one of its SETTINGS
change, and at no other time.
"""

import pkgutil
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from kerasdl.audit.subject import Subject
from kerasdl.errors import UserError, nearest
from kerasdl.objectives.sections import Section


class Part(Protocol):
    """What the module of a part has; SETTINGS and PACKAGES may be missing."""

    TITLE: str
    ORDER: int
    VERSION: int
    applies: Callable[[Subject], str]
    measure: Callable[[Subject], dict[str, Any]]
    lines: Callable[[dict[str, Any]], list[str]]
    sections: Callable[[dict[str, Any]], list[Section]]


def names() -> list[str]:
    """Return the names of the parts. Imports none of them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Any:
    """Return the module of a part.

    Raises:
        UserError: there is none of that name.
    """
    if name not in names():
        raise UserError(f"An audit has no part {name!r}. {nearest(name, names())}")
    return import_module(f"{__name__}.{name}")


def in_order(wanted: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return {name: module} of all parts, or of those wanted, in their order.

    Raises:
        UserError: a part that is not there, or whose packages are missing.
    """
    found = sorted(((name, find(name)) for name in wanted or names()), key=lambda pair: (pair[1].ORDER, pair[0]))
    for _, part in found:
        if missing := [package for package in getattr(part, "PACKAGES", ()) if find_spec(package) is None]:
            raise UserError(f"kerasdl audit needs {' and '.join(missing)}: pip install 'kerasdl[audit]'")
    return dict(found)
