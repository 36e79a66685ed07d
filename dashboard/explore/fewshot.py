"""Few-shot view of Explore: how examples change the cost of compression, and the prompts themselves."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.analysis.fewshot import MEAN
from core.analysis.frame import format_precision
from core.findings.rows import points
from core.findings.rows.naming import variant_names
from core.findings.rows.zeroshot import in_percent
from core.specs import DTYPES
from dashboard import data
from dashboard.charts import fewshot
from dashboard.explore.prompt_viewer import show_prompt
from dashboard.exports.files import Item
from dashboard.exports.names import export_name, model_part
from dashboard.shared import widgets
from dashboard.shared.binding import BOUND, check_link

WIDTHS = {
    **{"Variant": 115, "Prompt": 145},
    **{"vs dense": 125, "Change from zero-shot": 140, "Compression": 105, "Adjusted p": 80},
}


def show_shots(model: str) -> list[Item]:
    """Show the few-shot accuracies of a model's variants, or explain how to measure them."""
    found = data.fewshot_table(model)
    if found.empty:
        st.info(
            "No task has few-shot results yet. On the Run page, choose tasks and a number of few-shot examples. "
            "The run also scores the dense model."
        )
        st.page_link("run/view.py", label="Run a model", icon=":material/play_circle:")
        return []
    found = _named(found, data.frame(model))
    with st.container(horizontal=True):
        found = _pick_documents(found)
        names = {name: fewshot.task_name(name, tasks) for name, tasks in _tasks(found).items()}
        check_link("explore_shots_task", "task", names.values(), names.__getitem__)
        dataset = st.segmented_control(
            "Tasks",
            list(names),
            format_func=names.__getitem__,
            required=True,
            default=next(iter(names)),
            key="explore_shots_task",
            **BOUND,
        )
    rows = found[found["dataset"] == dataset]
    limit, scoring = rows["limit"].iloc[0], rows["scoring"].iloc[0]
    documents = "all documents" if pd.isna(limit) else f"the first {int(limit)} documents"
    caption = f"{model}, {names[dataset]}: {documents} of each task, {format_precision(scoring)}. Few-shot "
    caption += "examples are never scored documents. The dense model selects them once, so that all variants read "
    caption += "the same prompts."
    drawn = fewshot.with_bars(rows)
    costs = fewshot.table(rows[~rows["dense"]])
    st.header("Does few-shot prompting increase the loss from compression?", anchor=False)
    st.markdown(fewshot.answer(costs))
    lines = in_percent(drawn)
    file = export_name(model_part(model), "fewshot", dataset.replace(" ", "-"))
    chart = widgets.show_chart(
        "explore_shots",
        lambda theme: fewshot.shots_chart(lines, theme, names[dataset]),
        caption,
        fewshot.exported(drawn),
        alt=f"Accuracy of {model} against the number of few-shot examples, a panel for each selector.",
        file=file,
        explained=f" Bars: {fewshot.INTERVALS} of the paired difference to dense with this prompt.",
    )
    caption = "Accuracy of a variant minus dense with the same prompt, and its change from zero-shot, in points. "
    caption += f"Both are paired document by document, with {fewshot.INTERVALS}. p: paired t test of the change, "
    caption += "Holm-adjusted over the rows. Change below 0: compression costs more with that prompt."
    table = widgets.show_table(
        "explore_shots_table",
        costs,
        caption,
        {"Accuracy": "%.1f", "k": "%d"},
        file=f"{file}-cost",
        widths=WIDTHS,
    )
    show_prompt(model, found)
    return [chart, table]


def _named(found: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in the frame's order, with unique names of the variants and the columns of their style."""
    variants = frame.drop_duplicates("key").set_index("key")
    found = found.iloc[variants.index.get_indexer(pd.Index(found["key"])).argsort(kind="stable")]
    known = variants.loc[found["key"]]
    names = variant_names(frame[frame["key"].isin(found["key"])])
    looks = {name: known[name].to_numpy() for name in ("parts", "pattern")}
    return found.assign(series_label=found["key"].map(names), dense=points.is_dense(known).to_numpy(), **looks)


def _tasks(found: pd.DataFrame) -> dict[str, int]:
    """Return the data sets, their mean first, each with its largest number of tasks."""
    most = found.groupby("dataset", sort=False)["tasks"].max()
    return {name: int(most[name]) for name in sorted(most.index, key=lambda name: name != MEAN)}


def _pick_documents(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one number of documents and precision; show a field if there are several."""
    options = found.groupby(["limit", "scoring"], dropna=False).size().reset_index(name="rows")
    options["precise"] = options["scoring"] == DTYPES[0]
    options = options.sort_values(["precise", "rows"], ascending=False, kind="stable").reset_index(drop=True)
    names = [
        f"{'All' if pd.isna(limit) else f'First {int(limit)}'} documents, {scoring}"
        for limit, scoring in options[["limit", "scoring"]].itertuples(index=False)
    ]
    place = 0
    if len(names) > 1:
        check_link("explore_shots_documents", "choice of documents", names)
        place = names.index(st.selectbox("Scored on", names, key="explore_shots_documents", **BOUND))
    one = options.iloc[place]
    matching = found["limit"].isna() if pd.isna(one["limit"]) else found["limit"] == one["limit"]
    shown: pd.DataFrame = found[matching & (found["scoring"] == one["scoring"])]
    return shown
