"""Speed of the dashboard with an artificial store of 10,000 variants and 200,000 numbers, and with the bundled results.

    python -m benchmarks.pages [--variants 10000] [--keep FOLDER]

For each store it prints measured values and targets. The first part are CPU seconds and peak memory: of reading all
results, of the tidy rows and of the first run and the rerun of each page in Streamlit's tester. The second part are
seconds with real servers and Chromium, medians over the servers: until the first chart appears, and until the page has
updated after a click. `--keep` stores the artificial store in a folder, or reuses it.
"""

import os
import random
import re
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice, product
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import insert

from benchmarks.smoke import run
from core.amount import Bits, Factor
from core.data.cards import SEVEN, TASKS
from core.notation.chain import ChainDefaults, parse
from core.paths import PROJECT, local_results_dir
from core.registry import METHODS
from core.request.complete import complete
from core.request.resolve import resolve_chain
from core.results import Footprint, LayerReport, Measurement, Result, Variant
from core.specs import RunSpec, TextWindows, VariantSpec
from core.store.rows import written
from core.store.store import Store
from core.store.tables import measurements, variants
from tests.e2e.browser import chromium, dashboard

MODELS = ("smollm2-135m", "opt-125m", "opt-350m", "smollm2-360m")
RATIOS = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9")
FOLLOWED = ("", "+lora", "+distill-white", "+lora,rank=4")  # recoveries
CALIBRATIONS = ("c4-sample:16x2048", "c4-sample:128x2048", "passages-calibration:16x2048")
TRAINING = "c4-sample:2048x256"
TEXTS = (("wikitext2", 2048, 16), ("ptb-valid", 128, 128), ("wikitext2", 128, 128), ("passages-eval", 2048, 16))
LIMITS = (100, 500)
BLOCKS, ROLES = 30, ("q", "k", "v", "o", "gate", "up", "down")
AT_ONCE = 500  # variants per insert
FIRST_PART, MEMORY = 2.0, 600.0  # seconds, MB
RERUN = 0.3  # seconds of a page

Answer = TypeVar("Answer")
Row = tuple[str, float, str, float | None]  # name, value, unit, target


# The artificial store


def chains() -> list[str]:
    """Return the chains of variants: every method at each of its amounts, with and without recoveries."""
    found = []
    for method in (method for method in METHODS if method.takes_amount):
        amounts = [str(amount) for amount in (*map(Bits, method.bit_choices), *map(Factor, method.factor_choices))]
        amounts = amounts or [ratio for ratio in RATIOS if float(ratio) <= method.highest_offered]
        amounts += ["2:4", "4:8"] if method.supports_nm else []
        found += [f"{method.name}@{amount}{then}" for amount, then in product(amounts, FOLLOWED)]
    return found


def made_up(count: int) -> Iterator[Result]:
    """Yield `count` results, equally many of each model, its dense one first."""
    drawn = random.Random(0)
    for model in MODELS:
        every = list(product(chains(), CALIBRATIONS, range(4)))
        drawn.shuffle(every)
        yield made_up_result(model, "dense", CALIBRATIONS[0], 0)
        yield from islice(unique(made_up_result(model, *one) for one in every), count // len(MODELS) - 1)


def unique(results: Iterable[Result]) -> Iterator[Result]:
    """Yield the first result of each key."""
    known = set()
    for one in results:
        if one.variant.key not in known:
            known.add(one.variant.key)
            yield one


def made_up_result(model: str, chain: str, calibration: str, seed: int) -> Result:
    """Return a result with 20 numbers and a report of each linear."""
    defaults = ChainDefaults(TextWindows.parse(calibration), TextWindows.parse(TRAINING), seed)
    stages = resolve_chain(parse(chain), defaults)
    variant = Variant(
        key=VariantSpec(model=model, revision="1", stages=stages).key,
        model=model,
        revision="1",
        dtype="float32",
        stages=stages,
        stage_runs=tuple({"seconds": 60.0, "device": "cpu", "created": "2026-01-01T00:00:00+00:00"} for _ in stages),
    )
    ratio, drawn = variant.ratio or 0.0, random.Random(variant.key)
    zeros = round(ratio * 106e6)
    footprint = Footprint(
        block_weights=106_000_000,
        block_zeros=zeros,
        model_parameters=134_500_000,
        model_zeros=zeros,
        dense_parameters=134_500_000,
        dense_bytes=269_000_000,
        packed_bytes=269_000_000 - 2 * zeros,
        bits_per_weight=16 - 16 * ratio,
    )
    layers = tuple(
        LayerReport(
            name=f"model.layers.{block}.{role}",
            block=block,
            role=role,
            shape=(576, 576),
            sparsity=ratio,
            error=drawn.random(),
            stage=0,
        )
        for block, role in product(range(BLOCKS if stages[0].method != "dense" else 0), ROLES)
    )
    return Result(variant=variant, footprint=footprint, measurements=tuple(numbers(ratio, drawn)), layers=layers)


def numbers(ratio: float, drawn: random.Random) -> Iterator[Measurement]:
    """Yield 20 numbers: perplexities, the seven tasks at two limits, latencies."""
    details = {"seconds": 30.0, "tokens": 32768, "device": "cpu", "created": "2026-01-02T00:00:00+00:00"}
    for corpus, window, windows in TEXTS:
        value = 20 / (1.05 - ratio) ** 2 * (1 + drawn.random() / 10)
        protocol = {"window": window, "windows": windows, "source": "folder", "dtype": "float32"}
        yield Measurement(
            metric="perplexity", dataset=corpus, value=value, stderr=value / 50, n=windows, protocol=protocol
        ).model_copy(update={"details": details})
    for task, limit in product(SEVEN, LIMITS):
        protocol = {"limit": limit, "fewshot": 0, "version": 1, "source": "folder", "dtype": "float32"}
        value = TASKS[task].chance + 0.3 * (1 - ratio) * drawn.random()
        yield Measurement(
            metric=TASKS[task].metric, dataset=task, value=value, stderr=0.04, n=limit, protocol=protocol
        ).model_copy(update={"details": details})
    for metric in ("prefill", "decode"):
        protocol = {"batch": 1, "prompt": 512, "dtype": "float32"}
        yield Measurement(metric=metric, dataset="latency", value=5.0 - ratio, n=8, protocol=protocol)


def fill(folder: Path, count: int) -> None:
    """Write the artificial store into a results folder."""
    store, results = Store(f"sqlite:///{folder / 'local.db'}"), made_up(count)
    while part := [written(result) for result in islice(results, AT_ONCE)]:
        with store.begin() as connection:
            connection.execute(insert(variants), [row for row, _ in part])
            connection.execute(insert(measurements), [number for _, rows in part for number in rows])


# Without a browser


def timed(work: Callable[[], Any]) -> float:
    """Return the CPU seconds of work, in all threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


def peak() -> float:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_reading() -> list[Row]:
    from core.analysis.frame import tidy

    store = Store()
    found: list[Result] = []
    rows: list[Row] = [("results()", timed(lambda: found.extend(store.results())), "CPU s", None)]
    rows.append(("tidy", timed(lambda: tidy(found)), "CPU s", None))
    return [*rows, ("peak of these two", peak(), "MB", None)]


def measure_estimate() -> list[Row]:
    from core.request.estimate import estimate_left

    store, spec = Store(), wanted_run()
    first, again = (timed(lambda: estimate_left([spec], store)) for _ in range(2))
    return [("an estimate", first, "CPU s", None), ("the same again", again, "CPU s", RERUN)]


def wanted_run() -> RunSpec:
    return complete(MODELS[0], "wanda@0.55", calibration=TextWindows.parse(CALIBRATIONS[0]))


def measure_page(name: str, page: str | None) -> list[Row]:
    """Measure one page in Streamlit's tester."""
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_file(str(PROJECT / "dashboard" / "app.py"), default_timeout=300)
    if page:
        app.switch_page(page)
    first = timed(app.run)
    again = min(timed(app.run) for _ in range(3))
    if app.exception:
        raise SystemExit(f"{name} failed: {app.exception[0].value}")
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


# With a browser


# Records the time of the first chart inside the page, since polling would wait until the page is idle.
APPEARS = """new MutationObserver((_, seen) => {
    if (document.querySelector('.js-plotly-plot .main-svg')) { window.chart = performance.now(); seen.disconnect(); }
}).observe(document, {subtree: true, childList: true});"""
# Records the last click and the last change of the page. Changes inside a table's canvas do not count: its text for
# screen readers follows a fifth of a second after the table is drawn.
WATCH = """() => {
    window.changed = 0;
    document.addEventListener('click', () => { window.started = performance.now(); }, true);
    const seen = ({target}) => !(target.closest ? target : target.parentElement)?.closest('canvas');
    new MutationObserver((all) => { if (all.some(seen)) window.changed = performance.now(); }).observe(
        document.querySelector('[data-testid="stMain"]'), {subtree: true, childList: true, characterData: true}
    );
}"""
IDLE = """() => {
    const app = document.querySelector('[data-testid="stApp"]');
    return app.dataset.testScriptState === 'notRunning' && window.changed > window.started
        && performance.now() - window.changed > 1200;
}"""


def measure_browser(servers: int) -> list[Row]:
    """Return the medians over several servers."""
    runs = [measure_server() for _ in range(servers)]
    return [(rows[0][0], median(row[1] for row in rows), *rows[0][2:]) for rows in zip(*runs, strict=True)]


def measure_server() -> list[Row]:
    with chromium() as browser, dashboard(local_results_dir()) as server:
        rows: list[Row] = []
        for visit in ("first visit", "second visit"):
            tab = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            tab.set_default_timeout(120_000)
            tab.add_init_script(APPEARS)
            tab.goto(server.address)
            tab.wait_for_function("window.chart")
            painted, there = tab.evaluate(
                "[performance.getEntriesByName('first-contentful-paint')[0].startTime, window.chart]"
            )
            rows.append((f"{visit}, first chart after opening", there / 1000, "s", FIRST_PART))
            rows.append((f"{visit}, first chart after first paint", (there - painted) / 1000, "s", FIRST_PART))
        tab.wait_for_timeout(3000)
        tab.evaluate(WATCH)
        amount = tab.locator(".st-key-explore_at button").first
        rows.append(("another amount", done(tab, amount.click), "s", 0.3))
        chosen = tab.get_by_test_id("stMultiSelect").first
        off = chosen.get_by_role("button", name=re.compile("Remove")).or_(chosen.locator("[data-baseweb=tag] svg"))
        rows.append(("a method off", done(tab, lambda: off.first.click()), "s", 0.4))
        rows.append(("a family on", done(tab, lambda: pill(tab, "Structured").click()), "s", 0.6))
        rows.append(("a family off", done(tab, lambda: pill(tab, "Structured").click()), "s", 0.6))
        rows.append(("the server's peak", server.peak(), "MB", MEMORY))
    return rows


def pill(tab, name: str):
    return tab.get_by_test_id("stSidebar").get_by_text(name, exact=True).first


def done(tab, act: Callable[[], None]) -> float:
    """Click with `act` and return the seconds until the last change of the page."""
    act()
    tab.wait_for_function(IDLE)
    seconds = tab.evaluate("window.changed - window.started") / 1000
    tab.wait_for_timeout(500)
    return seconds


def show(title: str, rows: list[Row]) -> None:
    table = Table(title=title)
    for column in ("measurement", "value", "target"):
        table.add_column(column, justify="left" if column == "measurement" else "right")
    for name, value, unit, target in rows:
        digits = 0 if unit == "MB" else 2
        table.add_row(name, f"{value:.{digits}f} {unit}", "" if target is None else f"{target:g} {unit}")
    Console().print(table)


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
    parts += [partial(measure_browser, servers)] if servers else []
    os.environ.pop("SLIMSCOPE_DB", None)
    execute = in_a_process if fresh else in_this_process
    with tempfile.TemporaryDirectory() as temporary:
        folder = (keep or Path(temporary) / "filled").absolute()
        if not (folder / "local.db").exists():
            folder.mkdir(parents=True, exist_ok=True)
            execute(partial(fill, folder, variants))
        for title, results in (("bundled results", Path(temporary)), (f"{variants:,} artificial variants", folder)):
            os.environ["SLIMSCOPE_RESULTS"] = str(results)
            show(title, [row for part in parts for row in execute(part)])


if __name__ == "__main__":
    run(main, SMOKE)
