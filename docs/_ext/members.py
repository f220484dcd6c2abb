"""Selects what autodoc shows of a class: its own public names, and those that it inherits from
classes of the package that no page describes.

Rules:
1. A name is shown once, at the first class that a page describes; Tornado's names are not shown.
2. A public name without a docstring is a warning, and a warning is an error.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging

import tatsumaki_py
import tatsumaki_py.testing

_log = logging.getLogger(__name__)

MODULES = (tatsumaki_py, tatsumaki_py.testing)
"""Modules that import their names from others. The pages show these names as those of `MODULES`."""
HOMES = {name: module for module in MODULES for name in module.__all__}
OWN = {name: getattr(module, name) for name, module in HOMES.items()}
MADE_IN = {name: kind.__module__ for name, kind in OWN.items()}
"""The module that defines each name."""

INTERNAL = {
    "Application": "find_handler get_handler_delegate start_request",
    "Client": "confirm deliver delivered forget is_late lead leave listen listener load place",
    "Entry": "data entry envelope event frame frames keep_frame loss payload size work"
    " channel end gap id json key prev quiet",
    "Event": "entry envelope frames log payload",
    "Handler": "ui",
    "HealthHandler": "compute_etag",
    "MetricsHandler": "compute_etag",
    "Poll": "arrival when_known",
    "Request": "adopt knows_cursors slim",
    "WebSocketHandler": "detach get on_ws_connection_close ui",
}
"""Names that have no underscore because other modules of the package use them."""

_CLASS = re.compile(r"^\.\. auto(?:class|exception):: (\S+)\n(?! +:)", re.M)
_FIELDS = re.compile(r"^ +Attributes:\n((?: {8,}.*\n?|\n)+)", re.M)
_OF_CLASSES = ("attribute", "property")


# Cached from the first call, because Sphinx later adds annotations to classes.
@cache
def members(kind: type) -> list[str]:
    """The names to show, in the order of their classes and lines."""
    internal = INTERNAL.get(kind.__name__, "").split()
    names: dict[str, None] = {}
    for one in kind.__mro__:
        described = one in OWN.values() and one is not kind
        if described or not one.__module__.startswith("tatsumaki_py"):
            break
        described_there = _fields(one)
        for name in _names(one):
            if name in internal or name in described_there:
                continue
            if name not in names and _has_text(kind, one, name):
                names[name] = None
    return list(names)


def _names(kind: type) -> Iterator[str]:
    """The public names in the body of a class, and its instance attributes with a docstring."""
    documented = (
        name for owner, name in _analyzer(kind).find_attr_docs() if owner == kind.__name__
    )
    for name in [*vars(kind), *inspect.get_annotations(kind), *documented]:
        if name == "__call__" or not name.startswith("_"):
            yield name


def _analyzer(kind: type) -> ModuleAnalyzer:
    analyzer = ModuleAnalyzer.for_module(kind.__module__)
    analyzer.analyze()
    return analyzer


def _fields(kind: type) -> set[str]:
    """The names in the section Attributes of its docstring."""
    section = _FIELDS.search((kind.__doc__ or "") + "\n")
    return set() if section is None else set(re.findall(r"^ {8}(\w+)", section[1], re.M))


def _has_text(kind: type, one: type, name: str) -> bool:
    """Whether to show `name`. A name of Tornado is shown only if its docstring does more than refer
    to Tornado. A missing docstring of any other name is logged as a warning.
    """
    text = _text(one, name)
    if _is_tornados(kind, name, text):
        return False
    if not text and any(hasattr(base, name) for base in kind.__mro__[1:] if base in OWN.values()):
        # That class describes it; this one only sets another value.
        return False
    if not text:
        _log.warning("no docstring: %s.%s", kind.__name__, name)
    return bool(text)


def _is_tornados(kind: type, name: str, text: str) -> bool:
    foreign = (base for base in kind.__mro__ if not base.__module__.startswith("tatsumaki_py"))
    known = any(name in vars(base) for base in foreign)
    return known and (not text or text.startswith("See `tornado"))


def _text(kind: type, name: str) -> str:
    """The docstring of `name` in the body of the class."""
    lines = _analyzer(kind).find_attr_docs().get((kind.__qualname__, name))
    if lines is not None:
        return "\n".join(lines)
    value = inspect.getattr_static(kind, name, None)
    # A value without its own docstring has that of its class.
    return "" if value is None or value.__doc__ is type(value).__doc__ else value.__doc__ or ""


def _select(app: Sphinx, docname: str, content: list[str]) -> None:
    """Give each autoclass its members."""

    def with_members(match: re.Match[str]) -> str:
        module, _, name = match[1].rpartition(".")
        kind = OWN[name] if not module else getattr(__import__(module, fromlist=[name]), name)
        names = ", ".join(members(kind))
        return f"{match[0]}   :members: {names}\n" if names else match[0]

    content[0] = _CLASS.sub(with_members, content[0])


def _sign(app, what, name, obj, options, signature, returns):  # type: ignore[no-untyped-def]
    """Hide the arguments of a class that does not describe them: only the package makes objects of
    it.
    """
    hidden = what in ("class", "exception") and "Args:" not in (obj.__doc__ or "")
    return ("", None) if hidden and signature is not None else None


def _made_in(app: Sphinx, module: str, name: str | None) -> str | None:
    first = (name or "").split(".")[0]
    return MADE_IN[first] if first in HOMES and module == HOMES[first].__name__ else None


def _not_shown() -> Iterator[str]:
    """Patterns of the methods that are left out."""
    for kind, names in INTERNAL.items():
        yield from (rf"\b{kind}\.{name}$" for name in names.split())
    for kind in filter(inspect.isclass, OWN.values()):
        for name in vars(kind):
            if _is_tornados(kind, name, _text(kind, name)):
                yield rf"\b{kind.__name__}\.{name}$"


def _read_sources() -> None:
    """Let Sphinx find what is in the sources, such as the docstrings of attributes, although the
    pages show the names as names of `MODULES`.
    """
    for home, kind in zip(HOMES.values(), OWN.values(), strict=True):
        source, shown = _analyzer(kind), ModuleAnalyzer.for_module(home.__name__)
        shown.analyze()
        shown.attr_docs |= source.attr_docs
        shown.annotations |= source.annotations
        for name, value in vars(sys.modules[kind.__module__]).items():
            # Annotations are evaluated with the names of the module.
            vars(home).setdefault(name, value)
        kind.__module__ = home.__name__
    for name, kind in OWN.items():
        if inspect.isclass(kind):
            _place(name, kind)


def _place(name: str, kind: type) -> None:
    """Set the order of the members of a class, and the overloads of those that it inherits."""
    shown = _analyzer(kind)
    for member in members(kind):
        shown.tagorder[f"{name}.{member}"] = len(shown.tagorder)
        for base in kind.__mro__[1:]:
            if base.__module__.startswith("tatsumaki_py"):
                overloads = _analyzer(base).overloads
                inherited = overloads.get(f"{base.__name__}.{member}")
                if inherited is not None:
                    overloads.setdefault(f"{name}.{member}", inherited)


_kept: dict[str, list[str]] = {}


def _keep(app, what, name, obj, options, lines):  # type: ignore[no-untyped-def]
    """Keep the docstring of an attribute before Napoleon changes it: if there is a colon, Napoleon
    takes the words before it for a type.
    """
    if what in _OF_CLASSES:
        _kept[name] = [*lines]


def _restore(app, what, name, obj, options, lines):  # type: ignore[no-untyped-def]
    """Restore the docstring after Napoleon has changed it."""
    if what in _OF_CLASSES:
        lines[:] = _kept.pop(name)


def _add_module(app, what, name, obj, options, lines):  # type: ignore[no-untyped-def]
    """Append to the docstring of a class what its module's docstring says to users. A module is
    about this class if its docstring begins with the name of the class.
    """
    title = name.rpartition(".")[2]
    text = inspect.getdoc(sys.modules.get(MADE_IN.get(title, ""))) or ""
    if what not in ("class", "exception"):
        return
    about = text.startswith(f"{title}: ")
    listed = False
    for paragraph in text.split("\n\n")[1:]:
        example = paragraph.startswith(">>> ") and (about or f"{title}(" in paragraph)
        differs = about and paragraph.startswith("Differs from")
        source = paragraph.startswith("Source: ") and not any("Source: " in line for line in lines)
        if example or differs or source or listed:
            lines.extend(["", *paragraph.splitlines()])
        listed = differs and paragraph.endswith(":")
    lines.append("")


def setup(app: Sphinx) -> dict[str, bool]:
    _read_sources()
    app.config.coverage_ignore_pyobjects = [*_not_shown()]
    app.connect("source-read", _select)
    app.connect("autodoc-process-docstring", _keep, priority=100)
    app.connect("autodoc-process-docstring", _restore, priority=900)
    app.connect("autodoc-process-docstring", _add_module, priority=900)
    app.connect("autodoc-process-signature", _sign)
    app.connect("viewcode-follow-imported", _made_in)
    return {"parallel_read_safe": True}
