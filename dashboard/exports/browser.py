"""One browser, kept while it is needed, that turns plotly figures into PNG, SVG and PDF through kaleido.

It starts with the first export and stops after some idle minutes (it holds about 0.5 GB). Where there is no Chromium
or it does not start, `render` returns None and the caller draws with matplotlib.

Kaleido's own server for synchronous callers is not used: where Chromium does not start its thread ends, and whoever
asks it for an image waits for ever. Through anyio's portal such an error reaches the caller.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial

import plotly.graph_objects as go

IDLE_SECONDS = 180
RENDER_SECONDS = 60
log = logging.getLogger(__name__)


@cache
def available() -> bool:
    """Return whether a Chromium is found (`BROWSER_PATH`, the search path, the usual places); asked once a process."""
    from choreographer.browsers.chromium import Chromium

    return Chromium.find_browser(skip_local=False) is not None


class Browser:
    """The kept browser. Calls from several threads are served one after another."""

    def __init__(self):
        self._lock = threading.Lock()
        self._opened = ExitStack()  # the running browser and its event loop
        self._draw = None  # draws with the running browser; None while none runs
        self._timer = threading.Timer(0, self.stop)
        self._broken = False
        atexit.register(self.stop)

    def render(self, figure: go.Figure, format: str, width: int, height: int, scale: float = 1) -> bytes | None:
        """Return the image of a figure, or None where no browser can be used."""
        options = {"format": format, "width": width, "height": height, "scale": scale}
        with self._lock:
            self._timer.cancel()
            image = self._image(figure, options) if self._draw else None
            # One that was kept may have been killed meanwhile; a new one tells whether this machine has a browser.
            image = image or self._image(figure, options)
            self._broken = image is None
            if image:
                self._timer = threading.Timer(IDLE_SECONDS, self.stop)
                self._timer.daemon = True
                self._timer.start()
            return image

    def stop(self) -> None:
        """Close the browser; the next export starts it again."""
        with self._lock:
            self._stop()

    def _image(self, figure: go.Figure, options: dict) -> bytes | None:
        if self._broken or not available():
            return None
        try:
            self._draw = self._draw or self._start()
            return self._draw(figure, options)
        except Exception as error:  # whatever a foreign browser does, the export still has matplotlib
            log.warning("The browser cannot draw figures (%s).", error)
            self._stop()
            return None

    def _start(self) -> Callable[[go.Figure, dict], bytes]:
        from anyio.from_thread import start_blocking_portal
        from kaleido import Kaleido

        portal = self._opened.enter_context(start_blocking_portal())
        kaleido = Kaleido(timeout=RENDER_SECONDS, mathjax=False)  # MathJax would come from the network
        self._opened.enter_context(portal.wrap_async_context_manager(kaleido))
        return partial(portal.call, kaleido.calc_fig)

    def _stop(self) -> None:
        self._timer.cancel()
        self._draw = None
        try:
            self._opened.close()
        except Exception as error:
            log.warning("The browser did not close cleanly (%s).", error)


@cache
def kept_browser() -> Browser:
    """Return this process' browser."""
    return Browser()
