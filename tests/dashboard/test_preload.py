"""The header that lets the browser fetch the chart library together with the page."""

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from dashboard.preload import FILES, STATIC, Preload


@pytest.fixture
def client():
    async def page(_):
        return HTMLResponse("<p>page</p>")

    async def other(_):
        return JSONResponse({})

    return TestClient(Preload(Starlette(routes=[Route("/", page), Route("/other", other)])))


def test_the_chart_library_has_one_file():
    (file,) = FILES
    assert (STATIC / file).stat().st_size > 1_000_000


def test_only_pages_name_the_chart_library(client):
    assert client.get("/").headers["link"] == f"<./{FILES[0]}>; rel=modulepreload"
    assert "link" not in client.get("/other").headers
