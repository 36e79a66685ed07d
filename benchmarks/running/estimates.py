"""Estimates of runs against the time that they took: each run alone, then other ones beside each other.

    python -m benchmarks.running.estimates [--model smollm2-135m] [--chains 'wanda@0.5;gptq@4bit;...']

Each chain is a new job in an empty store, so the first estimates know no speed of this machine. While a job runs, its
row gives the remaining time as the page Run shows it. The last columns are the error of that time after a quarter, half
and three quarters of the job, as a share of the whole time.
"""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.smoke import run
from core.jobs.doing import Outlook
from core.jobs.queue import Queue
from core.request.complete import complete
from core.request.expected.estimate import estimate_left, slowdown
from core.request.settings import RunSettings
from core.request.stages import DEFAULT_MODEL
from core.specs import Perplexity, RunSpec, TextWindows
from core.store.store import Store

CHAINS = (
    "magnitude@0.5;wanda@0.5;sparsegpt@0.5;rtn@4bit;gptq@4bit;awq@4bit;slimllm@0.2;flap@0.2;svd-llm@0.2;"
    "wanda@0.5+lora,minutes=1"
)
SMOKE = {"chains": "magnitude@0.5;wanda@0.5", "perplexity": "wikitext2@24:2", "calibration": "c4-sample:4x24"}
QUARTERS = (0.25, 0.5, 0.75)
USUAL = 0.8  # share of the runs that a usual error covers
POLL_SECONDS = 0.2


class Timed(NamedTuple):
    """A run with its estimate before the start and, after a quarter, half and three quarters, of the time left."""

    chain: str
    estimate: float  # seconds
    took: float  # seconds
    errors: tuple[float, ...]  # of the time left at `QUARTERS`, as shares of `took`

    @property
    def factor(self) -> float:
        """How many times longer or shorter it took than estimated."""
        return max(self.took / self.estimate, self.estimate / self.took)


def timed(queue: Queue, specs: Sequence[RunSpec], names: Sequence[str]) -> list[Timed]:
    """Submit runs that begin together, and return them with their estimates, as a page shows these."""
    factor = slowdown()
    before = [estimate_left([spec], queue.store) for spec in specs]
    ids = queue.submit_all(specs)
    outlook = Outlook(queue.store)
    shown: dict[int, list[tuple[float, float]]] = {job_id: [] for job_id in ids}  # elapsed and left
    while any(queue.job(job_id).active for job_id in ids):
        for job in map(queue.job, ids):
            if job.state == "running" and job.started:
                shown[job.id].append((job.read - job.started, outlook.seconds_left([job]) or 0.0))
        time.sleep(POLL_SECONDS)
    return [
        _timed(name, factor * one.seconds, queue, job_id, shown[job_id])
        for name, one, job_id in zip(names, before, ids, strict=True)
    ]


def _timed(name: str, estimate: float, queue: Queue, job_id: int, shown: Sequence[tuple[float, float]]) -> Timed:
    job = queue.job(job_id)
    if job.state != "done" or job.finished is None or job.started is None:
        raise SystemExit(job.error or f"The run of {name} was {job.state}.")
    took = job.finished - job.started
    elapsed, left = np.array(shown).T  # (looks,) each
    errors = [(left - (took - elapsed))[np.abs(elapsed - share * took).argmin()] / took for share in QUARTERS]
    return Timed(name, estimate, took, tuple(map(float, errors)))


def usual(rows: Sequence[Timed]) -> float:
    """Return the factor within which the share `USUAL` of the runs is."""
    return float(np.quantile([row.factor for row in rows], USUAL, method="higher"))


def show(title: str, rows: Sequence[Timed]) -> None:
    table = Table("run", "estimate s", "took s", "took / estimate", "left at 1/4", "at 1/2", "at 3/4", title=title)
    for row in rows:
        errors = [f"{100 * error:+.0f} %" for error in row.errors]
        table.add_row(row.chain, f"{row.estimate:.0f}", f"{row.took:.0f}", f"{row.took / row.estimate:.2f}", *errors)
    print_to = Console()
    print_to.print(table)
    half = statistics.median(abs(row.errors[1]) for row in rows)
    print_to.print(
        f"{100 * USUAL:.0f} % of the runs are within a factor of {usual(rows):.2f}; at half, the median error of the "
        f"time left is {100 * half:.0f} % of the run."
    )


@contextmanager
def own_queue() -> Iterator[Queue]:
    """Yield a queue of an empty store, which this process supervises."""
    with TemporaryDirectory() as folder, patch.dict(os.environ, {"SLIMSCOPE_RESULTS": folder}):
        queue = Queue(Store())
        queue.start()
        try:
            yield queue
        finally:
            queue.stop()


def main(
    model: str = DEFAULT_MODEL,
    chains: str = CHAINS,
    perplexity: str = "wikitext2@2048:8",
    calibration: str = "c4:16x1024",
) -> None:
    names = chains.split(";")

    def requested(chain: str, seed: int) -> RunSpec:
        return complete(
            model,
            chain,
            RunSettings(
                perplexity=(Perplexity.parse(perplexity),), calibration=TextWindows.parse(calibration), seed=seed
            ),
        ).model_copy(update={"force": True})

    alone_specs, beside_specs = ([requested(name, seed) for name in names] for seed in (0, 1))
    with own_queue() as queue:
        alone = [timed(queue, [spec], [name])[0] for spec, name in zip(alone_specs, names, strict=True)]
        show("alone", alone)
        with patch.dict(os.environ, {"SLIMSCOPE_SLOTS": "2"}):
            pairs = [slice(at, at + 2) for at in range(0, len(names), 2)]
            beside = [row for pair in pairs for row in timed(queue, beside_specs[pair], names[pair])]
        show("beside another", beside)


if __name__ == "__main__":
    run(main, SMOKE)
