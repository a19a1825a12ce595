"""The one exception for a user's mistake, and the nearest valid word to suggest."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake that the user can mend. Its message is one line: what was expected, what came, what to do.

    The command line prints it without a traceback and exits with `code`.
    """

    code = 2


class DataError(UserError):
    """Data that cannot be read: missing, broken, ambiguous or of the wrong form. Reading it again would not help."""


class Unwritable(UserError):
    """A file that cannot be written, as on a full disk. Its cause says why."""


class Impossible(UserError):
    """What was asked of a model cannot be made of it, as a file of a format or a smaller network. Others may be."""


def described(error: BaseException) -> str:
    """What another program's error says, and its kind, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def listed(names: object, known: Iterable[str]) -> list[str]:
    """Names that were given as a list, as one, or as one text with commas, which a command line makes of a,b."""
    if isinstance(names, (list, tuple)):
        return [str(name) for name in names]
    parts = [part.strip() for part in str(names).split(",")]
    return [str(names)] if str(names) in set(known) else parts


def nearest(word: str, options: Iterable[str]) -> str:
    """A hint that ends an error message: the closest option if one is close, else all of them."""
    options = [str(option) for option in options]
    close = difflib.get_close_matches(str(word), options, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Choose from: {', '.join(options)}."
