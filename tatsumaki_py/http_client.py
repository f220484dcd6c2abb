"""A non-blocking HTTP client. Every request ends in a response, even a request that fails.

>>> from tatsumaki_py import Error, Handler, HTTPClient
>>> class Feed(Handler):
...     asynchronous = True
...
...     def get(self):
...         HTTPClient().get("http://127.0.0.1:5000/feed.json", self.async_cb(self.on_response))
...
...     def on_response(self, res):
...         if res.is_error:
...             Error.HTTP.throw(502, f"upstream: {res.status_line}")
...         self.finish(res.content)

In a coroutine it is ``res = await HTTPClient().get(url)``.

Rules of this file:

1. A failure of the network or of the other server is never an exception.
2. No connection outlives its request. Each request has its own `AsyncHTTPClient`, which is closed
   however the request ends. (Tornado's shared client runs only ten requests at a time, and
   does not stop cancelled requests.)
3. Redirects are followed here, not by Tornado, so that one time limit spans them all, credentials
   go only to the host they are meant for, and a bad target causes an error. (Tornado restarts the
   time limit at each redirect and passes Proxy-Authorization and Referer on. In 6.6, a redirect to
   a URL that is not http never ends.)

Source: ``Tatsumaki::HTTPClient``; the codes 595 to 599 are those of ``AnyEvent::HTTP``.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
import ssl
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypedDict, Unpack, overload

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.httputil import HTTPHeaders
from tornado.iostream import IOStream, StreamClosedError, UnsatisfiableReadError
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError

from tatsumaki_py.http_client_request import (
    Body,
    Headers,
    build_request,
    complete,
    header_fields,
    redirected,
    split_url,
)
from tatsumaki_py.http_client_response import HTTPResponse

__all__ = ["HTTPClient", "HTTPResponse", "Options"]

log = logging.getLogger("tatsumaki")

MAX_REDIRECTS = 10

Callback = Callable[[HTTPResponse], object]
Reply = asyncio.Future[HTTPResponse]


class Options(TypedDict, total=False):
    """The keyword arguments of every method."""

    headers: Headers
    """A mapping, or pairs, in which a name may occur twice."""
    timeout: float
    """Seconds; overrides the ``timeout`` of the client."""


class HTTPClient:
    """Sends requests to http and https URLs, each on its own connection.

    Args:
        timeout: seconds that a request may take in total, including redirects. A request that takes
            longer ends in 596 "Connection timed out".
        agent: the User-Agent of requests that set none; default "tatsumaki_py/<version>".
        max_body_size: bytes of content that an answer may have (up to Tornado's own limit of
            100 MiB). A larger answer ends in 597.

    Each method starts the request immediately and returns a `Future` of its `HTTPResponse`. The
    future need not be awaited; cancelling it, or the await, ends the request. The loop calls
    ``callback`` (which may be a coroutine function) once with the response, never before the method
    has returned, and not for a cancelled request. If the callback raises an exception, the logger
    "tatsumaki" gets the traceback; if the callback is wrapped by `Handler.async_cb`, the error also
    becomes the answer. ``options`` are `Options`.

    ``body`` is sent as it is (a str in UTF-8), or as a form if it is a mapping or pairs. Its
    Content-Type is application/x-www-form-urlencoded unless ``headers`` has another.

    Up to 10 redirects are followed; one more ends in 599. After a 303, or a 301 or 302 in answer to
    a POST, the next request is a GET without the body. A request to another scheme, host or port
    omits Authorization, Cookie, Proxy-Authorization, Referer and the URL's user and password, but
    keeps all other headers. `AsyncHTTPClient.configure` is honoured, except for ``max_clients``.

    The call itself raises `ValueError` for control characters in a method or header, a timeout of 0
    or less, or a form field that is None; `TypeError` for an argument of the wrong type;
    `RuntimeError` if no loop is running. A bad URL does not raise: the request ends in 599.
    """

    def __init__(
        self, timeout: float = 30.0, agent: str | None = None, max_body_size: int = 10 * 1024 * 1024
    ) -> None:
        self.timeout = timeout
        self.agent = _default_agent() if agent is None else agent
        self.max_body_size = max_body_size

    def get(self, url: str, callback: Callback | None = None, **options: Unpack[Options]) -> Reply:
        """Send a GET: ``client.get(url, callback, headers={"Accept": "application/json"})``."""
        return self.request("GET", url, None, callback, **options)

    def head(self, url: str, callback: Callback | None = None, **options: Unpack[Options]) -> Reply:
        """Send a HEAD: ``client.head(url, callback)``."""
        return self.request("HEAD", url, None, callback, **options)

    def post(
        self,
        url: str,
        body: Body | Callback | None = None,
        callback: Callback | None = None,
        **options: Unpack[Options],
    ) -> Reply:
        """Send a POST: ``client.post(url, {"a": 1, "b": "x y"}, callback)``. `body` is optional."""
        return self.request("POST", url, body, callback, **options)

    def put(
        self,
        url: str,
        body: Body | Callback | None = None,
        callback: Callback | None = None,
        **options: Unpack[Options],
    ) -> Reply:
        """Send a PUT: ``client.put(url, png, callback, headers={"Content-Type": "image/png"})``."""
        return self.request("PUT", url, body, callback, **options)

    def delete(
        self, url: str, callback: Callback | None = None, **options: Unpack[Options]
    ) -> Reply:
        """Send a DELETE: ``client.delete(url, callback)``."""
        return self.request("DELETE", url, None, callback, **options)

    @overload
    def request(self, method: HTTPRequest, url: Callback | None = None, /) -> Reply: ...

    @overload
    def request(
        self,
        method: str,
        url: str,
        body: Body | Callback | None = None,
        callback: Callback | None = None,
        **options: Unpack[Options],
    ) -> Reply: ...

    def request(
        self, method: Any, url: Any = None, body: Any = None, callback: Any = None, **options: Any
    ) -> Reply:
        """Send any request: ``client.request("PATCH", url, body, callback)``, or
        ``client.request(request, callback)``.

        All attributes of a `tornado.httpclient.HTTPRequest` are honoured, such as ``ca_certs``,
        ``request_timeout``, ``follow_redirects`` and ``max_redirects``. Raises `ValueError` for a
        request with a ``streaming_callback`` or ``header_callback``.
        """
        if isinstance(method, HTTPRequest):
            request, callback = copy.copy(method), url
            request.headers = header_fields(method.headers)
            if request.streaming_callback or request.header_callback:
                raise ValueError("to stream an answer, use tornado.httpclient.AsyncHTTPClient")
        else:
            if callback is None and callable(body):
                body, callback = None, body
            request = build_request(method, url, body, options.pop("headers", None) or ())
            request.request_timeout = options.pop("timeout", None)
        if options:
            raise TypeError(f"not an option of this request: {', '.join(options)}")
        if callback is not None and not callable(callback):
            raise TypeError(f"not a callback: {callback!r} (headers are given as headers=...)")
        timeout = self.timeout if request.request_timeout is None else request.request_timeout
        if timeout <= 0:
            raise ValueError(f"a timeout must be more than 0 seconds, not {timeout!r}")
        complete(request, self.agent)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            message = "HTTPClient needs a running loop: call it in a handler or coroutine"
            raise RuntimeError(message) from None
        # No need to keep the task: the timer of its time limit refers to it.
        return loop.create_task(self._run(request, timeout, callback))

    async def _run(
        self, request: HTTPRequest, timeout: float, callback: Callback | None
    ) -> HTTPResponse:
        await asyncio.sleep(0)  # let the call return first: an eager task runs inside it
        try:
            async with asyncio.timeout(timeout):
                response = await self._follow(request, timeout)
        except TimeoutError:
            response = HTTPResponse(596, "Connection timed out", request.url)
        if callback is not None:
            try:
                result = callback(response)
                # Await only coroutines: a future, such as that of finish(), needs no await.
                if inspect.iscoroutine(result):
                    await result
            except Exception:
                log.exception("uncaught exception in the callback of an HTTPClient request")
        return response

    async def _follow(self, request: HTTPRequest, timeout: float) -> HTTPResponse:
        left = MAX_REDIRECTS if request.max_redirects is None else request.max_redirects
        try:
            request.url, user, password = split_url(request.url)
            if user is not None:
                request.auth_username, request.auth_password = user, password
            while True:
                response = await self._exchange(request, timeout)
                location = response.header("Location")
                if response.code not in (301, 302, 303, 307, 308) or location is None:
                    return response
                if request.follow_redirects is False:
                    return response
                if left <= 0:
                    return HTTPResponse(599, "Too many redirects", request.url)
                left -= 1
                request = redirected(request, response.code, location)
        except ValueError as error:
            return HTTPResponse(599, str(error), request.url)

    async def _exchange(self, request: HTTPRequest, timeout: float) -> HTTPResponse:
        answer = _Answer(self.max_body_size)
        # Copy it, because Tornado adds headers, and a redirect has to start from the original.
        request = copy.copy(request)
        request.header_callback = answer.on_header
        request.streaming_callback = answer.on_chunk
        request.follow_redirects = False
        request.allow_nonstandard_methods = True
        # Our own limit applies first. Tornado's is for a connection that cannot be closed
        # immediately.
        request.connect_timeout = request.request_timeout = timeout + 1
        client = AsyncHTTPClient(force_instance=True)
        _Connections(client)
        try:
            fetch = client.fetch(request, raise_error=False)
            # Retrieve the exception of an abandoned fetch, because asyncio would log it later.
            fetch.add_done_callback(lambda fetch: fetch.cancelled() or fetch.exception())
            await asyncio.wait([fetch, answer.too_large], return_when=asyncio.FIRST_COMPLETED)
            if answer.too_large.done():
                message = f"Answer larger than {self.max_body_size} bytes"
                return HTTPResponse(597, message, request.url)
            end = fetch.result()
            content = b"".join(answer.chunks)
            return HTTPResponse(end.code, end.reason, request.url, answer.headers, content)
        except Exception as error:
            return HTTPResponse(*_diagnose(error, answer.started), request.url)
        finally:
            client.close()


class _Answer:
    """The part of an answer that has arrived."""

    def __init__(self, limit: int) -> None:
        self.started = False
        self.headers = HTTPHeaders()
        self.chunks: list[bytes] = []
        self.too_large = asyncio.get_running_loop().create_future()
        self._left = limit

    def on_header(self, line: str) -> None:
        if line.startswith("HTTP/"):  # after an interim answer (1xx), there is a second one
            self.started = True
            self.headers = HTTPHeaders()
        else:
            self.headers.parse_line(line)

    def on_chunk(self, chunk: bytes) -> None:
        self._left -= len(chunk)
        if self._left >= 0:
            self.chunks.append(chunk)
        elif not self.too_large.done():
            self.too_large.set_result(None)


class _Connections:
    """Closes the connections of a client when the client is closed. Tornado leaves them open.

    Uses the undocumented `tcp_client`. If a client has none, its requests continue, without any
    effect, until they time out.
    """

    def __init__(self, client: Any) -> None:
        self._inner: Any = getattr(client, "tcp_client", None)
        self._streams: list[IOStream] = []
        self._closed = False
        if self._inner is not None:
            client.tcp_client = self

    async def connect(self, *args: Any, **kwargs: Any) -> IOStream:
        stream: IOStream = await self._inner.connect(*args, **kwargs)
        self._streams.append(stream)
        if self._closed:
            stream.close()
            raise StreamClosedError
        return stream

    def close(self) -> None:
        self._closed = True
        for stream in self._streams:
            stream.close()


def _diagnose(error: Exception, started: bool) -> tuple[int, str]:
    """The code and message of the response to a request that failed in Tornado with `error`."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or repr(error)
    if isinstance(error, HTTPStreamClosedError):
        text = "Connection closed"
    if started:
        return 597, text
    match error:
        case TimeoutError() | HTTPTimeoutError():
            return 596, "Connection timed out"
        case HTTPStreamClosedError() | ConnectionResetError() | BrokenPipeError() | ssl.SSLError():
            return 596, text
        case UnsatisfiableReadError():
            return 599, "Invalid server response"
        case OSError():
            return 595, text
    return 599, text


def _default_agent() -> str:
    try:
        return f"tatsumaki_py/{version('tatsumaki_py')}"
    except PackageNotFoundError:  # a checkout that was not installed
        return "tatsumaki_py"
