"""Few-shot view of Explore: how examples change the cost of compression, and the prompts themselves."""

import html

import pandas as pd
import streamlit as st

from core.base.errors import UserError
from core.data.cards import card
from core.findings.numbers.fewshot import MEAN, describe_prompt, prompted, prompts_of
from core.findings.numbers.frame import format_precision
from core.findings.numbers.reporting import TableRow
from core.findings.rows import points
from core.findings.rows.naming import variant_names
from core.findings.rows.zeroshot import in_percent
from core.models.sources import identify, load_tokenizer
from core.results import Measurement
from core.specs import DTYPES, Fewshot
from core.store.samples import AROUND
from dashboard import data
from dashboard.charts import fewshot
from dashboard.exports.files import Item, export_name, model_part
from dashboard.shared import widgets
from dashboard.shared.binding import segments, select
from dashboard.shared.documents import missing_files, offer_files, scored_task
from dashboard.shared.pickers import PROMPT

WIDTHS = {
    **{"Variant": 115, "Prompt": 145},
    **{"vs dense": 125, "Change from zero-shot": 140, "Compression": 105, "Adjusted p": 80},
}
SHADES = {  # backgrounds with enough contrast in both themes
    "instruction": "rgba(204, 121, 167, .22)",
    "example": "rgba(86, 180, 233, .22)",
    "other": "rgba(0, 158, 115, .22)",  # every second example
    "question": "rgba(240, 228, 66, .28)",
    "reasoning": "rgba(213, 94, 0, .2)",
}
STYLE = "white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.6"


def show_shots(model: str) -> list[Item]:
    """Show the few-shot accuracies of a model's variants, or explain how to measure them."""
    found = data.fewshot_table(model)
    if found.empty:
        widgets.show_no_results(
            "No task has few-shot results yet. On the Run page, choose tasks and a number of few-shot examples. "
            "The run also scores the dense model."
        )
        return []
    found = _named(found, data.frame(model))
    with st.container(horizontal=True):
        found = _pick_documents(found)
        most = found.groupby("dataset", sort=False)["tasks"].max()
        order = sorted(most.index, key=lambda name: name != MEAN)
        names = {name: fewshot.task_name(name, int(most[name])) for name in order}
        dataset = segments("Tasks", list(names), "explore_shots_task", "task", names.__getitem__)
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
    forms, key = {"Accuracy": "%.1f", "k": "%d"}, "explore_shots_table"
    table = widgets.show_table(key, costs, caption, forms, file=f"{file}-cost", widths=WIDTHS)
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
        place = names.index(select("Scored on", names, "explore_shots_documents", "choice of documents"))
    one = options.iloc[place]
    matching = found["limit"].isna() if pd.isna(one["limit"]) else found["limit"] == one["limit"]
    shown: pd.DataFrame = found[matching & (found["scoring"] == one["scoring"])]
    return shown


def show_prompt(model: str, found: pd.DataFrame) -> None:
    """Show the prompt of a chosen document; `found` are the rows of `core.findings.numbers.fewshot` on the page."""
    rows = prompted(found[found["dataset"] != MEAN])
    st.header("Read a prompt", anchor=False)
    with st.container(horizontal=True):
        names = {name: fewshot.task_name(name, 1) for name in rows["dataset"].unique()}
        dataset = select("Task", list(names), "explore_prompt_task", "task", names.__getitem__)
        mine = rows[rows["dataset"] == dataset]
        kinds = {
            f"{k:g} example{'s' * (k != 1)}, {describe_prompt(prompts)}": (key, k, prompts)
            for key, k, prompts in mine[["key", "k", "prompts"]].itertuples(index=False)
        }
        key, k, prompts = kinds[select("Prompt", list(kinds), PROMPT, "prompt")]
        row = _measurement(key, dataset, int(k), prompts, mine["limit"].iloc[0])
        if row is None:
            st.caption("This result was deleted.")
            return
        number = st.number_input("Document", 1, int(row.n), 1, key="explore_prompt_document")
    if not st.toggle("Show the prompt", key="explore_prompt_shown"):
        return
    if missing := missing_files((card(dataset).file, card(dataset).pool)):
        offer_files(names[dataset], missing, "explore_prompt_fetch")
        return
    answers = data.store().samples(key, row)
    if answers is None or "shots" not in answers:
        st.caption("The few-shot examples of this prompt are not stored.")
        return
    answer = answers.iloc[number - 1]
    try:
        with st.spinner("Reading the documents ..."):
            _show(model, dataset, row, int(number) - 1, {name: answer[name] for name in AROUND})
    except UserError as error:
        st.warning(str(error))


def _measurement(key: str, dataset: str, k: int, prompts: str, limit: float) -> Measurement | None:
    """Return the measurement of the prompts; None if another session deleted it."""
    result = data.results([key]).get(key)
    rows = (
        row
        for row in (result.measurements if result else ())
        if row.dataset == dataset
        and row.metric == card(dataset).metric
        and row.protocol.get("limit") == (None if pd.isna(limit) else int(limit))
        and (how := Fewshot.from_protocol(row.protocol.get("fewshot"))).k == k
        and prompts_of(how) == prompts
    )
    return next(rows, None)


def _show(model: str, dataset: str, row: Measurement, place: int, around: TableRow) -> None:
    from core.evaluation.fewshot.prompts import Prompt
    from core.evaluation.fewshot.read import reading

    how = Fewshot.from_protocol(row.protocol.get("fewshot"))
    tokenizer = load_tokenizer(identify(data.model_to_run(model))) if how.template == "chat" else None
    prompt = Prompt(
        shots=tuple(int(one) for one in around["shots"]),
        instruction=around["instruction"],
        reasoning=around["reasoning"],
    )
    read = reading(scored_task(dataset, row.protocol.get("limit"), str(how)), place, prompt, tokenizer)
    parts, examples = [], 0
    for kind, text in read.parts:
        shade = SHADES.get(kind)
        if kind == "example":
            examples += 1
            shade = SHADES["other"] if examples % 2 == 0 else shade
        shown = html.escape(text)
        parts.append(f'<span style="background:{shade}" title="{kind}">{shown}</span>' if shade else shown)
    st.html(f'<div style="{STYLE}">{"".join(parts)}</div>')
    st.caption(
        "Alternating colours: few-shot examples. Yellow: the question. Below: the scored answers, the correct first."
    )
    order = sorted(range(len(read.choices)), key=lambda choice: choice != read.right)
    scored = [html.escape(read.choices[choice].strip().rsplit("\n", 1)[-1]) for choice in order]
    st.html("".join(f"<li>{f'<b>{one}</b>' if not place else one}</li>" for place, one in enumerate(scored)))
