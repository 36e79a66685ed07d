"""Parts on variants: two compared by their paired differences, the layer sensitivity of one, and a method's notes."""

from functools import partial

import pandas as pd
import streamlit as st

from core.base.errors import UserError
from core.findings.numbers.few import few_in
from core.findings.numbers.intervals import ALPHA
from core.findings.numbers.reporting import seeds_words
from core.findings.pairs import paired
from core.findings.pairs.numbers import number_rows, winner
from core.models.facts import load_shape
from core.models.sources import identify_again
from core.notation.formatting import format_duration
from core.request.complete import default_text
from core.request.expected.estimate import estimate_left
from core.request.resolve import build_scan, scan_method
from core.request.stages import variant_spec
from core.results import Result
from core.specs import RunSpec, ScanUnit
from dashboard import data
from dashboard.charts import sensitivity
from dashboard.charts.compared import difference_chart
from dashboard.charts.matrices import layer_heatmap
from dashboard.exports.files import Item
from dashboard.shared import widgets
from dashboard.shared.literal import literal

WIDTHS = {"Difference": 95, paired.INTERVAL: 135, paired.FLIPS: 110, "Adjusted p": 95}
NOTES = (
    "Difference: first minus second, in points. x: perplexity of the first over that of the second. p: paired test of "
    "each number. One comparison needs no adjustment of p and interval. "
    "The chart has each task once, with most documents; the table has every protocol. "
    "Right only in first, second: the documents that only one of them answers correctly. "
    f"Better or worse: the first, with p at most {ALPHA}."
)
UNITS: dict[ScanUnit, str] = {"block": "Blocks", "linear": "Linear layers"}


def show_pair(pairs: pd.DataFrame, names: tuple[str, str], caption: str, file: str) -> list[Item]:
    """Show the better of two variants in a sentence, and the chart of their paired differences.

    `pairs` are rows of `core.findings.numbers.differences` of the first variant to the second. `caption` is the start
    of the chart's caption, such as the model's name.
    """
    st.markdown(winner(pairs, *map(literal, names)))
    plain = winner(pairs, *names).replace("**", "")
    rows = number_rows(pairs)
    if rows.empty:
        return []
    return [
        widgets.show_chart(
            "pair",
            partial(difference_chart, rows, names),
            pair_caption(pairs, names, caption),
            rows,
            alt=f"Paired difference in each number. {plain}",
            file=file,
        )
    ]


def pair_caption(pairs: pd.DataFrame, names: tuple[str, str], start: str) -> str:
    """Return the caption of the chart and the table of a pair."""
    plain = winner(pairs, *names).replace("**", "")
    return f"{start}: {plain} First: {names[0]}. Second: {names[1]}. {NOTES}"


def show_differences(pairs: pd.DataFrame, caption: str, file: str) -> list[Item]:
    """Show the table of the paired differences of one variant to another, with the reasons of those without a pair."""
    table = paired.comparison_table(pairs)
    if table.empty:
        st.caption("These variants share no result under the same protocol.")
        return []
    widths = WIDTHS | widgets.fitting_widths(table, ["First is"])
    item = widgets.show_table("pair_differences", table, caption, {}, file=file, widths=widths)
    for reason in [seeds_words(pairs), *paired.reasons(pairs), few_in(pairs)]:
        if reason:
            st.caption(reason)
    return [item]


def show_scan(result: Result, name: str, file: str) -> list[Item]:
    """Show the layer sensitivity of a variant; `name` is its name in captions and `file` the name of the exports."""
    found = sensitivity.scans(result)
    if not found:
        return []
    by = next(iter(found))
    if len(found) > 1:
        title, named, key = "Sensitivity of", UNITS.__getitem__, "scan_unit"
        by = st.segmented_control(title, list(found), default=by, required=True, format_func=named, key=key)
    rows, method = found[by], result.variant.method
    caption = f"{name}: perplexity relative to dense with one {by} compressed, on {rows['text'].iloc[0]}, outside the "
    caption += f"calibration data. A {by} with a higher value is more sensitive, and `allocation=sensitivity` gives it "
    caption += "a lower ratio."

    draw: widgets.Draw = partial(sensitivity.by_block, rows, method)
    if by == "linear":
        draw = partial(layer_heatmap, rows, column="perplexity_ratio", title="Perplexity, times dense")
    return [
        widgets.show_chart(
            *("scan", draw, caption, rows.drop(columns="text")),
            alt=f"Layer sensitivity by {by}",
            file=file,
            explained=" Bars: 95 % intervals of the differences by window." if by == "block" else "",
        )
    ]


def offer_scan(result: Result) -> None:
    """Show the form that queues a measurement of layer sensitivity, if the variant allows it."""
    variant = result.variant
    if variant.is_external or scan_method(variant.stages) is None:
        return
    with st.popover("Measure layer sensitivity", icon=":material/stacked_line_chart:"):
        st.caption("The perplexity of the dense model with a single block or layer compressed.")
        by = st.segmented_control(
            "Compress one at a time",
            list(UNITS),
            default="block",
            required=True,
            format_func=UNITS.__getitem__,
            key=f"scan_by_{variant.key[:8]}",
        )
        try:
            text = default_text(False, load_shape(identify_again(variant.model, variant.revision)))
            spec = RunSpec(variant=variant_spec(variant), scan=build_scan(variant.stages, by, text, 0))
            took = format_duration(estimate_left([spec], data.store()).seconds)
        except UserError as error:
            st.warning(str(error))
            return
        if spec in [job.spec for job in data.active_jobs()]:
            st.caption(":material/hourglass_top: Queued or running; the Run page shows its progress.")
        elif st.button(f"Measure ({took})", type="primary", key="scan_start"):
            data.queue().submit(spec)
            st.toast("Queued; the Run page shows its progress. The result appears here.")


def show_notes(layers: pd.DataFrame) -> None:
    """Show the notes in a table of `core.findings.inside.layers.layer_table`: once if all are equal, else folded."""
    notes = layers.dropna(subset="note")
    if notes.empty:
        return
    if len(notes) == len(layers) and notes["note"].nunique() == 1:
        st.caption(f"All layers: {literal(notes['note'].iloc[0])}.")
        return
    with st.expander(f"{len(notes)} notes of the method"):
        st.text("\n".join(f"{name}: {note}" for name, note in zip(notes["name"], notes["note"], strict=True)))
