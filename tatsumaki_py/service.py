"""Service: an object that lives as long as the application, and that handlers find by its name.

>>> from tatsumaki_py import Application, Service
>>> class Greeter(Service):
...     def start(self):
...         self.greeting = "hello"
>>> application = Application()
>>> greeter = application.add_service(Greeter())
>>> application.service("Greeter").greeting
'hello'

Source: ``Tatsumaki::Service``.
"""

from __future__ import annotations

import weakref

from tatsumaki_py.application import Application

__all__ = ["Service"]


class Service:
    """The base of services; a subclass overrides `start`.

    `Application.add_service` names a service after its class, sets `application` and calls `start`.
    """

    # Of the class, so that a subclass's __init__ need not call ours. Weak: the application owns us.
    _application: weakref.ref[Application] | None = None

    @property
    def application(self) -> Application:
        """The application that the service was added to.

        Raises:
            RuntimeError: the service was added to no application, or the application is gone.
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

    def start(self) -> None:
        """Called once, when the service is added. Does nothing (in the original it is missing)."""
