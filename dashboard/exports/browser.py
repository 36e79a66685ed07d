"""One browser, kept while it is needed, that turns plotly figures into PNG, SVG and PDF through kaleido.

It starts with the first export and stops after some idle minutes (it holds about 0.5 GB). Where there is no Chromium
or it does not start, `render` returns None and the caller draws with matplotlib.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
from functools import cache

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
        self._loop: asyncio.AbstractEventLoop | None = None
        self._kaleido = None
        self._timer: threading.Timer | None = None
        self._broken = False
        atexit.register(self.stop)

    def render(self, figure: go.Figure, format: str, width: int, height: int, scale: float = 1) -> bytes | None:
        """Return the image of a figure, or None where no browser can be used."""
        if self._broken or not available():
            return None
        with self._lock:
            if self._timer:
                self._timer.cancel()
            try:
                if self._loop is None:
                    self._start()
                options = {"format": format, "width": width, "height": height, "scale": scale}
                image = self._call(self._kaleido.calc_fig(figure, opts=options))
            except Exception as error:  # whatever a foreign browser does, the export still has matplotlib
                log.warning("The browser cannot draw figures (%s); matplotlib does.", error)
                self._broken = True
                self._stop()
                return None
            self._timer = threading.Timer(IDLE_SECONDS, self.stop)
            self._timer.daemon = True
            self._timer.start()
            return image

    def stop(self) -> None:
        """Close the browser; the next export starts it again."""
        with self._lock:
            self._stop()

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(RENDER_SECONDS)

    def _start(self) -> None:
        from kaleido import Kaleido

        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="export browser", daemon=True).start()

        async def opened():
            return await Kaleido(mathjax=False).__aenter__()  # MathJax would come from the network

        self._kaleido = self._call(opened())

    def _stop(self) -> None:
        if self._loop is None:
            return
        try:
            if self._kaleido is not None:
                self._call(self._kaleido.__aexit__(None, None, None))
        except Exception as error:
            log.warning("The browser did not close cleanly (%s).", error)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._loop = self._kaleido = None


@cache
def kept_browser() -> Browser:
    """Return this process' browser."""
    return Browser()
