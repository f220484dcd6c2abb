"""Resolves references that Sphinx does not find, or that are not links within this site.

Backquotes contain the full name of something that a page describes, or one of these:

1. a name of a class, perhaps inherited from another class of the package or of Tornado.
2. a name of Python or Tornado, which must exist.
3. an argument of the function or class that the text is about.
"""

import importlib
import inspect

from docutils import nodes
from members import OWN
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

SHORT = ("builtins", "asyncio", "tornado.web", "tornado.httputil", "tornado.httpclient")
"""Modules whose names are written without the module in front."""


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, text: nodes.TextElement
) -> nodes.Node | None:
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"].removesuffix("()")
    python = env.domains["py"]
    known = python.objects
    kind = OWN.get((node.get("py:class") or "").split(".")[0])
    bases = getattr(kind, "__mro__", ())
    names = [target, *(f"{base.__module__}.{base.__name__}.{target}" for base in bases)]
    names += [f"tatsumaki_py.{target}", *(name for name in known if _is_last(name, target))]
    found = next(filter(known.__contains__, names), None)
    if found is not None:
        if target.startswith("Error."):
            # Sphinx shows only the last part of the name.
            text = nodes.literal(target, target)
        return python.resolve_xref(env, node["refdoc"], app.builder, "obj", found, node, text)
    if any(_has(base, target) for base in bases if not _is_ours(base)):
        return text
    return text if _exists(target) or target in _arguments(node) else None


def _is_last(name: str, target: str) -> bool:
    """Whether `name` is `target`, a class or a name of a class, with its module in front."""
    return target[0].isupper() and name.endswith(f".{target}") and name[: -len(target)].islower()


def _has(kind: type, name: str) -> bool:
    """Whether a class of Tornado, or an object of it, has an attribute of that name."""
    begin = vars(kind).get("__init__")
    set_there = getattr(getattr(begin, "__code__", None), "co_names", ())
    return hasattr(kind, name) or name in set_there or name in inspect.get_annotations(kind)


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith("tatsumaki_py")


def _exists(target: str) -> bool:
    """Whether `target` is a name of Python or Tornado, or a type variable of the package."""
    for name in (target, *(f"{module}.{target}" for module in SHORT)):
        found = _look(name)
        if found is not None:
            ours = name.startswith("tatsumaki_py")
            return not ours or type(found).__name__ == "TypeVar"
    return False


def _look(name: str) -> object:
    steps = name.split(".")
    for length in range(len(steps), 0, -1):
        try:
            found = importlib.import_module(".".join(steps[:length]))
        except (ImportError, TypeError, ValueError):
            continue
        for step in steps[length:]:
            found = getattr(found, step, None)
        return found
    return None


def _arguments(node: nodes.Node) -> set[str]:
    """The arguments of all functions and classes that the text is about."""
    names = set()
    while node is not None:
        if isinstance(node, addnodes.desc):
            for parameter in node[0].findall(addnodes.desc_parameter):
                names |= {name.astext() for name in parameter.findall(addnodes.desc_sig_name)}
        node = node.parent
    return names


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True}
