"""The tables of the prediction errors of the published compression laws."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from core.findings.laws.fit import Fit, best_of, fits
from core.findings.laws.groups import Group
from core.findings.laws.limit import Limit
from core.findings.laws.papers import printed
from core.findings.laws.report import at_most
from core.findings.laws.selection import PERPLEXITY, select_groups
from core.findings.numbers.frame import tidy
from core.results import Result
from core.store.bundled import published
from tools.report.points import MODEL

USUAL = Limit()


def law_errors(results: Sequence[Result]) -> pd.DataFrame:
    """Return a row per family and series of the default model.

    It has each form's leave-one-ratio-out error, in percent of ln(perplexity), and the critical ratio of the best form.
    """
    rows = tidy(one for one in results if one.variant.model == MODEL)
    found = [
        (group, fitted) for group in select_groups(rows, PERPLEXITY) if (fitted := fits(group)) and best_of(fitted)
    ]
    return pd.DataFrame([_row(group, fitted, "by_ratio") for group, fitted in found if not group.mixed])


def opt_errors() -> pd.DataFrame:
    """Return a row per kind of ratio in SparseGPT's paper: the leave-one-model-out error over the sizes of OPT."""
    of_opt = [one for one in printed(published()) if "OPT across sizes" in one.of and one.loss]
    found = [(group, fitted) for group in of_opt if (fitted := fits(group)) and fitted[0].by_model]
    texts = [{"text": group.metric.removeprefix("perplexity on ")} for group, _ in found]
    rows = [_row(group, fitted, "by_model") for group, fitted in found]
    return pd.DataFrame([text | row for text, row in zip(texts, rows, strict=True)])


def _row(group: Group, fitted: Sequence[Fit], by: str) -> dict[str, str]:
    best, cells = best_of(fitted), {"fitted to": group.name}
    for one in fitted:
        error = getattr(one, by)
        cell = f"{error.percent:.1f}" if error else ""
        cells[one.form.name] = f"**{cell}**" if one is best else cell
    return cells | ({f"below {USUAL.times:g} x dense up to": at_most(best, USUAL)} if best and by == "by_ratio" else {})
