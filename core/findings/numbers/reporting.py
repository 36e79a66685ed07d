"""Formats of paired differences for tables and sentences."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from core import metrics
from core.findings.numbers import verdicts
from core.findings.numbers.verdicts import CONTAINED, SEEDS, TWO_MODELS
from core.notation import formatting

TableRow = Mapping[Hashable, Any]  # Any: each column of a table has its own type
UNADJUSTED = "unadjusted 95 %"  # name of an interval
CLOSE = 0.1  # ratios within this distance of 1 have three decimals
SEED_WORDS = {
    CONTAINED: "Intervals with the variance between seeds",
    TWO_MODELS: "Differences of these models only, as no other seeds of their methods are stored",
}
FEW = 10  # ratios below this have two decimals
ONE_ANSWER = 0.9  # share of the documents with the same answer above which a variant is marked


class Form(NamedTuple):
    """How a metric's paired difference is written."""

    figures: tuple[str, str, str]  # columns of the difference and the ends of its interval
    point: Callable[[float], str]
    end: Callable[[float], str]
    sign: str = ""  # before it

    def words(self, row: TableRow) -> tuple[str, str | None]:
        """Write the difference of a row of `paired_differences`, and its interval, None if unknown."""
        value, low, high = (row[name] for name in self.figures)
        return f"{self.sign}{self.point(value)}", interval_words(low, high, self.end)


def form_of(metric: str) -> Form:
    """Return how differences of a metric are written: perplexities as ratios, divergences in nats, others in points."""
    return FORMS[metrics.metric(metric).pairs]


def format_difference(row: TableRow) -> str:
    """Write a row of `paired_differences` with its unadjusted interval; empty if it is unpaired.

    Accuracies and agreements are in points, `-3.1 [-4.6, -1.6]`. Perplexities are ratios, `x 1.93 [1.88, 1.98]`.
    Divergences are in nats, `+0.012 [+0.0094, +0.0146] nats`.
    """
    if pd.isna(row["verdict"]):
        return ""
    form = form_of(row["metric"])
    text = " ".join(part for part in form.words(row) if part)
    return f"{text} nats" if form is NATS else text


def value_words(metric: str, value: float) -> str:
    """Write a value of a metric: shares in percent, others without their unit."""
    return f"{100 * value:.1f} %" if metrics.metric(metric).percent else formatting.format_number(value)


def in_points(difference: float, low: float | None, high: float | None) -> str:
    """Write a difference of accuracies in points with its interval, if known: `-3.1 [-4.6, -1.6]`."""
    interval = interval_words(low, high, end_words)
    return f"{point_words(difference)} {interval}" if interval else point_words(difference)


def nat_words(nats: float) -> str:
    """Write a difference of divergences in nats: `+0.012`."""
    return f"{nats + 0.0:+.3g}"


def ratio_words(ratio: float) -> str:
    """Write a ratio of perplexities: `1.034`, `2.20`, `81.9`."""
    if pd.isna(ratio):
        return "not a number"
    if ratio < FEW:
        return f"{ratio:.3f}" if abs(ratio - 1) < CLOSE else f"{ratio:.2f}"
    return formatting.format_number(ratio)


def point_words(difference: float) -> str:
    """Write a difference of accuracies in points: `+0.4`."""
    return f"{round(100 * difference, 1) + 0.0:+.1f}"  # + 0.0 turns -0.0 into 0.0


def flip_words(row: TableRow | pd.Series) -> str:
    """Write how many answers a paired difference turned right and wrong: `41, 63`; empty for losses."""
    return "" if pd.isna(row["gained"]) else f"{row['gained']:.0f}, {row['lost']:.0f}"


def flips_with_intervals(row: TableRow | pd.Series) -> str:
    """Write `flip_words` with the unadjusted 95 % intervals: `41 [30, 55], 63 [49, 80]`."""
    if pd.isna(row["gained"]):
        return ""
    parts = [[row[f"{name}{end}"] for end in ("", "_low", "_high")] for name in ("gained", "lost")]
    return ", ".join(f"{count:.0f} [{low:.0f}, {high:.0f}]" for count, low, high in parts)


def end_words(end: float) -> str:
    """Write an end of an interval in points; an end near zero gets enough digits to differ from it: `+0.02`."""
    points = 100 * end
    return f"{points:+.1g}" if points and not round(points, 1) else point_words(end)


def interval_words(low: float | None, high: float | None, written: Callable[[float], str]) -> str | None:
    """Write an interval: `[-2.1, +0.4]`; None if it is unknown."""
    return None if low is None or high is None or pd.isna(low) else f"[{written(low)}, {written(high)}]"


def p_words(p: float | None) -> str:
    """Write a p value: `0.21`, `< 0.001`; empty if it is unknown."""
    return "" if p is None or pd.isna(p) else "< 0.001" if p < 0.001 else f"{p:.2g}"


def adjusted_words(row: TableRow) -> str:
    """Write the adjusted p of a row as part of a sentence: `, adjusted p 0.21`; empty if it is unknown."""
    return f", adjusted p {p}" if (p := p_words(row["p_adjusted"])) else ""


def judged(row: TableRow) -> str:
    """Write a row of `paired_differences` with adjusted p and verdict: `-3.1 [-4.6, -1.6], adjusted p 0.003: worse`."""
    return f"{format_difference(row)}{adjusted_words(row)}: {verdict_text(row)}"


def verdict_text(row: TableRow) -> str:
    """Write the verdict of a row, or the reason why it is unpaired."""
    return (
        row["unpaired_reason"] if pd.isna(row["verdict"]) else verdicts.verdict_text(row["verdict"], row["comparisons"])
    )


def marked_verdict(row: TableRow) -> str:
    """Write `verdict_text` with a mark if the variant gives nearly all documents one answer."""
    text, share = verdict_text(row), row.get("one_answer")
    return text if pd.isna(share) or share <= ONE_ANSWER else f"{text}, one answer in {100 * share:.0f} %"


def seeds_words(found: pd.DataFrame) -> str:
    """Say what paired differences mean beyond the models; empty if no stage of any depends on a seed."""
    paired = found[found["verdict"].notna()]
    counts = {kind: int((paired[SEEDS] == kind).sum()) for kind in SEED_WORDS}
    return " ".join(f"{SEED_WORDS[kind]}: {count} of {len(paired)}." for kind, count in counts.items() if count)


RATIO = Form(("ratio", "ratio_low", "ratio_high"), ratio_words, ratio_words, "x ")
POINTS = Form(("difference", "low", "high"), point_words, end_words)
NATS = Form(("difference", "low", "high"), nat_words, nat_words)
FORMS = {"ratio": RATIO, "nats": NATS, "points": POINTS}  # by unit of a difference


def listed(names: Sequence[str]) -> str:
    """Write a list of names: `PIQA, BoolQ and ARC-e`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
