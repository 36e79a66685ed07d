"""The metrics: everything that tables, charts, limits, comparisons and imports know of one is its declaration here.

To add a metric, add a line to `BUILT_IN`, or declare an entry point in another package (`core.base.plugins`).
`core.evaluation` computes those of `BUILT_IN`.
"""

import math
from dataclasses import dataclass
from typing import Literal

from core.base import plugins
from core.base.errors import echo


@dataclass(frozen=True)
class Metric:
    """A kind of number on variants, and how it is compared and written."""

    name: str  # as stored
    noun: str  # in a sentence, such as `top-1 agreement`
    on: Literal["windows", "documents", "machine", "model"]  # what it is measured on
    unit: str = ""  # of displayed values; those in % are stored as shares
    lower: bool = True  # whether lower is better
    ends: tuple[float, float] = (0.0, math.inf)  # the least and the greatest possible value
    relation: str = ""  # of a distance to the dense model: `from dense`
    mean: bool = True  # whether a distance is the mean of one value per window
    log: bool = False  # whether its axis is logarithmic
    imported: bool = False  # whether CSV files may have it
    help: str = ""  # one sentence for the field of its limit

    @property
    def label(self) -> str:
        """The noun at the start of a sentence."""
        return self.noun[:1].upper() + self.noun[1:]

    @property
    def title(self) -> str:
        """The title of a column: `KL divergence (nats)`."""
        return f"{self.label} ({self.unit})"

    @property
    def column(self) -> str:
        """The column of a latency or memory in tables of variants: `prefill_ms`."""
        return f"{self.name}_{self.unit.split()[0].lower()}"

    @property
    def percent(self) -> bool:
        """Whether its values are shares, which are displayed in percent."""
        return self.unit == "%"

    @property
    def times(self) -> float:
        """The factor from a stored value to the displayed one."""
        return 100.0 if self.percent else 1.0

    @property
    def of_dense(self) -> float:
        """The dense model's own distance, by definition."""
        return 0.0 if self.lower else 1.0

    @property
    def pairs(self) -> str:
        """The unit of a paired difference: points, nats or, of perplexities, a ratio."""
        return "points" if self.percent else self.unit or "ratio"


SHARE = (0.0, 1.0)
BUILT_IN = (
    Metric("perplexity", "perplexity", "windows", ends=(1.0, math.inf), imported=True),
    Metric(
        "kl",
        "KL divergence",
        "windows",
        "nats",
        relation="from dense",
        log=True,
        help="Mean distance from the dense model's next-token distribution.",
    ),
    Metric("kl_p99", "KL divergence, 99th percentile,", "windows", "nats", relation="from dense", mean=False),
    Metric(
        "agreement",
        "top-1 agreement",
        "windows",
        "%",
        lower=False,
        ends=SHARE,
        relation="with dense",
        help="Tokens of the text to which this variant and the dense model give the highest probability.",
    ),
    Metric("acc", "accuracy", "documents", "%", lower=False, ends=SHARE, imported=True),
    Metric("acc_norm", "accuracy", "documents", "%", lower=False, ends=SHARE, imported=True),
    Metric("prefill", "prefill latency", "machine", "ms per token"),
    Metric("decode", "decode latency", "machine", "ms per token"),
    Metric("memory", "peak memory", "machine", "MB"),
    Metric("sensitivity", "sensitivity", "model", "nats per token"),
)


def _plugin(entry: str, found: object) -> tuple[str, Metric]:
    """Return a plug-in's metric by its name; raise `ValueError` unless readers know how to treat it."""
    if not isinstance(found, Metric):
        raise ValueError(f"{echo(str(found))} is not a Metric of core.metrics")
    known_unit = found.percent or (found.unit == "nats" and found.lower)
    if not (found.on == "windows" and found.relation and found.mean and known_unit):
        raise ValueError("it is not a mean over windows with a relation to dense, in % or, if lower is better, in nats")
    return found.name, found


PLUG_INS = plugins.load("metric", [one.name for one in BUILT_IN], _plugin)
METRICS = {one.name: one for one in (*BUILT_IN, *PLUG_INS.usable.values())}
FIDELITY = tuple(one.name for one in BUILT_IN if one.relation)  # that a run measures
DISTANCES = tuple(one.name for one in METRICS.values() if one.relation)
MEANS = {name: METRICS[name] for name in DISTANCES if METRICS[name].mean}  # those that can be paired by window
ON_WINDOWS = tuple(one.name for one in METRICS.values() if one.on == "windows")
SPEEDS = {one.name: one for one in BUILT_IN if one.on == "machine"}  # latencies and memory of a batch


def metric(name: str) -> Metric:
    """Return the metric of a stored name; a plain one for other numbers, such as those of another version."""
    return METRICS.get(name) or Metric(name, name, "model", lower=False)
