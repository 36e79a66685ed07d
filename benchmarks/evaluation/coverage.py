"""Coverage and power of the 95 % intervals of perplexities and of distances to the dense model.

    python -m benchmarks.evaluation.coverage [--sizes 4,8,16,32,64] [--runs 4000] [--write]

A sub-sample of consecutive windows simulates a measurement, and the mean of its whole record is the true value. The
benchmark compares the program's estimators, with and without a record, with independent windows. Without a record, the
factor is that of the records of other texts. Power is the share of sub-samples that detect a difference which a normal
test with the true variance detects in 80 %. A record is short, so even exact intervals have another coverage in it:
"exact" is the range of 95 % of normal series of the record's length and correlation. `--write` estimates the bundled
correlations from the texts.
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from rich.console import Console
from rich.table import Table

from benchmarks.smoke import run
from core.base import paths
from core.data.corpora import open_corpus
from core.data.windows import evaluation_windows
from core.findings.numbers.intervals import interval
from core.models.sources import identify, load_tokenizer
from core.request.stages import DEFAULT_MODEL
from core.results import Result
from core.statistics.correlations import (
    DIFFERENCES,
    OWN_WINDOWS,
    VALUES,
    ErrorOf,
    Of,
    Record,
    largest_factor,
    own,
    record,
    widened,
)
from core.statistics.longrun import autocorrelation, consecutive, independent
from core.store.bundled import read_measured
from core.store.samples import read_shipped_samples

SMOKE = {"sizes": "16", "runs": 200}
FEWEST = 8  # minimum number of disjoint sub-samples of a record
DETECTABLE = 1.96 + 0.8416  # distance from zero, in standard errors, at which a normal test has a power of 80 %
AR = (0.0, 0.3, 0.5)
RECORD = (4, 128)  # variants and windows of an artificial record
LEAST_VARIANTS, LEAST_WINDOWS = 2, 32  # of a record
DRAWS = 200  # normal series for the range of exact intervals
COLUMNS = ("values", "record", "windows", "estimator", "coverage %", "exact %", "half width / sd", "power %")


class Long(NamedTuple):
    """The longest bundled series of several variants on a text."""

    text: str
    window: int
    of: Of
    series: np.ndarray  # (variants, n)


class Judged(NamedTuple):
    coverage: float
    width: float  # half the mean interval, in standard deviations of the values
    power: float


def main(sizes: str = "4,8,16,32,64", runs: int = 4000, write: bool = False) -> None:
    found = list(longest(read_measured().results))
    if write:
        written = [estimated(one).model_dump() for one in found]
        paths.CORRELATIONS.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    table = Table(title="95 % intervals of the mean of consecutive windows")
    for column in COLUMNS:
        table.add_column(column)
    lengths = [int(size) for size in sizes.split(",")]  # windows of a sub-sample
    for row in (*of_texts(found, lengths, min(DRAWS, runs)), *artificial(lengths, runs)):
        table.add_row(*row)
    Console(width=120).print(table)


def longest(results: dict[str, Result]) -> Iterator[Long]:
    """Yield, for each text, window size and metric, the numbers of the variants with most windows, and differences.

    Differences of losses are those to the dense model. It has no distance to itself, so those of distances are between
    each variant and the next one.
    """
    every: dict[tuple[str, int, str], dict[int, dict[str, np.ndarray]]] = {}
    for key, result in results.items():
        for row in (row for row in result.measurements if row.on_windows and row.protocol["dtype"] == "float32"):
            samples = read_shipped_samples(key, row) if row.metric in VALUES else None
            if samples is not None:
                lengths = every.setdefault((row.dataset, row.protocol["window"], row.metric), {})
                sign = -1 if row.of_text else 1  # samples of perplexity are log-likelihoods
                lengths.setdefault(row.n, {})[key] = sign * samples[row.metric].to_numpy(float)
    for (text, window, metric), lengths in sorted(every.items()):
        able = [n for n, known in lengths.items() if n >= LEAST_WINDOWS and len(known) >= LEAST_VARIANTS]
        if not able:
            continue
        known = lengths[max(able)]
        values = list(known.values())
        if metric == "perplexity":
            pairs = [(one, known.get(results[key].variant.dense_key)) for key, one in known.items()]
        else:
            pairs = list(zip(values[1:], values[:-1], strict=True))
        yield Long(text, window, VALUES[metric], usable(values))
        yield Long(
            text, window, DIFFERENCES[metric], usable([one - other for one, other in pairs if other is not None])
        )


def usable(series: list[np.ndarray]) -> np.ndarray:
    """Return the finite, non-constant series (variants, n)."""
    return np.array([one for one in series if np.isfinite(one).all() and np.ptp(one)])


def estimated(found: Long) -> Record:
    """Estimate the record of a text."""
    variants, windows = found.series.shape
    correlation = tuple(round(float(rho), 4) for rho in autocorrelation(found.series))
    whole = len(evaluation_windows(open_corpus(found.text), load_tokenizer(identify(DEFAULT_MODEL)), found.window))
    return Record(
        text=found.text,
        window=found.window,
        of=found.of,
        variants=variants,
        windows=windows,
        whole=whole,
        correlation=correlation,
    )


def of_texts(found: list[Long], sizes: list[int], draws: int) -> Iterator[tuple[str, ...]]:
    """Yield the rows of texts with long enough records."""
    draw = np.random.default_rng(1)
    for one in found:
        known = record(one.text, one.window, one.of)
        if known is None:
            continue
        variants, n = one.series.shape
        for size in (size for size in sizes if size * FEWEST <= n):
            samples = [(sliding_window_view(series, size), series.mean(), series.std()) for series in one.series]
            exact = exact_range(draw, known.correlation, n, size, draws)
            factor = largest_factor(one.window, one.of, size, without=one.text)
            for name, error in estimators(known.correlation, size, factor).items():
                judged = [judge(part, truth, sd, error) for part, truth, sd in samples]
                yield row(f"{one.text}@{one.window}, {one.of}", f"{variants} x {n}", size, name, judged, exact)


def exact_range(draw: np.random.Generator, correlation: Sequence[float], n: int, size: int, draws: int) -> str:
    """Return the range of the coverage in normal series of n values with exactly this autocorrelation.

    The variants of a record are read on one text and count as one series.
    """
    lags = np.zeros(n)
    lags[: len(correlation)] = correlation[:n]
    values, vectors = np.linalg.eigh(lags[np.abs(np.subtract.outer(np.arange(n), np.arange(n)))])
    series = draw.standard_normal((draws, n)) * np.sqrt(values.clip(0)) @ vectors.T  # (draws, n)
    error = partial(consecutive, correlation=correlation)
    found = [judge(sliding_window_view(one, size), one.mean(), one.std(), error).coverage for one in series]
    low, high = 100 * np.quantile(found, (0.025, 0.975))
    return f"{low:.0f} to {high:.0f}"


def artificial(sizes: list[int], runs: int) -> Iterator[tuple[str, ...]]:
    """Yield the rows of AR(1) series, each with another draw of the same process as its record."""
    draw = np.random.default_rng(0)
    for rho in AR:
        for size in sizes:
            records = [ar1(draw, rho, *RECORD) for _ in range(20)]
            samples = [ar1(draw, rho, runs // 20, size) for _ in records]
            judged: dict[str, list[Judged]] = {}
            for known, part in zip(records, samples, strict=True):
                for name, error in estimators(autocorrelation(known).tolist(), size).items():
                    judged.setdefault(name, []).append(judge(part, 0.0, 1.0, error))
            for name, all_of in judged.items():
                yield row(f"AR(1), {rho}", "{} x {}".format(*RECORD), size, name, all_of)


def estimators(correlation: Sequence[float], size: int, factor: float = 1.0) -> dict[str, ErrorOf]:
    """Return the estimators of `size` windows by name; without a record, `factor` widens the interval."""
    known: dict[str, ErrorOf] = {
        "independent": independent,
        "record (used)": partial(consecutive, correlation=correlation),
        "cosines": consecutive,
    }
    if size >= OWN_WINDOWS:
        known["own record (used)"] = own
    elif factor > 1:  # it is 1 for artificial series, and without records of other texts
        known["widened cosines (used)"] = partial(widened, factor=factor)
    return known


def ar1(draw: np.random.Generator, rho: float, series: int, n: int) -> np.ndarray:
    """Return normal series (series, n) of variance 1."""
    values = np.empty((series, n))
    values[:, 0] = draw.standard_normal(series)
    for place in range(1, n):
        values[:, place] = rho * values[:, place - 1] + np.sqrt(1 - rho**2) * draw.standard_normal(series)
    return values


def judge(samples: np.ndarray, truth: float, sd: float, error: ErrorOf) -> Judged:
    """Judge an estimator on samples (m, n) of values with the mean `truth` and the standard deviation `sd`."""
    means = samples.mean(1)  # (m,)
    halves = np.array([interval(0.0, *error(one))[1] for one in samples])  # (m,)
    shift = DETECTABLE * np.sqrt(((means - truth) ** 2).mean())
    distances = np.abs(means - truth)
    return Judged(
        coverage=float((distances <= halves).mean()),
        width=float(halves.mean()) / sd,
        power=float((np.abs(means - truth + shift) > halves).mean()),
    )


def row(values: str, known: str, size: int, name: str, judged: list[Judged], exact: str = "") -> tuple[str, ...]:
    coverage, width, power = np.mean(judged, axis=0)
    return values, known, str(size), name, f"{100 * coverage:.1f}", exact, f"{width:.2f}", f"{100 * power:.0f}"


if __name__ == "__main__":
    run(main, SMOKE)
