"""Zero-shot accuracy on Explore: beside the dense model's where single answers were kept, and as it is."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.analysis.differences import shown_together
from core.analysis.seven import MEAN
from core.data.cards import SEVEN
from core.request.stages import DEFAULT_LIMIT
from core.specs import DTYPES, Task
from dashboard import data
from dashboard.charts import dots, paired, points
from dashboard.exports.files import Item
from dashboard.exports.pivots import Apart, Pivot, in_percent
from dashboard.panels import offers, widgets
from dashboard.panels.binding import BOUND
from dashboard.panels.compare import beside_dense, told_apart
from dashboard.panels.pickers import file_of, made_with, text_of

MOST_NAMED = 3  # methods on a button
HALF = "half of the paired difference's 95 % interval"
DIFFERENCE, ACCURACY = "Difference to dense", "Accuracy"


class Scored(NamedTuple):
    """What is shown at one amount, and of every amount the means of seven and their differences to dense."""

    items: list[Item]
    means: pd.DataFrame
    differences: pd.DataFrame


class Documents(NamedTuple):
    """How many documents of each task were scored, 0 for all, and in which precision."""

    limit: float
    scoring: str


def show_accuracy(chosen: dict, found: pd.DataFrame, at: str) -> Scored:
    """Show zero-shot accuracy at the chosen amount, and offer to run what lacks it; `found` are the curve's points."""
    st.subheader(f"Zero-shot accuracy with {at} removed", anchor=False)
    rows = points.headline(chosen["rows"])
    rows = rows.assign(limit=rows["limit"].fillna(0), scoring=rows["scoring"].fillna(rows["dtype"]))
    scored, several = _pick_documents(points.at_amount(rows, at))
    rows = points.one_protocol(rows[(rows["limit"] == scored.limit) & (rows["scoring"] == scored.scoring)])
    here = points.at_amount(rows, at)
    differences = beside_dense(rows)
    means, mean_differences = points.seven_means(rows), differences[differences["dataset"] == MEAN]
    compressed = here[~points.is_dense(here)]
    lacking = found[(found["where"] == at) & ~found["series"].isin(compressed["label"])]
    if len(lacking):
        whose = f" of {', '.join(lacking['series'])}" if len(compressed) else ""
        on = f" on {'the ' if scored.limit else ''}{_documents(scored)}" if several else ""
        st.info(f"No zero-shot numbers at {at} yet{whose}{on}.{made_with(chosen)}")
    items = []
    if len(compressed):
        both = paired.with_baselines(points.with_mean(points.accuracies(here), here), differences)
        caption = f"{chosen['model']}, zero-shot accuracy at {at}: "
        caption += f"{_documents(scored)}.{made_with(chosen)}"
        items = [_chart(both, differences, caption, at, file_of(chosen, f"accuracy-{at}"), told_apart(here))]
    _offer_tasks(chosen, lacking, at, scored)
    return Scored(items, means, mean_differences)


def _pick_documents(here: pd.DataFrame) -> tuple[Documents, bool]:
    """Let it be chosen what was scored, at first most documents in fp32; return it and whether there is a choice."""
    compressed = here[~points.is_dense(here)]
    there = (compressed if len(compressed) else here)[["limit", "scoring"]].drop_duplicates()
    found = [Documents(float(limit), scoring) for limit, scoring in there.itertuples(index=False)]
    choices = sorted(found, key=lambda one: (-(one.limit or math.inf), one.scoring != DTYPES[0], one.scoring))
    if len(choices) < 2:
        return next(iter(choices), Documents(DEFAULT_LIMIT, DTYPES[0])), False
    precisions = {one.scoring for one in choices}

    def name(one: Documents) -> str:
        documents = f"first {int(one.limit)}" if one.limit else "all"
        return documents + (f", {one.scoring}" if len(precisions) > 1 else "")

    named = {name(one): one for one in choices}
    chosen = st.segmented_control("Documents of each task", list(named), default=name(choices[0]), required=True)
    return named[chosen], True


def _documents(scored: Documents) -> str:
    documents = f"first {int(scored.limit)} documents" if scored.limit else "all documents"
    return f"{documents} of each task, {scored.scoring}"


def _chart(both: pd.DataFrame, differences: pd.DataFrame, caption: str, at: str, file: str, apart: Apart) -> Item:
    """Show the chart that is asked for; where no variant has a pair, that of accuracies."""
    here = shown_together(paired.of_shown(differences, both))
    rows = paired.of_tasks(here, both)
    drawn, unpaired = rows[rows["why"].isna()], paired.unpaired(rows)
    if drawn.empty:
        st.caption(f"No difference to dense is shown: {'; '.join(rows['why'].unique())}.")
    elif (
        st.segmented_control(
            "Shown as", (DIFFERENCE, ACCURACY), default=DIFFERENCE, required=True, key="explore_as", **BOUND
        )
        == DIFFERENCE
    ):
        return _difference_chart(drawn, unpaired, caption, at, file, apart)
    order = list(dict.fromkeys(both["task"]))
    caption += " Bars: one standard error, or the range over seeds. Dotted: chance, guessing among the choices."
    if both["majority"].notna().any():
        caption += " Dashed: majority class, always naming the right answer that is most frequent in these documents."
    caption += " HellaSwag, ARC-c and OBQA are length-normalised."
    return widgets.show_chart(
        "explore_accuracy",
        lambda theme: dots.accuracy_dots(both, theme, order),
        caption,
        both.drop(columns=["key", "spread"]),
        file=file,
        pivots=[Pivot("Zero-shot accuracy (%)", in_percent(both), "task", False, form=".1f", apart=apart)],
        alt=f"Zero-shot accuracy per task at {at}, a marker for each method",
    )


def _difference_chart(drawn: pd.DataFrame, unpaired: str, caption: str, at: str, file: str, apart: Apart) -> Item:
    order = list(dict.fromkeys(drawn["task"]))
    caption += " Each variant answered the same documents as the dense model: bars are 95 % intervals of the paired"
    caption += " difference. Faded: McNemar's test cannot tell it from dense at 5 %, by Holm's correction over the"
    caption += " variants shown in each row. HellaSwag, ARC-c and OBQA are length-normalised."
    item = widgets.show_chart(
        "explore_differences",
        lambda theme: dots.difference_dots(drawn, theme, order),
        caption,
        drawn.drop(columns=["key", "said", "why", "told"]),
        file=f"{file}-minus-dense",
        pivots=[Pivot("Accuracy minus dense (points)", drawn, "task", False, form="+.1f", apart=apart, error_is=HALF)],
        alt=f"Zero-shot accuracy minus the dense model's per task at {at}, a marker for each method",
    )
    if unpaired:
        st.caption(f"Not compared with dense: {unpaired}.")
    return item


def _offer_tasks(chosen: dict, lacking: pd.DataFrame, at: str, scored: Documents) -> None:
    """Offer to run the seven tasks on the points at this amount that lack them, without those that were trained."""
    quick = lacking[lacking["chain"].map(points.quickly_made).astype(bool)]
    if len(quick):
        tasks = [str(Task(task=task, limit=int(scored.limit) or None)) for task in SEVEN]
        scoring = next((known for known in DTYPES if known == scored.scoring), None)
        with st.spinner("Estimating ..."):
            offer = offers.offer(
                *(chosen["model"], list(quick["chain"]), chosen["calibration"], chosen["training"]),
                *([text_of(chosen)], tasks, scoring, data.store().stamp()),
            )
        names = ", ".join(quick["series"]) if len(quick) <= MOST_NAMED else f"{len(quick)} chains"
        offers.show_offer("explore_run_tasks", offer, f"Run the seven tasks at {at} with {names}")
