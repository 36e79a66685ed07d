"""Load of one server by sessions that open a page at the same time, over Streamlit's websocket protocol.

    python -m benchmarks.dashboard.sessions [--at-once 1,10,50] [--rounds 3] [--against CHECKOUT] [--writing]

Each number of sessions gets a new server of each side. One session opens the page first, so that all data are read.
Then the sessions start at once; fewer than ten sessions are repeated. The benchmark prints the median and the 95th
percentile of the seconds until the page is complete, the server's CPU seconds per page and its peak memory. It then
prints the CPU seconds of every page for one session.
`--against` names another checkout to measure in the same run. `--writing` stores a row of the default model twice a
second during the measurement; the other checkout must have the same database tables. All traffic is local.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any, NamedTuple, TypeVar

import psutil
from rich.console import Console
from rich.table import Table
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from benchmarks.smoke import run
from core.base.paths import PROJECT
from core.request.stages import DEFAULT_MODEL
from core.store.store import Store
from tests.e2e.browser import Dashboard, dashboard

Answer = TypeVar("Answer")
LONGEST = 600.0  # maximum seconds of a session
PAUSE = 0.5  # seconds between two stored rows
FEWEST = 10  # minimum number of visits in a median
REPEATS = 5  # visits of each page, one session after another
PAGES = {
    "Explore": ("", ""),
    "By size": ("", "explore_mode=By+size"),
    "Several models": ("", "explore_mode=Several+models"),
    "Published": ("published", ""),
    "Methods": ("methods", ""),
}


class Visit(NamedTuple):
    """One session's visit of a page."""

    seconds: float  # from the connection to the complete page
    charts: int


class Load(NamedTuple):
    """The load of sessions that start at once."""

    visits: list[Visit]
    cpu: float  # seconds of the server per page
    memory: float  # peak of the server, MB

    @property
    def median(self) -> float:
        return statistics.median(visit.seconds for visit in self.visits)

    @property
    def percentile(self) -> float:
        """95th percentile of the seconds."""
        ordered = sorted(visit.seconds for visit in self.visits)
        return ordered[round(0.95 * (len(ordered) - 1))]


async def open_page(address: str, name: str, query: str) -> Visit:
    """Open a page in a new session.

    Raises:
        RuntimeError: The page does not exist or shows an error.
    """
    request = BackMsg()
    request.rerun_script.page_name, request.rerun_script.query_string = name, query
    request.rerun_script.context_info.url, request.rerun_script.context_info.color_scheme = f"{address}/{name}", "light"
    started, charts = time.monotonic(), 0
    stream = f"{address.replace('http', 'ws', 1)}/_stcore/stream"
    protocols = [Subprotocol("streamlit")]
    async with connect(
        stream, subprotocols=protocols, max_size=None, open_timeout=LONGEST, ping_interval=None
    ) as socket:
        await socket.send(request.SerializeToString())
        async for data in socket:
            message = ForwardMsg.FromString(data)
            element = message.delta.new_element.WhichOneof("type")
            if element == "exception":
                raise RuntimeError(
                    f"The page {name or 'Explore'} failed: {message.delta.new_element.exception.message}"
                )
            charts += element == "plotly_chart"
            if message.WhichOneof("type") == "page_not_found":
                raise RuntimeError(f"The dashboard has no page {name}.")
            if message.WhichOneof("type") == "script_finished":
                return Visit(time.monotonic() - started, charts)
    raise RuntimeError("The server closed the connection before the page was complete.")


def awaited(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a coroutine in another thread, since the calling thread may have an event loop, such as Playwright's."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _open_at_once(address: str, sessions: int, name: str, query: str) -> list[Visit]:
    async with asyncio.timeout(LONGEST):
        return await asyncio.gather(*(open_page(address, name, query) for _ in range(sessions)))


def measure(server: Dashboard, sessions: int, name: str = "", query: str = "") -> Load:
    """Open a page in several sessions at once."""
    process = psutil.Process(server.process)
    before = _cpu(process)
    visits = awaited(_open_at_once(server.address, sessions, name, query))
    used = _cpu(process) - before
    return Load(visits, used / sessions, server.peak())


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


@contextmanager
def started(project: Path) -> Iterator[tuple[Dashboard, Path]]:
    """Run a checkout's server with its own results after a first visit of Explore."""
    with TemporaryDirectory() as results, dashboard(Path(results), project) as server:
        measure(server, 1)
        yield server, Path(results)


@contextmanager
def written(results: Path) -> Iterator[None]:
    """Store a row of the default model every `PAUSE` seconds."""
    from benchmarks.dashboard.store import CALIBRATIONS, made_up_result

    store, end = Store(f"sqlite:///{results / 'local.db'}"), Event()

    def write() -> None:
        for seed in count():
            store.put(made_up_result(DEFAULT_MODEL, "wanda@0.5", CALIBRATIONS[0], seed % 10))
            if end.wait(PAUSE):
                return

    writer = Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        end.set()
        writer.join()


def measure_side(project: Path, number: int, writing: bool) -> list[Load]:
    """Start a checkout's server and open Explore in several sessions at once; few sessions are repeated."""
    with started(project) as (server, results), written(results) if writing else nullcontext():
        return [measure(server, number) for _ in range(max(1, FEWEST // number))]


def compare_loads(sides: dict[str, Path], numbers: list[int], rounds: int, writing: bool) -> None:
    """Print the load of each number of sessions on each side; the sides take turns."""
    title = "Explore" + (", a row stored twice a second" if writing else "")
    table = Table(
        "sessions", "side", "median, s", "95th, s", "CPU s per page", "over the first", "peak, MB", title=title
    )
    for number in numbers:
        loads: dict[str, list[Load]] = {side: [] for side in sides}
        for turn in range(rounds):
            for side in list(sides)[:: -1 if turn % 2 else 1]:
                loads[side] += measure_side(sides[side], number, writing)
        first = statistics.median(load.cpu for load in next(iter(loads.values())))
        for side, found in loads.items():
            visits = [visit for load in found for visit in load.visits]
            whole = Load(visits, statistics.median(load.cpu for load in found), max(load.memory for load in found))
            figures = (f"{whole.median:.2f}", f"{whole.percentile:.2f}", f"{whole.cpu:.3f}", f"{whole.cpu / first:.2f}")
            table.add_row(str(number), side, *figures, f"{whole.memory:.0f}")
    Console().print(table)


def compare_pages(sides: dict[str, Path]) -> None:
    """Print the CPU seconds of each page, the median of several sessions one after another."""
    table = Table("page", "side", "CPU s", "over the first", title="One session, each page")
    found: dict[tuple[str, str], float] = {}
    for side, project in sides.items():
        with started(project) as (server, _):
            for page, where in PAGES.items():
                measure(server, 1, *where)
                found[page, side] = statistics.median(measure(server, 1, *where).cpu for _ in range(REPEATS))
    for page in PAGES:
        first = found[page, next(iter(sides))]
        for side in sides:
            table.add_row(page, side, f"{found[page, side]:.3f}", f"{found[page, side] / first:.2f}")
    Console().print(table)


SMOKE = {"at_once": "2", "rounds": 1}


def main(at_once: str = "1,10,50", rounds: int = 3, against: Path | None = None, writing: bool = False) -> None:
    os.environ.pop("SLIMSCOPE_DB", None)
    sides = ({"against": against.absolute()} if against else {}) | {"this": PROJECT}
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    compare_loads(sides, [int(number) for number in at_once.split(",")], rounds, writing)
    if not writing:
        compare_pages(sides)


if __name__ == "__main__":
    run(main, SMOKE)
