"""Service: an object that lives as long as the application and that handlers find by name.

>>> import asyncio
>>> from tatsumaki_py import Application, Service
>>> class Greeter(Service):
...     async def start(self):
...         self.greeting = "hello"
>>> application = Application()
>>> greeter = application.add_service(Greeter())
>>> asyncio.run(application.start())  # Server does this
>>> application.service("Greeter").greeting
'hello'

Source: ``Tatsumaki::Service``.
"""

from __future__ import annotations

import weakref
from typing import Any

from tatsumaki_py.application import Application

__all__ = ["Service"]


class Service:
    """The base class of services. A subclass overrides `start`, and `stop` if needed.

    `Application.add_service` names a service after its class and sets `application`. Both methods
    may be ``async def``.
    """

    # Set on the class, so that a subclass's __init__ need not call super(). A weak reference,
    # because the application owns the service.
    _application: weakref.ref[Application] | None = None

    @property
    def application(self) -> Application:
        """The application that the service was added to.

        Raises:
            RuntimeError: the service was not added to an application, or the application is gone.
        """
        application = self._application() if self._application is not None else None
        if application is None:
            name = type(self).__name__
            raise RuntimeError(
                f"{name} belongs to no application: application.add_service({name}())"
            )
        return application

    @application.setter
    def application(self, application: Application) -> None:
        self._application = weakref.ref(application)

    def start(self) -> Any:
        """Called when the event loop is running, before the server listens. If `start` returns an
        awaitable, that is awaited. If `start` raises an exception, the server does not start. The
        default does nothing.
        """

    def stop(self) -> Any:
        """Called after the last request; see `Application.stop`. The default does nothing."""
