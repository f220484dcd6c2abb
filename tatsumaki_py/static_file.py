"""Static files: the application's own, and ``tatsumaki.js``.

Rules of this file:
1. The version of a file is its ETag and the ``v=`` of its URL. It always belongs to the bytes that
   are sent with it, and is forgotten when the file changes.
2. ``Last-Modified`` counts whole seconds, so a file that could still change within the same second
   is sent without it.
"""

from __future__ import annotations

import datetime
import os
import re
import stat
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import tornado.web
from tornado.httputil import HTTPServerRequest, format_timestamp
from tornado.routing import PathMatches

from tatsumaki_py.control_characters import escape_controls
from tatsumaki_py.logger import logged

__all__ = ["StaticFile", "StaticMatches", "TatsumakiJS"]

# Bytes that Tornado sends at a time. A smaller file is read in one go, so a change cannot split it.
CHUNK_SIZE = 64 * 1024
# The most bytes of a file that is hashed. Hashing them blocks the loop for 2 ms.
HASHED_SIZE = 1024 * 1024
# Seconds after a change within which a second change may leave the times the same.
CLOCK_STEP = 2.0
MAX_VERSIONS = 1000

# A version is a hash, or time and size.
_VERSION = re.compile(r"[0-9a-f]{128}|[0-9a-f]{14,17}-[0-9a-f]{6,}")

_State = tuple[int, ...]

# O_NONBLOCK, because the file may have become a FIFO since it was checked. O_BINARY is for Windows.
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NONBLOCK", "O_BINARY"))


class _Descriptor:
    """An open file. It is closed when nothing refers to this object any more."""

    def __init__(self, path: str) -> None:
        self.number = os.open(path, _FLAGS)

    def __del__(self) -> None:
        # If the file could not be opened, there is no number.
        if hasattr(self, "number"):
            os.close(self.number)


class _File(str):
    """The path of a file, with the state of the file when `look` was called."""

    state: _State
    size: int
    modified: float
    content: bytes | None = None
    """The whole content of a small file."""
    descriptor: _Descriptor | None = None
    """The descriptor of a large file, because another file may take its name during the answer."""
    version: str | None = None

    @classmethod
    def look(cls, path: str) -> _File:
        """The file at `path`. Raises `OSError` if it cannot be read."""
        self = cls(path)
        descriptor = _Descriptor(path)
        found = os.fstat(descriptor.number)
        if not stat.S_ISREG(found.st_mode):
            raise OSError("not a regular file")
        if found.st_size <= CHUNK_SIZE:
            with open(descriptor.number, "rb", buffering=0, closefd=False) as source:
                self.content = source.read()
            found = os.fstat(descriptor.number)
        else:
            self.descriptor = descriptor
        self.state, self.modified = _state_of(found), found.st_mtime
        self.size = found.st_size if self.content is None else len(self.content)
        return self

    def settled(self) -> bool:
        """Whether another change to the file would change `state`."""
        return time.time() - max(self.modified, self.state[-1] / 1e9) > CLOCK_STEP


def _state_of(found: os.stat_result) -> _State:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class StaticFile(tornado.web.StaticFileHandler):
    """Differs from `tornado.web.StaticFileHandler` in:

    1. A file that has changed gets a new ETag and a new ``v=`` immediately. They are a hash of the
       file, or its time and size if it is larger than 1 MiB.
    2. Browsers cache the current version for years. They revalidate a URL with another version or
       with none on each use, because a module imports others by URLs without a version.
    3. ``If-Range`` is honoured, and ``If-Modified-Since`` only if it is the date that was sent.
    4. A path with a control character is answered with 404.
    5. Text has ``charset=utf-8``, as in Plack.
    """

    _versions: ClassVar[dict[tuple[type, str], tuple[_State, str]]] = {}

    def set_extra_headers(self, path: str) -> None:
        if not self.get_cache_time(path, self.modified, self.get_content_type()):
            self.set_header("Cache-Control", "no-cache")

    def get_content_type(self) -> str:
        # Ignore the machine's own table of types: browsers do not run a module of another type.
        module = self.path.endswith((".js", ".mjs"))
        kind = "text/javascript" if module else super().get_content_type()
        # Without a charset, a browser guesses, and may read UTF-8 as Latin-1.
        return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind

    def get_cache_time(self, path: str, modified: datetime.datetime | None, mime_type: str) -> int:
        """Ten years for the current version, 0 for another; see
        `tornado.web.StaticFileHandler.get_cache_time`.
        """
        asked = self.get_query_argument("v", "")
        if _VERSION.fullmatch(asked) and f'"{asked}"' != self.compute_etag():
            return 0
        return super().get_cache_time(path, modified, mime_type)

    def parse_url_path(self, url_path: str) -> str:
        # Tornado would log the path unescaped, and no system accepts a NUL in a path.
        if escape_controls(url_path) != url_path:
            raise tornado.web.HTTPError(404)
        return super().parse_url_path(url_path)

    def _request_summary(self) -> str:
        return logged(super()._request_summary())

    # -- the file at the moment of the request

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        path = super().validate_absolute_path(root, absolute_path)
        if path is None:
            return None
        try:
            # A `_File` is a str, so overridden methods that take a path still get one.
            return _File.look(path)
        except PermissionError:
            raise tornado.web.HTTPError(403, "%s cannot be read", self.path) from None
        except OSError:
            raise tornado.web.HTTPError(404) from None

    def get_content_size(self) -> int:
        path = self.absolute_path
        return path.size if isinstance(path, _File) else super().get_content_size()

    def get_modified_time(self) -> datetime.datetime | None:
        path = self.absolute_path
        if not isinstance(path, _File):
            return super().get_modified_time()
        if int(path.modified) >= int(time.time()):
            return None
        return datetime.datetime.fromtimestamp(int(path.modified), datetime.UTC)

    @classmethod
    def get_content(
        cls, abspath: str, start: int | None = None, end: int | None = None
    ) -> Generator[bytes, None, None]:
        if not isinstance(abspath, _File):
            yield from super().get_content(abspath, start, end)
        elif abspath.content is not None:
            yield abspath.content[start:end]
        else:
            yield from _read(abspath, start or 0, abspath.size if end is None else end)

    # -- versions

    def compute_etag(self) -> str | None:
        path = self.absolute_path
        return f'"{self._version(path)}"' if isinstance(path, _File) else super().compute_etag()

    @classmethod
    def get_content_version(cls, abspath: str) -> str:
        if isinstance(abspath, _File) and abspath.size > HASHED_SIZE:
            return f"{abspath.state[3]:x}-{abspath.size:x}"
        return super().get_content_version(abspath)

    @classmethod
    def get_version(cls, settings: dict[str, Any], path: str) -> str | None:
        try:
            return cls._version(_File.look(cls.get_absolute_path(settings["static_path"], path)))
        except (OSError, _Changed):
            return super().get_version(settings, path)

    @classmethod
    def reset(cls) -> None:
        super().reset()
        cls._versions.clear()

    @classmethod
    def _version(cls, file: _File) -> str:
        if file.version is None:
            key = cls, str(file)
            state, version = cls._versions.get(key, ((), ""))
            if state != file.state:
                version = cls.get_content_version(file)
                if file.settled():
                    if len(cls._versions) >= MAX_VERSIONS:
                        cls._versions.clear()
                    cls._versions[key] = file.state, version
            file.version = version
        return file.version

    # -- conditional requests

    def should_return_304(self) -> bool:
        asked = self.request.headers
        modified = None if self.modified is None else format_timestamp(self.modified)
        if asked.get("If-Range", modified) not in (modified, self.compute_etag()):
            # Remove Range, which Tornado reads next, so that it sends the whole file.
            asked.pop("Range", None)
        if asked.get("If-None-Match"):
            return super().should_return_304()
        return modified is not None and asked.get("If-Modified-Since") == modified


class _Changed(tornado.web.HTTPError):
    """A file was changed while it was read."""


def _read(file: _File, start: int, end: int) -> Generator[bytes, None, None]:
    assert file.descriptor is not None
    source = file.descriptor.number
    while start < end:
        chunk = os.pread(source, min(CHUNK_SIZE, end - start), start)
        # Ignore the ctime (the last item): it also changes if another file takes this file's name.
        if _state_of(os.fstat(source))[:-1] != file.state[:-1]:
            raise _Changed(503, "%s was changed while it was read", str(file))
        start += len(chunk)
        yield chunk


class TatsumakiJS(StaticFile):
    """Serves ``tatsumaki.js``, the module with which a page subscribes.

    The group of the route has to match the name of the file. Works in any
    `tornado.web.Application`.

    >>> from tatsumaki_py import Application, TatsumakiJS
    >>> app = Application([(r"/(tatsumaki\\.js)", TatsumakiJS)])
    """

    def initialize(self) -> None:  # type: ignore[override]
        super().initialize(str(Path(__file__).parent / "static"))

    def set_extra_headers(self, path: str) -> None:
        super().set_extra_headers(path)
        # The module is public, so a page from any origin may import it.
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Cross-Origin-Resource-Policy", "cross-origin")


class StaticMatches(PathMatches):
    """Matches a path of the static files while the application has a static directory."""

    def __init__(self, pattern: str, settings: Mapping[str, Any]) -> None:
        super().__init__(pattern)
        self._settings = settings

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        return super().match(request) if self._settings["static_path"] else None
