"""Qualities by which the trade-off ranks variants, and their names, units and formats."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from core.data.texts import called
from core.findings.best.budget import ACCURACY, LIMITS, PERPLEXITY, USABLE_TIMES_DENSE
from core.findings.numbers.reporting import TableRow, end_words, ratio_words
from core.metrics import MEANS, Metric, metric
from core.notation.formatting import capitalise, format_number

LOWEST = 0.8  # lower end of the axis of multiples; no variant is far below 1


@dataclass(frozen=True)
class Quality:
    """A quality: how rows store it, and how charts, tables and sentences write it."""

    column: str
    drawn: str  # column that the chart shows
    name: str  # in a sentence
    written: Callable[[float], str]  # writes the drawn value
    title_on: str  # title of a table or chart, with {text}
    caption: str  # sentence on the protocol, with {text}, {protocol} or {documents}
    columns: tuple[tuple[str, str], ...]  # (column, title) in the list of variants
    interval: str  # description of the interval
    ends: tuple[str, str] = ("low", "high")  # columns of the differences to the dense model that bound the interval
    end_written: Callable[[float], str] = end_words
    drawn_on: str = ""  # title of the chart's axis, if it differs
    span: tuple[float, float] | None = None  # ends of the axis, which limits and better values widen
    log: bool = False
    lost: str | None = None  # column of the difference to the dense model, from which the interval counts
    paired: bool = True  # whether the interval is that of the paired difference to the dense model
    always: bool = False  # whether the page offers it even if no variant has it
    missing: str = ""  # reason for a missing value; by default that of its limit
    infinite: str = ""  # description of infinite values
    corpus: str = ""

    @property
    def label(self) -> str:
        """The name as an option of a field."""
        return capitalise(self.name)

    @property
    def lower(self) -> bool:
        """Whether lower is better."""
        return metric(self.column).lower

    @property
    def best(self) -> str:
        """The name of the best value: `lowest perplexity`."""
        return f"{'lowest' if self.lower else 'highest'} {self.name}"

    @property
    def times(self) -> float:
        """The factor to the display unit."""
        return LIMITS[self.drawn].times

    @property
    def percent(self) -> bool:
        """Whether the values are shares, which are displayed in percent."""
        return self.times == 100

    @property
    def unscored(self) -> str:
        """The reason why a variant has no value."""
        return self.missing or self.lacking

    @property
    def lacking(self) -> str:
        """The reason why a variant without a value misses a limit."""
        return LIMITS[self.drawn].missing

    @property
    def title(self) -> str:
        """The title of a table or chart of its values."""
        return self.title_on.format(text=called(self.corpus))

    @property
    def drawn_title(self) -> str:
        """The title of the y axis."""
        return (self.drawn_on or self.title_on).format(text=called(self.corpus))

    def words(self, row: TableRow | pd.Series) -> str:
        """Write a row's value: `1.24 times dense`, `82.1 %`; its perplexity if that of the dense model is unknown."""
        value = row[self.drawn]
        return f"{self.name} {format_number(row[self.column])}" if pd.isna(value) else self.written(value)


def _of_windows(metric: Metric) -> Quality:
    """Return the quality of a mean over the windows of a text."""

    def written(value: float) -> str:
        return f"{100 * value:.1f}" if metric.percent else format_number(value)

    start = f"{metric.label} on {{text}} ({metric.unit}, "
    better = f"{'lower' if metric.lower else 'higher'} is better)"
    return Quality(
        column=metric.name,
        drawn=metric.name,
        name=metric.noun,
        written=lambda value: f"{written(value)} {metric.unit}",
        title_on=start + better,
        caption=f"{metric.label} {metric.relation} on {{text}}: {{protocol}}.",
        columns=((metric.name, metric.title),),
        interval=f"interval of the mean over windows, in {metric.unit}",
        end_written=written,
        drawn_on=f"{start}log scale, {better}" if metric.log else "",
        log=metric.log,
        paired=False,
        infinite=f"infinite {metric.noun}" if math.isinf(metric.ends[1]) else "",
    )


_EVERY = (
    Quality(
        column=PERPLEXITY,
        drawn="times_dense",
        name="perplexity",
        written=lambda times: f"{ratio_words(times)} times dense",
        title_on="Perplexity on {text} (log scale, lower is better)",
        caption="Perplexity on {text}: {protocol}.",
        columns=(("times_dense", "Times dense"),),
        interval="paired interval of the ratio to dense",
        ends=("ratio_low", "ratio_high"),
        end_written=ratio_words,
        drawn_on="Perplexity on {text}, times dense (log scale, lower is better)",
        span=(LOWEST, USABLE_TIMES_DENSE),
        log=True,
        always=True,
        missing="perplexity on this text not measured",
        infinite="perplexity diverged",
    ),
    Quality(
        column=ACCURACY,
        drawn=ACCURACY,
        name="accuracy above chance",
        written=lambda share: f"{100 * share:.1f} points",
        title_on="Mean accuracy above chance (points, higher is better)",
        caption="Mean accuracy above chance, {documents}.",
        columns=((ACCURACY, "Above chance (points)"), ("accuracy_lost", "Accuracy vs dense")),
        interval="paired interval of the difference to dense, in points",
        lost="accuracy_lost",
        always=True,
    ),
    *map(_of_windows, MEANS.values()),
)
QUALITIES = {one.column: one for one in _EVERY}


def quality_of(column: str, corpus: str) -> Quality:
    """Return the quality in a column: PERPLEXITY or one of `core.metrics.MEANS` on a corpus, or ACCURACY."""
    return replace(QUALITIES[column], corpus=corpus)
