"""Typed settings with one-line errors, for whoever owns some: an optimizer, an objective."""

import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from kerasdl.errors import UserError, nearest


class Settings(BaseModel):
    """Base class of settings. A subclass lists its fields with types, defaults, bounds and descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Kind = TypeVar("Kind", bound=Settings)


def parse(kind: type[Kind], values: dict[str, Any], field: str, owner: str) -> Kind:
    """Return `values` as settings of that kind.

    Args:
        kind: the class of the settings.
        values: what the user wrote.
        field: the name of the dictionary, for error messages: "objective_args".
        owner: whose settings they are, for error messages: "optimizer=sgd".

    Raises:
        UserError: for an unknown key, or a value of the wrong type or out of range.
    """
    check_keys(kind.model_fields, values, field, owner)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{field}.{complaint(error)}") from None


def check_keys(known: Iterable[str], values: Iterable[str], field: str, owner: str) -> None:
    """Raise a UserError for a key that is not among the settings known; see `parse`."""
    known = list(known)
    for key in values:
        if key not in known:
            hint = nearest(key, known) if known else "It has no settings."
            raise UserError(f"{owner} has no setting {field}.{key}. {hint}")


def complaint(error: ValidationError) -> str:
    """Return pydantic's first complaint in one line: the field, what is wrong, what came.

    Where a field takes this or that, it is the complaint about the kind that came closest.
    """
    found = [one for one in error.errors() if one["loc"][:1] == error.errors()[0]["loc"][:1]]
    first = max(found, key=lambda one: len(one["loc"]))
    if first["type"] == "value_error":  # one of ours, which pydantic has wrapped
        return str(first["ctx"]["error"])
    key = ".".join(str(part) for part in first["loc"][:1])
    if first["type"] == "missing":
        return f"{key} is required."
    if first["type"] == "tuple_type":
        return f"{key}: expected a list. Received: {first['input']!r}."
    text = f"{first['msg'][:1].lower()}{first['msg'][1:]}".removeprefix("value error, ")
    return f"{key}: {text}. Received: {first['input']!r} ({type(first['input']).__name__})."


class Description(NamedTuple):
    """What a person needs to know to set a field: its name, what it takes, its default, and what it means."""

    name: str
    takes: str
    default: str
    meaning: str


def describe(model: type[BaseModel]) -> list[Description]:
    """Return a description of each field of a class of settings, or of Recipe. A required field has no default."""
    return [Description(name, _kind(typing.Annotated[field.annotation, *field.metadata, ""]) + _limits(field.metadata),
                        "" if field.is_required() else json.dumps(field.get_default()), field.description or "")
            for name, field in model.model_fields.items()]


def describe_function(function: Callable, options: Mapping[str, inspect.Parameter], sizes: Iterable[str] = ()
                      ) -> list[Description]:
    """Return a description of each option of a model's build function but its name, from its signature and docstring.

    Args:
        function: its docstring is in Google's style.
        options: {name: parameter}.
        sizes: the values that an option `size` takes.
    """
    texts, sized = _documented(function), ", ".join(sizes)
    return [Description(name, sized if name == "size" and sized else _kind(parameter.annotation),
                        "" if parameter.default is parameter.empty else repr(parameter.default), texts.get(name, ""))
            for name, parameter in options.items() if name != "name"]


def _documented(function: Callable) -> dict[str, str]:
    """{argument: text} of the section Args of a docstring."""
    section = re.search(r"\nArgs:\n(.*?)(?=\n\S|\Z)", inspect.getdoc(function) or "", re.S)
    parts = re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", section[1], re.S | re.M) if section else []
    return {name: " ".join(text.split()) for name, text in parts}


def _kind(annotation: Any) -> str:
    """A type in words: int or none, "sgd" or "adamw". A text that it is annotated with stands for it."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return next((text for text in inner[1:] if text and isinstance(text, str)), "") or _kind(inner[0])
    if origin is typing.Literal:
        return " or ".join(json.dumps(value) for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_kind, inner))
    words = {type(None): "none", dict: "key: value", tuple: "list", Sequence: "list"}
    return words.get(origin or annotation, annotation.__name__)


def _limits(metadata: list) -> str:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    found = [f"{sign} {getattr(limit, key)}" for limit in metadata for key, sign in signs.items()
             if hasattr(limit, key)]
    return f", {' and '.join(found)}" if found else ""
