"""Links to pages with damaged parameters: each page opens without an exception, and no link queues a job."""

from __future__ import annotations

import random
import re
from itertools import product
from pathlib import Path
from urllib.parse import urlencode

import streamlit as st
from streamlit.testing.v1 import AppTest

from core import paths
from core.jobs.queue import Queue
from core.store.database import database_url
from core.store.store import Store
from dashboard import data
from tests.attacks.families.chains import chain_of
from tests.attacks.family import Family
from tests.attacks.machine import use_few_bundled
from tests.attacks.mutation import mutate, piece
from tests.dashboard.opened import APP
from tests.dashboard.synthetic import curve

PAGES = (None, "run/view.py", "published/view.py", "methods/view.py")
SECONDS = 50
VALUES = (
    *("true", "false", "Grid", "Chain", "PIQA", "wikitext2", "0.5", "2:4", "4bit", "8", "2048", "float16", "cuda:1"),
    *("smollm2-135m", "toy", "llama-2-7b", "Perplexity", "Trade-off", "Curve", "Wanda", "SparseGPT", "dense", "Models"),
    *("wanda@0.3+lora,minutes=5", "magnitude@\nwanda@", "4", "most like the question", "/etc/passwd", "../../etc"),
)


PATHS = ("/etc/passwd", "../../etc", "~/x", "/dev/zero", "x" * 5_000, "\ud800", "\x00", "")
CASES = (  # page, parameter and value
    *product(["run/view.py"], ["run_model", "run_chains", "run_calibration", "run_perplexity", "run_tasks"], PATHS),
    *product([None], ["explore_model", "explore_at", "explore_mode", "explore_text", "explore_series"], PATHS),
    *product(["methods/view.py"], ["chain"], (*PATHS, "magnitude@0.5+" * 400, "magnitude@²:4", "flap@0.9999999")),
)


def prepare(folder: Path) -> tuple[str, ...]:
    """Fill a store with invented results; return the names of all parameters that occur in the pages."""
    use_few_bundled(folder / "bundled")
    store = Store(database_url(None))
    for one in curve():
        store.put(one)
    queue = Queue(store)  # which is not started: what a link queues stays queued
    data.queue = lambda: queue
    st.cache_data.clear()
    source = "".join(file.read_text() for file in (paths.PROJECT / "dashboard").rglob("*.py"))
    return tuple(sorted({"chain", "alone", *re.findall(r"\"((?:explore|run|published|methods)_[a-z_]+)\"", source)}))


def value(draw: random.Random) -> str:
    """Return the value of a parameter."""
    kind = draw.random()
    text = chain_of(draw) if kind < 0.2 else draw.choice(VALUES) if kind < 0.85 else piece(draw, VALUES)
    return mutate(text, draw, VALUES, most=2) if draw.random() < 0.5 else text


def generated(names: tuple[str, ...], draw: random.Random) -> tuple[str | None, dict[str, list[str]]]:
    """Return a page and one to six parameters."""
    page = draw.choice(PAGES)
    start = {None: "explore_", "run/view.py": "run_"}.get(page, "")
    mine = [name for name in names if name.startswith(start) or draw.random() < 0.1]
    chosen = draw.sample(mine, draw.randint(1, 6))
    return page, {name: [value(draw) for _ in range(draw.choice((1, 1, 1, 2, 5)))] for name in chosen}


def opens(
    given: tuple[tuple[str, ...], tuple[str | None, str, str] | None], draw: random.Random, place: Path
) -> str | None:
    """Open a page by a link."""
    names, case = given
    page, parameters = (case[0], {case[1]: [case[2]]}) if case else generated(names, draw)
    sent = {name: [_sendable(text) for text in texts] for name, texts in parameters.items()}
    query = {name: texts if len(texts) > 1 else texts[0] for name, texts in sent.items()}
    app = AppTest.from_file(APP, default_timeout=SECONDS)
    for name, values in query.items():
        app.query_params[name] = values
    app.run()
    if page:
        app.switch_page(page).run()
    link = f"{page or 'explore/view.py'}?{urlencode(query, doseq=True)[:300]}"
    if app.exception:
        return f"{link} shows {app.exception[0].message}"
    if jobs := data.queue().jobs():
        return f"{link} queues {jobs[0].spec.variant.stages}"
    return None


def _sendable(text: str) -> str:
    """Return text as a browser sends it, which has no lone surrogates."""
    return text.encode("utf-8", "replace").decode()


FAMILIES = (Family("links", 420, opens, prepare, cases=CASES, fuzzes=True, seconds=120.0),)
