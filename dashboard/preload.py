"""Early fetch of the browser's chart library.

Streamlit's page asks for it only when the first chart arrives, and it takes longer than everything before it.
"""

from pathlib import Path

import streamlit
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STATIC = Path(streamlit.__file__).parent / "static"
FILES = [file.relative_to(STATIC).as_posix() for file in STATIC.glob("static/js/PlotlyChart.*.js")]
LINKS = ", ".join(f"<./{file}>; rel=modulepreload" for file in FILES)


class Preload:
    """Middleware that lets the browser fetch the chart library together with the page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; pages get a header that names the library."""

        async def send_with_links(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("link", LINKS)
            await send(message)

        await self.app(scope, receive, send_with_links if scope["type"] == "http" else send)
