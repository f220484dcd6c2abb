"""Templates: the protocol of template engines, and the default engine on `tornado.template`.

An engine is an object with `include_path`, a list of directories, and `render_file(name, args)`.

>>> import string
>>> from pathlib import Path
>>> from tatsumaki_py import Application
>>> class Dollars:
...     def __init__(self, include_path):
...         self.include_path = include_path
...
...     def render_file(self, name, args):
...         text = Path(self.include_path[0], name).read_text()
...         return string.Template(text).substitute(args)
>>> application = Application()
>>> application.template = Dollars(["templates"])

Rules of this file: a name never leads outside the directories; a change of `include_path` takes
effect at the next rendering.

Source: ``Tatsumaki::Template``.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import tornado.template

from tatsumaki_py.control_characters import escape_controls

__all__ = ["SearchLoader", "Template", "TemplateEngine", "render_file"]

Path = str | os.PathLike[str]


class TemplateEngine(Protocol):
    """A template engine, as the framework uses it."""

    include_path: list[str]
    """The directories of the templates, in the order in which they are searched.
    `Application.template_path` sets it.
    """

    def render_file(self, name: str, args: Mapping[str, Any], /) -> str | bytes:
        """Render the file of that name, from the first directory that has it, with `args`."""


def render_file(
    engine: TemplateEngine, settings: Mapping[str, Any], name: str, args: Mapping[str, Any]
) -> str | bytes:
    """Render a template with `engine`. A `Template` reads the file again each time if the setting
    ``compiled_template_cache`` is off, as it is with ``debug``.
    """
    if isinstance(engine, Template) and not settings.get("compiled_template_cache", True):
        engine.loader.reset()
    return engine.render_file(name, args)


class SearchLoader(tornado.template.BaseLoader):
    """Loads each template from the first of several directories that has the file, and caches it.

    Args:
        paths: a directory, or several in the order in which they are searched.
        kwargs: ``autoescape``, ``namespace`` and ``whitespace``, as in
            `tornado.template.BaseLoader`.

    As in Tornado, a name in ``{% extends %}`` or ``{% include %}`` is relative to the directory of
    the template that contains it. The resulting name is again looked up in all directories.
    """

    def __init__(self, paths: Path | Iterable[Path], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.paths = _path_list(paths)
        # Resolve relative paths now, before the current directory may change.
        self._roots = [os.path.abspath(path) for path in self.paths]

    def resolve_path(self, name: str, parent_path: str | None = None) -> str:
        """The name relative to the top: "a.html" in "mail/b.html" is "mail/a.html".

        Raises:
            ValueError: the name is absolute or leads outside ("../x"). (The original reads such
                files.)
        """
        parent = "" if parent_path is None or parent_path.startswith("<") else parent_path
        path = posixpath.normpath(posixpath.join(posixpath.dirname(parent), name))
        if posixpath.isabs(path) or path.split("/")[0] == ".." or "\0" in path:
            raise ValueError(f"template name leads outside the include_path: {name!r}")
        return path

    def load(self, name: str, parent_path: str | None = None) -> tornado.template.Template:
        """The compiled template.

        Raises:
            FileNotFoundError: no directory has the template; the message names the directories.
            ValueError: see `resolve_path`.
            tornado.template.ParseError: the file is not a valid template.
        """
        path = self.resolve_path(name, parent_path)
        with self.lock:
            if path not in self.templates:
                self.templates[path] = tornado.template.Template(
                    self._read(path), name=path, loader=self
                )
            return self.templates[path]

    def _read(self, path: str) -> bytes:
        for root in self._roots:
            try:
                with open(os.path.join(root, path), "rb") as file:
                    return file.read()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                continue
        raise FileNotFoundError(
            f"could not find template file: {escape_controls(path)}"
            f" (include_path: {', '.join(self.paths)})"
        )


class Template:
    """The default engine: `tornado.template`, files in UTF-8, compiled once.

    Args:
        include_path: a directory, or several in the order in which they are searched.
        autoescape, template_whitespace: as in the settings of `tornado.web.Application`.
    """

    include_path: list[str]
    """The directories, as text. May be set at any time."""

    def __init__(
        self,
        include_path: Path | Iterable[Path] = (),
        *,
        autoescape: str | None = "xhtml_escape",
        template_whitespace: str | None = None,
    ) -> None:
        self.include_path = _path_list(include_path)
        self._options = {"autoescape": autoescape, "whitespace": template_whitespace}
        self._loader = self._new_loader()

    @property
    def loader(self) -> SearchLoader:
        """The loader for the current `include_path`; ``loader.reset()`` drops what it compiled."""
        if self._loader.paths != _path_list(self.include_path):
            self._loader = self._new_loader()
        return self._loader

    def render_file(self, name: str, args: Mapping[str, Any] | None = None) -> bytes:
        """Render the template of that name with `args`, in UTF-8.

        Raises the exceptions of `SearchLoader.load`, and any that the template itself raises.
        """
        return self.loader.load(name).generate(**(args or {}))

    def _new_loader(self) -> SearchLoader:
        return SearchLoader(self.include_path, **self._options)


def _path_list(paths: Path | Iterable[Path]) -> list[str]:
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    return [os.fspath(path) for path in paths]
