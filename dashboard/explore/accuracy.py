"""Zero-shot accuracy on Explore: as paired differences to dense where per-document answers are stored, and absolute."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.findings.curve import Scored
from core.findings.numbers.differences import adjust_together
from core.findings.numbers.reporting import UNADJUSTED, seeds_words
from core.findings.numbers.seven import counted_words
from core.findings.pairs import paired
from core.findings.rows import missing, points, zeroshot
from core.findings.sharing import shared
from dashboard.charts import scores
from dashboard.explore.comparison import significance_of_best
from dashboard.explore.missing import Wanted, seven_tasks, show_offer
from dashboard.exports.files import Item
from dashboard.exports.pivots import Pivot
from dashboard.shared import widgets
from dashboard.shared.binding import segments
from dashboard.shared.glossary import terms
from dashboard.shared.pickers import Chosen

MOST_NAMED = 3  # methods on a button
HALF = f"half of the {UNADJUSTED} interval of the paired difference"
DIFFERENCE, ACCURACY = "Difference to dense", "Accuracy"
TASKS = "Task by task"


class Compared(NamedTuple):
    """The accuracies at one amount, and their differences to the dense model."""

    both: pd.DataFrame  # accuracies of every variant and of the dense model
    drawn: pd.DataFrame  # paired differences of the highlighted variants
    lines: pd.DataFrame  # `paired.lines`
    unpaired: str  # the variants without a paired difference, with reasons
    reasons: str


def show_accuracy(
    chosen: Chosen, found: pd.DataFrame, scored: Scored, at: str, shown: Sequence[str], others: bool
) -> list[Item]:
    """Show zero-shot accuracy at an amount, and offer to run the tasks of points without it.

    `found` are the points of the curve and `shown` the highlighted series; `others` adds the context series in grey.
    """
    here = points.at_amount(chosen.scores, at)
    there = set(here.loc[~points.is_dense(here) & here["series_label"].isin(shown), "series_label"])
    without = [name for name in shown if name not in there]
    lacking = points.among(points.rows_at(found, at), "series_label", without)
    items = []
    if there:
        items = [_chart(chosen, _compared(chosen.scores, scored, at, shown, others), at, shown)]
    if len(lacking):
        whose = f" of {', '.join(lacking['series_label'])}" if there else ""
        on = f" on the {chosen.documents}" if chosen.several_documents else ""
        st.info(f"No zero-shot accuracy at {at} yet{whose}{on}.")
        _offer_tasks(chosen, lacking, at)
    return items


@shared
def _compared(scores: pd.DataFrame, scored: Scored, at: str, shown: Sequence[str], others: bool) -> Compared:
    here = points.at_amount(scores, at)
    here = here[points.is_dense(here) | here["series_label"].isin(shown) | others]
    means = scored.means[scored.means["key"].isin(here["key"])]
    both = zeroshot.with_mean(zeroshot.accuracies(here), means)
    both = paired.with_baselines(both, scored.differences)
    highlighted = both[both["series_label"].isin(shown) & ~points.is_dense(both)]
    differences = paired.of_tasks(adjust_together(paired.of_shown(scored.differences, highlighted)), highlighted)
    drawn = differences[differences["unpaired_reason"].isna()]
    reasons = "; ".join(differences["unpaired_reason"].dropna().unique())
    return Compared(both, drawn, paired.lines(both), paired.unpaired(differences), reasons)


@shared
def _rows(compared: Compared, shown: Sequence[str], difference: bool) -> pd.DataFrame:
    """Return the rows for `scores.score_chart`: differences to the dense model, or accuracies."""
    both, drawn, lines, *_ = compared
    return paired.with_context_series(drawn, both, lines, shown) if difference else paired.as_they_are(both, shown)


def _chart(chosen: Chosen, compared: Compared, at: str, shown: Sequence[str]) -> Item:
    """Show the chosen chart; it shows accuracies if no variant has a paired difference."""
    both, drawn, lines, unpaired, reasons = compared
    there = list(dict.fromkeys(both.loc[~points.is_dense(both), "task"]))
    explained = terms(
        ("zero-shot accuracy", "chance", "majority class", "mean above chance", "not significant", "significant alone")
    )
    with st.container(horizontal=True):
        tasks, title = [task for task in there if task != zeroshot.MEAN_LABEL], TASKS
        if zeroshot.MEAN_LABEL in there:
            title = segments("Tasks", (zeroshot.MEAN_LABEL, TASKS), "explore_tasks", "choice of tasks", help=explained)
        tasks = [zeroshot.MEAN_LABEL] if title == zeroshot.MEAN_LABEL else tasks
        difference, paired_here = False, len(points.among(drawn, "task", tasks)) > 0
        if paired_here:
            shown_as = segments("Shown as", (DIFFERENCE, ACCURACY), "explore_as", "form of accuracy")
            difference = shown_as == DIFFERENCE
    rows = _rows(compared, shown, difference)
    caption = f"{chosen.model}, zero-shot accuracy at {at}: {chosen.documents}.{chosen.data_caption}"
    caption += " Each variant answered the same documents as the dense model." if difference else ""
    caption += " HellaSwag, ARC-c and OBQA are length-normalised."
    item = widgets.show_chart(
        "explore_accuracy",
        partial(scores.score_chart, points.among(rows, "task", tasks), lines, tasks=tasks, difference=difference),
        caption,
        paired.exported(rows, difference),
        file=chosen.file(f"accuracy-{at}{'-minus-dense' if difference else ''}"),
        pivots=[_pivot(both, drawn, points.at_amount(chosen.scores, at), difference)],
        alt=_finding(rows, tasks[-1], at, difference),
        explained=_explained(difference, lines.loc[tasks], bool((rows["low"] < rows["high"]).any())),
    )
    if not paired_here:
        st.caption(f"Differences to dense are unavailable: {reasons}.")
    elif unpaired:
        st.caption(f"Not compared with dense: {unpaired}.")
    meaning = seeds_words(points.among(drawn, "task", tasks)) if difference else ""
    for note in (meaning, counted_words(zeroshot.of_dense(chosen.scores)), paired.one_answer_words(drawn)):
        if note:
            st.caption(note)
    return item


def _pivot(both: pd.DataFrame, drawn: pd.DataFrame, rows: pd.DataFrame, difference: bool) -> Pivot:
    """Return the accuracies, or their differences to dense, in the layout of papers: variant by task."""
    if not difference:
        pivot = Pivot("Zero-shot accuracy (%)", zeroshot.in_percent(both), "task", False, form=".1f")
    else:
        title = "Accuracy minus dense (points)"
        pivot = Pivot(title, zeroshot.in_percent(drawn), "task", False, form="+.1f", error_is=HALF)
    return replace(pivot, is_distinguishable=significance_of_best(rows))


def _explained(difference: bool, lines: pd.DataFrame, bars: bool) -> str:
    if difference:
        text = f" Bars: {UNADJUSTED} intervals of the paired difference. Faded: not significant at 5 % after Holm's"
        text += " correction over the variants of a panel, even if the bar excludes zero."
    else:
        text = " Bars: one standard error, or the range over seeds." if bars else ""
    if lines["chance"].notna().any():
        text += " Chance: a random choice among the answers."
    if lines["majority"].notna().any():
        text += " Majority class: always the answer that is correct most often in these documents."
    return text


@shared
def _finding(rows: pd.DataFrame, task: str, at: str, difference: bool) -> str:
    """Return the chart's alternative text, which names the best variant."""
    rows = rows[rows["task"] == task]
    minus = "minus the dense model's " if difference else ""
    text = f"Zero-shot accuracy {minus}at {at}, a row for each variant."
    if rows.empty:
        return text
    best = rows.iloc[int(rows["value"].argmax())]
    highest = f"{100 * best['value']:+.1f} points" if difference else f"{100 * best['value']:.1f} %"
    return f"{text} {task}: {best['series_label']} is highest with {highest}."


def _offer_tasks(chosen: Chosen, lacking: pd.DataFrame, at: str) -> None:
    """Offer to run the seven tasks on the points that lack them at this amount, except fine-tuned ones."""
    quick = lacking[lacking["chain"].map(missing.is_training_free).astype(bool)]
    if len(quick):
        names = ", ".join(quick["series_label"]) if len(quick) <= MOST_NAMED else f"{len(quick)} chains"
        wanted = [Wanted(chain, chosen.calibration, chosen.training) for chain in quick["chain"]]
        label = f"Run the seven tasks at {at} with {names}"
        show_offer("explore_run_tasks", label, chosen.model, wanted, seven_tasks(chosen))
