"""The server and the request of a subscriber."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import urlencode, urlsplit

from tatsumaki_py.testing.connection import Connection
from tatsumaki_py.testing.readers.reader import Reader

__all__ = ["Dial", "Params", "Target"]

Params = Mapping[str, str | Sequence[str]]
Dial = Callable[[], Awaitable[Connection]]


class Target:
    """A URL, with the other parts of each request; see `Subscriber`."""

    def __init__(
        self,
        url: str | Callable[[], str],
        params: Params,
        headers: Mapping[str, str],
        receive_buffer: int | None,
        dial: Dial | None,
    ) -> None:
        self._url = url
        self.params, self.headers = dict(params), dict(headers)
        self._receive_buffer = receive_buffer
        self._dial = dial

    @property
    def url(self) -> str:
        """The URL of the next request."""
        return self._url if isinstance(self._url, str) else self._url()

    @url.setter
    def url(self, url: str) -> None:
        self._url = url

    async def request(self, transport: str, kind: type[Reader], cursor: str | None) -> Connection:
        """Connect, and send a request."""
        url = urlsplit(self.url)
        if url.scheme != "http" or url.hostname is None:
            raise ValueError(f"the URL of a Subscriber must begin with http://, not {self.url!r}")
        headers = {"Host": url.netloc} | self.headers | kind.fields
        if cursor:
            headers["Last-Event-ID"] = cursor
        params = {"transport": transport} | self.params | kind.params | self.params
        query = "&".join(filter(None, [url.query, urlencode(params, doseq=True)]))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"GET {url.path or '/'}?{query} HTTP/1.1\r\n{lines}\r\n".encode()
        if self._dial is not None:
            connection = await self._dial()
        else:
            connection = await Connection.connect(
                url.port or 80, url.hostname, receive_buffer=self._receive_buffer
            )
        try:
            await connection.send(head)
        except BaseException:
            connection.close()
            raise
        return connection
