"""The tab that compares two to four variants in columns; the leftmost is the baseline."""

from collections.abc import Mapping
from functools import partial

import pandas as pd
import streamlit as st

from core.data.cards import SEVEN, TASKS
from core.findings.numbers.reporting import listed, seeds_words
from core.findings.rows import naming, zeroshot
from core.notation.chain import file_name
from core.results import KL, Result
from dashboard import data
from dashboard.charts.compared import cost_columns, quality_columns, task_profile
from dashboard.exports.files import Item, export_name, model_part
from dashboard.inside.offers import link_to_run, variant_address
from dashboard.inside.selection import VARIANT, Subject, first_variant
from dashboard.shared import widgets
from dashboard.shared.binding import BOUND, check_named, multiselect, pick_named, segments
from dashboard.shared.literal import literal
from dashboard.shared.pair import show_pair

COMPARED, BASELINE, WITH = "inside_compared", "inside_baseline", "inside_with"  # keys
MOST = 4
NOTES = (
    "Differences: the variant minus the baseline, paired on the same windows and documents; perplexities as ratios. "
    "Better and worse: of the variant, with p adjusted by Holm over the variants shown."
)


def show_compare(subject: Subject) -> list[Item]:
    """Compare two to four variants of a model in quality, size and time."""
    chosen = _pick(subject)
    stored = data.results(chosen)
    chosen = [key for key in chosen if key in stored]
    results = [stored[key] for key in chosen]
    if len(chosen) < 2:
        st.info("Choose at least two variants.")
        return []
    short = naming.variant_names(subject.rows[subject.rows["key"].isin(chosen)])
    names = {key: short[key] for key in chosen}
    baseline, *others = chosen
    found = data.paired([(key,) for key in others], baseline)
    file = export_name(model_part(subject.model), *(file_name(one.variant.stages) for one in results))
    items = _pair(subject, found, names, file)
    items += _profile(subject, names, file)
    items += _tables(subject, results, found, names, file)
    _offer_missing(subject, results, names)
    with st.expander("Commands to reproduce them"):
        for result in results:
            st.caption(names[result.variant.key])
            widgets.show_command(result)
    return items


def _pick(subject: Subject) -> list[str]:
    """Show the fields of the variants and the baseline, and return the keys, the baseline first."""
    keys, named = list(subject.names), subject.names.__getitem__
    check_named(COMPARED, "variant", subject.names)
    one = st.session_state.get(VARIANT)
    start = [key for key in (subject.dense, one if one in keys else first_variant(subject)) if key]
    chosen = multiselect(
        "Variants",
        keys,
        default=list(dict.fromkeys(start)),
        format_func=named,
        max_selections=MOST,
        key=COMPARED,
        placeholder="Select two to four variants",
        **BOUND,
    )
    if len(chosen) < 2:
        return chosen
    help = "The leftmost column; the others are compared with it."
    baseline = str(pick_named("Baseline", {key: subject.names[key] for key in chosen}, BASELINE, index=0, help=help))
    return [baseline, *(key for key in chosen if key != baseline)]


def _pair(subject: Subject, found: pd.DataFrame, names: Mapping[str, str], file: str) -> list[Item]:
    """Show the sentence and the chart of one other variant and the baseline."""
    baseline, *others = names
    key = others[0]
    if len(others) > 1:
        labels = [names[one] for one in others]
        label = segments("Compared with the baseline", labels, WITH, "variant", wrap=True)
        key = others[labels.index(label)] if label in labels else key
    return show_pair(found[found["key"] == key], (names[key], names[baseline]), subject.model, f"{file}-pair")


def _profile(subject: Subject, names: Mapping[str, str], file: str) -> list[Item]:
    """Show the accuracies by task, on the documents that most of the variants share."""
    rows = zeroshot.scored_on(subject.rows)
    rows = rows[rows["key"].isin(names)]
    shared = rows.groupby(["dataset", "protocol_id"])["key"].transform("nunique") == len(names)
    rows = zeroshot.one_protocol(rows[shared]).assign(name=lambda part: part["key"].map(names))
    tasks = [task for task in zeroshot.DATASETS if task in set(rows["task"])]
    if len(tasks) < 2:
        st.caption("These variants share no accuracies in two or more tasks under one protocol.")
        return []
    caption = f"{subject.model}, zero-shot accuracy by task: {rows['protocol'].iloc[0]}."
    order = rows.assign(place=rows["key"].map({key: place for place, key in enumerate(names)})).sort_values("place")
    return [
        widgets.show_chart(
            "inside_profile",
            partial(task_profile, order, tasks),
            caption,
            order[["name", "task", "value", "stderr"]],
            alt="Accuracy by task, a line for each variant",
            file=f"{file}-tasks",
        )
    ]


def _tables(
    subject: Subject, results: list[Result], found: pd.DataFrame, names: Mapping[str, str], file: str
) -> list[Item]:
    """Show the numbers of quality, and those of size and time, with a group of columns for each variant."""
    items = []
    quality = quality_columns(subject.rows, found, names)
    caption = f"{subject.model}, baseline {next(iter(names.values()))}. {NOTES} {seeds_words(found)}".rstrip()
    if len(quality):
        items.append(widgets.show_table("inside_quality", quality, caption, {}, file=f"{file}-quality"))
    else:
        st.caption("These variants share no number.")
    cost = cost_columns(results, names)
    caption = f"{subject.model}: size, speed and time of each variant. Times are of the machine that measured them."
    formats = dict.fromkeys(names.values(), "%.4g")
    items.append(widgets.show_table("inside_cost", cost, caption, formats, file=f"{file}-cost"))
    return items


def _offer_missing(subject: Subject, results: list[Result], names: Mapping[str, str]) -> None:
    """Name the variants without fidelity or accuracies, with a link that measures them."""
    for result in results:
        key, metrics = result.variant.key, {row.metric for row in result.measurements}
        lacking = {"fidelity": KL not in metrics and key != subject.dense, "accuracies": "acc" not in metrics}
        if not any(lacking.values()) or result.variant.is_external:
            continue
        address = variant_address(result.variant)
        if lacking["fidelity"]:
            address["run_fidelity"] = "true"
        if lacking["accuracies"]:
            address["run_tasks"] = [TASKS[name].label for name in SEVEN]
        what = listed([name for name, absent in lacking.items() if absent])
        link_to_run(f"{literal(names[key])} has no {what}: measure them", address)
