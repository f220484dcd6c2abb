"""Read-only dicts and lists for parsed JSON that several subscribers share."""

from __future__ import annotations

import json
from typing import Any, NoReturn

__all__ = ["FrozenDict", "FrozenList", "frozen", "parse"]


def _refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
    raise TypeError(
        "an event is read-only, because all subscribers share it; make a copy: "
        "dict(event, key=value) or list(event)"
    )


class FrozenDict(dict[str, Any]):
    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle or deepcopy is not shared, so it is a plain dict.
        return dict, (dict(self),)


class FrozenList(list[Any]):
    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


def frozen(value: Any) -> Any:
    """`value`, which was parsed from JSON, with read-only dicts and lists."""
    if type(value) is dict:
        return FrozenDict({key: frozen(item) for key, item in value.items()})
    if type(value) is list:
        return FrozenList(map(frozen, value))
    return value


def parse(body: bytes) -> Any:
    """The value of the JSON `body`; a dict or list is read-only at every depth."""
    value = json.loads(body)
    if type(value) is dict:
        return {key: frozen(item) for key, item in value.items()}
    return [*map(frozen, value)] if type(value) is list else value
