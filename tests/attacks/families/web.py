"""Requests to a running dashboard that nobody sends in good faith: it stays up and gives nothing away."""

from __future__ import annotations

import os
import random
import socket
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tests.attacks.family import Family
from tests.attacks.mutation import mutate
from tests.e2e.browser import dashboard

SECONDS = 20.0
LOCAL = ("127.0.0.1", "localhost")
SECRET = "canary-of-the-results"
LEAKS = (b"root:x:0", SECRET.encode(), b"import streamlit as st")
STREAM = "/_stcore/stream"
NAMES = (
    *("http://127.0.0.1:{port}", "http://localhost:{port}", "http://evil.example", "https://evil.example:{port}"),
    *("http://127.0.0.1.evil.example", "http://localhost.evil.example:{port}", "http://evil.example@127.0.0.1"),
    *("http://127.0.0.1@evil.example", "http://evil.example#127.0.0.1", "http://evil.example/127.0.0.1", "null"),
    *("http://192.168.0.7:{port}", "file://", "http://xn--lcalhost-55a", "http://LOCALHOST.evil.example", "http://"),
)
FILES = ("etc/passwd", "results/secret.txt", "secret.txt", "dashboard/app.py", "core/paths.py", "local.db")
STEPS = ("../", "..%2f", "%2e%2e/", "..%5c", "..\\", "%252e%252e%252f", "....//", "/", "%00/", "..;/", "~/")
ROOTS = (
    "/",
    "/static/",
    "/media/",
    "/app/static/",
    "/component/x/",
    "/_stcore/",
    "/vendor/",
    "/-/",
    "/_stcore/bidi-components/",
)


@dataclass(frozen=True)
class Served:
    """A dashboard that runs; `context` ends it once nobody holds it."""

    port: int
    process: int
    context: AbstractContextManager


def prepare(folder: Path) -> Served:
    """Start the dashboard next to a file that it must not serve."""
    (folder / "served").mkdir()
    (folder / "served" / "secret.txt").write_text(SECRET)
    context = dashboard(folder / "served")
    running = context.__enter__()
    return Served(urlsplit(running.address).port or 0, running.process, context)


def exchange(port: int, request: bytes, after: bytes = b"") -> bytes:
    """Send a request, then more if the connection is upgraded; return the first 64 kB of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        answer = b""
        try:
            connection.sendall(request)
            answer = connection.recv(65_536)
            if b" 101 " in answer[:20]:  # and stays open
                connection.sendall(after)
                connection.settimeout(1)
            while (more := connection.recv(65_536)) and len(answer) < 65_536:
                answer += more
        except OSError:  # the server may end what it does not understand
            pass
    return answer


def status(answer: bytes) -> int:
    """Return the status of an answer, 0 where there is none."""
    words = answer.split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


def head(line: str, headers: dict[str, str]) -> bytes:
    """Return the head of a request."""
    fields = {"Connection": "close"} | headers
    return "".join([f"{line}\r\n", *(f"{name}: {text}\r\n" for name, text in fields.items()), "\r\n"]).encode(
        "utf-8", "replace"
    )


def upgrade(host: str, origin: str) -> bytes:
    """Return the request for a websocket."""
    return head(
        f"GET {STREAM} HTTP/1.1",
        {
            "Host": host,
            "Origin": origin,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": "streamlit",
        },
    )


def _header(text: str) -> str:
    """Return text that stays one header."""
    return "".join(sign for sign in text if sign.isprintable() and sign.isascii())


def _is_foreign(name: str) -> bool:
    try:
        return urlsplit(name).hostname not in LOCAL
    except ValueError:
        return True


def damaged_page(port: int, draw: random.Random) -> str | None:
    """Open a websocket as a page with a damaged origin would."""
    host = draw.choice((NAMES[0], draw.choice(NAMES)))
    return foreign_page(port, draw, _header(mutate(draw.choice(NAMES), draw, NAMES, most=2)), host)


def foreign_page(port: int, draw: random.Random, origin: str, host: str) -> str | None:
    """Open a websocket as a page of another site, or under another host, would."""
    origin = origin.replace("{port}", str(port))
    host = urlsplit(host.replace("{port}", str(port))).netloc
    answer = exchange(port, upgrade(host, origin))
    if status(answer) == 101 and origin.strip() and (_is_foreign(origin) or _is_foreign(f"http://{host}")):
        return f"A websocket is opened for the host {host!r} and the origin {origin!r}."
    return None


def damaged_traversal(port: int, draw: random.Random) -> str | None:
    """Ask for a file outside the served folders by a damaged path."""
    path = draw.choice(ROOTS) + draw.choice(STEPS) * draw.randint(1, 12) + draw.choice(FILES)
    return leak(port, "/" + quote(_header(mutate(path, draw)), safe="/%.\\"))


def traversal(port: int, draw: random.Random, root: str, step: str) -> str | None:
    """Ask for each file outside the served folders."""
    found = [leak(port, root + step * draw.randint(1, 12) + file) for file in FILES]
    return next((sentence for sentence in found if sentence), None)


def leak(port: int, path: str) -> str | None:
    """Ask for a path; return a sentence where the answer holds what is no page."""
    answer = exchange(port, head(f"GET {path} HTTP/1.1", {"Host": f"127.0.0.1:{port}"}))
    if secret := next((one for one in LEAKS if one in answer), None):
        return f"GET {path} gives {secret!r} away."
    return f"GET {path} ends with {status(answer)}." if status(answer) >= 500 else None


UPLOADED = ("x.csv", "../../x.csv", "%2e%2e%2fx", "x" * 3_000, "é.csv", "a\\b.csv")
TOKENS = (
    (),
    (("X-Xsrftoken", "2|x|y|1"),),
    (("Cookie", "_streamlit_xsrf=a"), ("X-Xsrftoken", "b")),
    (("Cookie", "_streamlit_xsrf=a"), ("X-Xsrftoken", "a")),
)
SIZES = (0, 10, 100_000, 5_000_000)
LARGE = (49_000_000, 54_000_000, 200_000_000)


def any_upload(port: int, draw: random.Random) -> str | None:
    """Upload any file."""
    return upload(port, draw, draw.choice(UPLOADED), draw.choice(TOKENS), draw.choice(SIZES))


def upload(port: int, draw: random.Random, name: str, token: tuple[tuple[str, str], ...], size: int) -> str | None:
    """Upload a file to a session that is not ours, with a token of the browser or without one."""
    session = draw.choice(("0", "../..", "a" * 36, "00000000-0000-0000-0000-000000000000"))
    body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="' + name.encode() + b'"\r\n\r\n'
    body += draw.randbytes(size) + b"\r\n--b--\r\n"
    headers = {
        "Host": f"127.0.0.1:{port}",
        "Content-Type": draw.choice(("multipart/form-data; boundary=b", "text/plain", "multipart/form-data")),
        "Content-Length": draw.choice((str(len(body)), str(len(body)), "-1", "99999999999", "x")),
        **dict(token),
    }
    path = f"/_stcore/upload_file/{quote(session)}/{quote(name)}"
    line = f"{draw.choice(('PUT', 'POST', 'DELETE'))} {path} HTTP/1.1"
    answer = exchange(port, head(line, headers) + body)
    if 200 <= status(answer) < 300 and not line.startswith("DELETE"):
        return f"{line[:100]} ends with {status(answer)}."
    return f"{line[:100]} ends with {status(answer)}." if status(answer) >= 500 else None


def junk_frames(port: int, draw: random.Random) -> str | None:
    """Open a websocket and send frames that nobody sends."""
    frames = b""
    for _ in range(draw.randint(1, 20)):
        load = draw.randbytes(draw.choice((0, 1, 10, 125, 1_000, 200_000)))
        first = draw.choice((0x80, 0x00, 0xF0, 0x40)) | draw.choice((0, 1, 2, 2, 2, 3, 8, 9, 10, 15))
        length = draw.choice((len(load), len(load), len(load), 0, 2**63 - 1, 2**64 - 1))
        masked = draw.choice((0x80, 0x80, 0x80, 0))
        if length < 126:
            size = bytes([masked | length])
        elif length < 65_536:
            size = bytes([masked | 126]) + length.to_bytes(2, "big")
        else:
            size = bytes([masked | 127]) + length.to_bytes(8, "big")
        frames += bytes([first]) + size + (draw.randbytes(4) if masked else b"") + load
    answer = exchange(port, upgrade(f"127.0.0.1:{port}", f"http://127.0.0.1:{port}"), frames)
    return None if status(answer) == 101 else f"A websocket of our own page ends with {status(answer)}."


def junk_request(port: int, draw: random.Random) -> str | None:
    """Send what is hardly HTTP."""
    request = head("GET / HTTP/1.1", {"Host": f"127.0.0.1:{port}", "Range": "bytes=0-10", "Cookie": "a=b"}).decode()
    answer = exchange(port, mutate(request, draw).encode("utf-8", "replace"))
    return f"A damaged request ends with {status(answer)}." if status(answer) >= 500 else None


OWN = NAMES[0]
FUZZERS = (damaged_page, damaged_traversal, any_upload, junk_frames, junk_frames, junk_request)
Case = tuple[Callable[..., str | None], tuple[Any, ...]]
CASES: tuple[Case, ...] = (
    *((foreign_page, pair) for pair in [*product(NAMES, [OWN]), *product([OWN], NAMES)]),
    *((foreign_page, (name, name)) for name in NAMES),
    *((traversal, pair) for pair in product(ROOTS, STEPS)),
    *((upload, (name, token, 10)) for name, token in product(UPLOADED, TOKENS)),
    *((upload, ("x.csv", token, size)) for token, size in product(TOKENS[:2], (*SIZES, *LARGE))),
)


def stays_up(given: tuple[Served, Case | None], draw: random.Random, place: Path) -> str | None:
    """Send hostile requests of one kind, then ask whether the server is well."""
    served, case = given
    send, details = case or (draw.choice(FUZZERS), ())
    sentence = send(served.port, draw, *details)
    os.kill(served.process, 0)
    with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/_stcore/health", timeout=SECONDS) as answer:
        if answer.read() != b"ok":
            return "The server is not well any more."
    return sentence


FAMILIES = (Family("web", len(CASES) + 60, stays_up, prepare, cases=CASES, fuzzes=True),)
