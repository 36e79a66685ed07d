"""Speed of the dashboard with an artificial store of 10,000 variants and 200,000 numbers, and with the bundled results.

    python -m benchmarks.dashboard.pages [--variants 10000] [--keep FOLDER]

The first table of each store has CPU seconds and peak memory: of reading all results, of their table and of the first
run and the rerun of each page in Streamlit's tester. Run and Published follow Explore in their process. The second
table has seconds with real servers and Chromium, medians over the servers: until the first chart appears, and until the
page has updated after a click. Its floor is a bare Streamlit page that draws the same figure and replaces it after a
click, measured in turn with Explore. `--keep` stores the artificial store in a folder, or reuses it.
"""

import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.dashboard.browser import MEMORY, PEAK, Compared, compare_with_floor
from benchmarks.dashboard.store import CALIBRATIONS, MODELS, fill
from benchmarks.smoke import run
from core.base.paths import PROJECT
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import RunSpec, TextWindows
from core.store.store import Store

RERUN = 0.3  # seconds of a page
READING_MEMORY = 1000  # MB
FLOORS_BUNDLED, FLOORS_ARTIFICIAL = 1.3, 1.6  # targets of the first chart

Answer = TypeVar("Answer")
Row = tuple[str, float, str, float | None]  # name, value, unit, target


def timed(work: Callable[[], Any]) -> float:
    """Return the CPU seconds of work, in all threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


def peak() -> float:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_reading() -> list[Row]:
    """Measure the tidy rows of all results, as commands read them."""
    from core.findings.finding import StoreReader
    from core.findings.numbers.frame import build_frame

    reader = StoreReader(Store())
    return [
        ("reading all results", timed(lambda: reader.every), "CPU s", None),
        ("their table", timed(lambda: build_frame(reader.every)), "CPU s", None),
        ("peak of these two", peak(), "MB", READING_MEMORY),
    ]


def measure_estimate() -> list[Row]:
    from core.request.expected.estimate import estimate_left

    store, spec = Store(), wanted_run()
    first, again = (timed(lambda: estimate_left([spec], store)) for _ in range(2))
    return [("an estimate", first, "CPU s", None), ("the same again", again, "CPU s", RERUN)]


def wanted_run() -> RunSpec:
    return complete(MODELS[0], "wanda@0.55", RunSettings(calibration=TextWindows.parse(CALIBRATIONS[0])))


def measure_page(name: str, page: str | None) -> list[Row]:
    """Measure one page in Streamlit's tester."""
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_file(str(PROJECT / "dashboard" / "app.py"), default_timeout=300)
    if page:
        app.run()  # the tester knows the other pages only after this
        app.switch_page(page)
    first = timed(app.run)
    again = min(timed(app.run) for _ in range(3))
    if app.exception:
        raise SystemExit(f"{name} failed: {app.exception[0].value}")
    if [title.value for title in app.title] != [name]:
        raise SystemExit(f"This is not the page {name}.")
    return [
        (f"{name}, first run", first, "CPU s", None),
        (f"{name}, rerun", again, "CPU s", RERUN),
        (f"{name}, peak", peak(), "MB", MEMORY),
    ]


def in_this_process(work: Callable[[], Answer]) -> Answer:
    return work()


def in_a_process(work: Callable[[], Answer]) -> Answer:
    """Run work in a new process, without imports and caches."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work).result()


def show(title: str, rows: list[Row]) -> None:
    table = _table(title, "value", "target")
    for name, value, unit, target in rows:
        table.add_row(name, f"{_number(value, unit)} {unit}", "" if target is None else f"{target:g} {unit}")
    Console().print(table)


def show_floors(title: str, rows: list[Compared]) -> None:
    table = _table(title, "value", "floor", "value / floor", "target")
    for name, value, floor, target in rows:
        unit = "MB" if name == PEAK else "s"
        wanted = "" if target is None else f"{target:g} MB" if name == PEAK else f"{target:g} floors"
        values = (f"{_number(one, unit)} {unit}" for one in (value, floor))
        table.add_row(name, *values, f"{value / floor:.2f}", wanted)
    Console().print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    table.add_column("measurement")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _number(value: float, unit: str) -> str:
    return f"{value:.{0 if unit == 'MB' else 2}f}"


PAGES = {"Explore": None, "Run": "run/view.py", "Published": "published/view.py"}
SMOKE = {"variants": 24, "pages": "Published", "servers": 0, "fresh": False}


def main(
    variants: int = 10_000,
    keep: Path | None = None,
    pages: Annotated[str, typer.Option(help="Pages to run in Streamlit's tester.")] = ",".join(PAGES),
    servers: Annotated[int, typer.Option(help="Number of servers to start, one after another.")] = 5,
    fresh: Annotated[bool, typer.Option(help="Run each part in a new process without caches.")] = True,
) -> None:
    parts: list[Callable[[], list[Row]]] = [measure_reading, measure_estimate]
    parts += [partial(measure_page, name, PAGES[name]) for name in pages.split(",")]
    os.environ.pop("SLIMSCOPE_DB", None)
    execute = in_a_process if fresh else in_this_process
    with tempfile.TemporaryDirectory() as temporary:
        folder = (keep or Path(temporary) / "filled").absolute()
        if not (folder / "local.db").exists():
            folder.mkdir(parents=True, exist_ok=True)
            execute(partial(fill, folder, variants))
        stores = (
            ("bundled results", Path(temporary), FLOORS_BUNDLED),
            (f"{variants:,} artificial variants", folder, FLOORS_ARTIFICIAL),
        )
        for title, results, floors in stores:
            os.environ["SLIMSCOPE_RESULTS"] = str(results)
            show(title, [row for part in parts for row in execute(part)])
            if servers:
                show_floors(f"{title}, in Chromium", execute(partial(compare_with_floor, servers, floors)))


if __name__ == "__main__":
    run(main, SMOKE)
