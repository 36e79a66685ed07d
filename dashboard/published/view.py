"""Published page: tables of the papers and comparable results measured here; each chart has a single protocol."""

from functools import partial

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.base.errors import counted
from core.data.texts import called
from core.findings import axes
from core.findings.published import Side, agreement
from core.findings.rows import points
from core.findings.rows.zeroshot import in_percent
from dashboard import data
from dashboard.charts import curve, papers, scores
from dashboard.exports.files import Item, export_name, model_part
from dashboard.exports.pivots import Pivot
from dashboard.shared import widgets
from dashboard.shared.binding import BOUND, check_link, segments
from dashboard.shared.glossary import terms
from dashboard.shared.literal import literal

PARAMETERS = axes.Axis("ratio", "Pruning ratio (parameters)", percent=True)
TUNING = {"as pruned": (False,), "after LoRA tuning": (True,), "both": (False, True)}
SHARES = {label: "%.2f" for label in papers.TASK_LABELS.values()}


def sizes(rows: pd.DataFrame, table: papers.Table) -> list[Item]:
    """Show perplexity by model on one text."""
    place = st.container()
    texts = list(dict.fromkeys(rows["dataset"]))
    corpus = segments("Text", texts, "published_text", "text", called, start="wikitext2")
    rows = papers.on_text(rows, corpus)
    shown = papers.by_model(rows)
    models = list(dict.fromkeys(rows["model"]))
    caption = f"Perplexity on {papers.protocol(rows)}. Amounts are of the block weights. {table.cited}"
    pivots = [Pivot(f"Perplexity on {called(corpus)}", shown, "model", True, group="ratio_kind")]
    file = export_name(table.title, corpus, "perplexity")
    chart = widgets.show_chart(
        "published_sizes",
        partial(papers.perplexity_by_model, shown, models, corpus=corpus),
        caption,
        shown,
        file=file,
        pivots=pivots,
        alt=f"Perplexity on {called(corpus)} by model, a line for each method",
    )
    wide = papers.wide(rows, "model")
    printed = widgets.show_table(
        "published_sizes_table", wide, caption, {}, file=f"{file}-table", pivots=pivots, captioned=False
    )
    return [chart, printed, *ours(place, rows, corpus, (False,))]


def tasks(rows: pd.DataFrame, table: papers.Table, key: str) -> list[Item]:
    """Show accuracy by task."""
    amount = f" Pruning ratio: {rows['removed'].iloc[-1]}." if table.by == "ratio" else ""
    caption = f"{papers.protocol(rows)}.{amount} {table.cited}"
    alt = "Zero-shot accuracy per task, a marker for each method"
    return [_show_accuracies(key, rows, caption, export_name(table.title, "accuracy"), alt)]


def _show_accuracies(key: str, rows: pd.DataFrame, caption: str, file: str, alt: str) -> Item:
    """Show accuracies by task, and export them in the layout of papers, with the best of each amount."""
    shown = papers.by_task(rows)
    return widgets.show_chart(
        key,
        partial(scores.accuracy_dots, shown, order=list(dict.fromkeys(shown["task"]))),
        caption,
        shown[["series_label", "dataset", "metric", "value"]],
        file=file,
        pivots=[Pivot("Zero-shot accuracy (%)", in_percent(shown), "task", False, form=".2f", group="amount_label")],
        alt=alt,
        explained=" Dotted: chance.",
    )


def ratios(rows: pd.DataFrame, table: papers.Table) -> list[Item]:
    """Show perplexity by ratio, then accuracy at one ratio, before or after fine-tuning."""
    place = st.container()
    with st.container(horizontal=True):
        tuned = segments("Weights", list(TUNING), "published_tuned", "choice of weights")
        corpus = segments("Text", ["wikitext2", "ptb-valid"], "published_corpus", "text", form=called)
        steps = [step for step in dict.fromkeys(rows["removed"]) if step != "0 %"]
        step = segments("Accuracy at", steps, "published_at", "amount") if len(steps) > 1 else steps[0]
    state = "as pruned, with arrows to after LoRA tuning" if tuned == "both" else tuned
    mine = papers.with_tuning(rows, TUNING[tuned])
    read = papers.on_text(mine, corpus)
    found, dense = papers.by_ratio(read)
    model = rows["model"].iloc[0]
    drawn = widgets.show_chart(
        "published_ratios",
        partial(curve.perplexity_curve, found, dense, PARAMETERS, corpus=corpus),
        f"{model}, {state}; perplexity on {papers.protocol(read)}. {table.cited}",
        found[["series_label", "ratio", "value"]],
        file=export_name(table.title, corpus, "perplexity"),
        pivots=[Pivot(f"Perplexity on {called(corpus)}", pd.concat([dense, found]), "amount_label", True)],
        alt=f"Perplexity of {model} by pruning ratio, a line for each method",
    )
    scored = papers.accuracies_at(mine, step)
    items = [drawn, *tasks(scored, table, "published_tasks")]
    caption = (
        f"{model}: perplexity in windows of {int(read['window'].iloc[0])} tokens, accuracy in percent. {table.cited}"
    )
    file = export_name(table.title, "table")
    items.append(widgets.show_table("published_table", papers.wide(rows, "dataset"), caption, SHARES, file=file))
    return items + ours(place, read, corpus, TUNING[tuned])


def show_agreement(place: DeltaGenerator, paper: Side, here: Side, lower: bool) -> None:
    """Show at a place of the page whether the paper and the results measured here rank the methods alike."""
    found = agreement(paper, here, lower)
    if found is not None:
        place.header(literal(found.sentence), anchor=False)
        place.caption(
            f"The order of {found.alike} of {counted(found.pairs, 'pair')} of methods is the same. The models differ, "
            "so only orders compare; no test supports them."
        )


def ours(place: DeltaGenerator, printed: pd.DataFrame, corpus: str, tuned: tuple[bool, ...]) -> list[Item]:
    """Show the results of the printed methods measured here, on the same text and window length.

    They have a separate chart because their model differs. `place` gets the comparison with the paper.
    """
    begin_ours()
    read, window = data.rows("perplexity", [corpus]), printed["window"].iloc[0]
    wanted = {name + ("+lora" if state else "") for name in printed["name"] for state in tuned}
    rows = papers.measured_curve(read, window, wanted)
    if rows.empty:
        st.caption(f"These methods have no own results on {called(corpus)} in windows of {int(window)} tokens yet.")
        return []
    model = rows["model"].iloc[0]
    show_agreement(place, papers.side(printed), papers.side_here(rows), lower=True)
    dense, found = points.split_points(rows)
    both = points.with_dense(dense, found)
    caption = (
        f"Measured by Slimscope on {model}, not on the paper's model: compare the shapes of the curves, not the "
        f"numbers. {called(corpus)}: {rows['protocol'].iloc[0]}.{points.describe_seeds(found)}"
    )
    return [
        widgets.show_chart(
            "published_ours",
            partial(curve.perplexity_curve, found, dense, axes.RATIO, corpus=corpus),
            caption,
            found[["series_label", "amount_label", "value", "low", "high", "seeds"]],
            file=export_name(model_part(model), corpus, "perplexity-as-published"),
            pivots=[Pivot(f"Perplexity on {called(corpus)}", both, "amount_label", True, order=points.amounts(found))],
            alt=f"Perplexity of {model} on {called(corpus)} as measured here",
            explained=curve.explained(found, dense),
        )
    ]


def begin_ours() -> None:
    """Show the heading of the results measured here."""
    st.header("Measured here", anchor=False)
    st.caption("Results of Slimscope only; Explore shows imported results.")


def ours_by_task(place: DeltaGenerator, printed: pd.DataFrame) -> list[Item]:
    """Show the accuracies measured here on the printed tasks at the printed amounts.

    `place` gets the comparison with the paper.
    """
    begin_ours()
    rows = papers.measured(data.rows("acc", tuple(papers.tasks_here(printed))), printed)
    if rows.empty:
        st.caption("These methods have no own results on these tasks yet.")
        return []
    model = rows["model"].iloc[0]
    common = printed[printed["dataset"].isin(set(rows["dataset"]))]
    show_agreement(place, papers.side(common), papers.side(rows), lower=False)
    caption = f"Measured by Slimscope on {model}, accuracy: {rows['protocol'].iloc[0]}. The model "
    caption += "differs from the paper's: compare the order of the methods, not the numbers."
    if (printed["dataset"] == "storycloze").any():
        caption += " StoryCloze is not freely available and therefore not measured."
    file = export_name(model_part(model), "accuracy-as-published")
    alt = "Zero-shot accuracy per task as measured here, a marker for each method"
    return [_show_accuracies("published_ours_by_task", rows, caption, file, alt)]


def page() -> None:
    """Show the page."""
    st.title("Published", anchor=False, help=terms(("perplexity", "window", "zero-shot accuracy")))
    st.markdown("Results as published. Each chart has a single protocol, which its caption describes.")
    frame = data.published()
    widgets.show_skipped(frame.attrs["warnings"])
    tables = {table.title: table for table in papers.TABLES if len(papers.rows_of(frame, table))}
    if not tables:
        st.info("The folder cached_results/published has no tables of papers.")
        return
    check_link("published_table_name", "table", tables)
    table = tables[st.selectbox("Table", list(tables), key="published_table_name", **BOUND)]
    rows = papers.rows_of(frame, table)
    st.markdown(f"[{table.citation}]({rows['url'].iloc[0]})")
    if table.by == "model":
        items = sizes(rows, table)
    elif table.by == "ratio":
        items = ratios(rows, table)
    else:
        place = st.container()
        items = tasks(rows, table, "published_zeroshot")
        printed = widgets.show_table(
            "published_zeroshot_table",
            papers.wide(rows, "dataset"),
            items[0].caption,
            SHARES,
            file=f"{items[0].name}-table",
            pivots=items[0].pivots,
            captioned=False,
        )
        items += [printed, *ours_by_task(place, rows)]
    widgets.export_page("slimscope-published", lambda: items)


page()
