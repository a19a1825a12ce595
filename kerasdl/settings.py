"""Typed settings with one-line errors, for whoever owns some: an optimizer, an objective."""

from typing import Any, TypeVar

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
    known = kind.model_fields
    for key in values:
        if key not in known:
            hint = nearest(key, known) if known else "It has no settings."
            raise UserError(f"{owner} has no setting {field}.{key}. {hint}")
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{field}.{complaint(error)}") from None


def complaint(error: ValidationError) -> str:
    """Return pydantic's first complaint in one line: the field, what is wrong, what came."""
    first = error.errors()[0]
    if first["type"] == "value_error":  # one of ours, which pydantic has wrapped
        return str(first["ctx"]["error"])
    key = ".".join(str(part) for part in first["loc"][:1])
    if first["type"] == "missing":
        return f"{key} is required."
    text = f"{first['msg'][:1].lower()}{first['msg'][1:]}".removeprefix("value error, ")
    return f"{key}: {text}. Received: {first['input']!r} ({type(first['input']).__name__})."
