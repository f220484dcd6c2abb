"""The options of an engine: fields of a frozen dataclass. Their values come from the query of the
URL or from keywords.

Rule: no message contains the value of a secret option.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, field, fields
from difflib import get_close_matches
from types import UnionType
from typing import Any, get_args, get_type_hints
from urllib.parse import parse_qsl

__all__ = ["option", "options_of", "read_options"]

BOOLEANS = {"yes": True, "true": True, "on": True, "1": True}
BOOLEANS |= {"no": False, "false": False, "off": False, "0": False}


def option(
    default: Any,
    unit: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    """A field that is an option.

    Args:
        default: its default value.
        unit: the unit of its value, for the documentation: "seconds".
        low: the smallest value.
        high: the largest value.
        choices: all possible values.
        secret: whether messages must not show the value.
    """
    about = {"unit": unit, "low": low, "high": high, "choices": choices, "secret": secret}
    return field(default=default, repr=not secret, metadata={"option": about})


def options_of(kind: type[Any]) -> dict[str, Field[Any]]:
    """The fields of the dataclass `kind` that are options."""
    return {one.name: one for one in fields(kind) if "option" in one.metadata}


def read_options(kind: type[Any], query: str, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The checked options from a URL's query and from keywords.

    Args:
        kind: the dataclass.
        query: the part after "?", percent-encoded.
        keywords: values of the field's type. Text is parsed as in a query.

    Raises:
        ValueError: an unknown or repeated option, or an invalid value.
    """
    known, types = options_of(kind), get_type_hints(kind)
    found: dict[str, Any] = {}
    for name, value in [*parse_qsl(query, keep_blank_values=True), *keywords.items()]:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"the options are {', '.join(known)}"
            raise ValueError(f"no option {name!r}: {hint}")
        if name in found:
            raise ValueError(f"the option {name} is given twice")
        found[name] = _read(name, value, types[name], known[name].metadata["option"])
    return found


def _read(name: str, value: Any, kind: Any, about: Mapping[str, Any]) -> Any:
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if value is None and type(None) in kinds:
        return None
    wanted = next(one for one in kinds if one is not type(None))
    result = _converted(value, wanted)
    low, high, choices = about["low"], about["high"], about["choices"]
    if result is None:
        expected = {bool: "yes or no", int: "a whole number", float: "a number", str: "text"}[
            wanted
        ]
    elif choices and result not in choices:
        expected = f"one of {', '.join(choices)}"
    elif (low is not None and not result >= low) or (high is not None and not result <= high):
        expected = f"at least {low:g}" if high is None else f"from {low:g} to {high:g}"
    else:
        return result
    shown = "" if about["secret"] else f" not {value!r}"
    raise ValueError(f"the option {name} must be {expected},{shown}".rstrip(","))


def _converted(value: Any, wanted: type) -> Any:
    """`value` as the type `wanted`; None if it has another type."""
    if wanted is bool:
        return BOOLEANS.get(value.lower()) if isinstance(value, str) else _exactly(value, bool)
    if isinstance(value, bool):
        return None
    if wanted is float and isinstance(value, int):
        return float(value)
    if isinstance(value, str) and wanted is not str:
        try:
            return wanted(value)
        except ValueError:
            return None
    return _exactly(value, wanted)


def _exactly(value: Any, wanted: type) -> Any:
    return value if isinstance(value, wanted) else None
