"""The UI modules of a handler, which templates use. They take 450 bytes for each handler and refer
to the handler, so they are dropped while a client waits, and made again when they are needed.

Uses a name that Tornado does not document: `_UIModuleNamespace`
(``t/handler/test_tornado_contract.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tornado.web
from tornado.util import ObjectDict

__all__ = ["LazyUI"]


class _UI:
    """The class attribute `ui`: makes the `ui` of a handler that has none."""

    def __get__(
        self, handler: tornado.web.RequestHandler | None, owner: type[tornado.web.RequestHandler]
    ) -> ObjectDict | _UI:
        if handler is None:
            return self
        modules = tornado.web._UIModuleNamespace(handler, handler.application.ui_modules)
        handler.ui = ObjectDict(_tt_modules=modules, modules=modules)
        return handler.ui


class LazyUI(tornado.web.RequestHandler):
    """A handler that can drop its `ui` for a while."""

    if not TYPE_CHECKING:
        ui = _UI()

    def _give_ui_up(self) -> None:
        ui = self.ui
        # Drop it only if it has nothing but the modules, which are there under two names.
        if len(ui) == 2 and not self.application.ui_methods:
            del self.ui
