"""The tables of the prediction errors of the published compression laws."""

from collections.abc import Sequence

import pandas as pd

from core.findings.laws.law import Law, laws
from core.findings.laws.limit import Limit
from core.findings.laws.measured import PERPLEXITY, select_groups
from core.findings.laws.papers import printed
from core.findings.laws.report import at_most
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
    groups = [one for one in select_groups(rows, PERPLEXITY) if not one.mixed]
    return pd.DataFrame([_row(one, "by_ratio") for one in laws(groups, USUAL) if one.best])


def opt_errors() -> pd.DataFrame:
    """Return a row per kind of ratio in SparseGPT's paper: the leave-one-model-out error over the sizes of OPT."""
    of_opt = [one for one in printed(published()) if "OPT across sizes" in one.of and one.loss]
    found = [one for one in laws(of_opt, USUAL) if one.fits[0].by_model]
    texts = [{"text": one.group.metric.removeprefix("perplexity on ")} for one in found]
    return pd.DataFrame([text | _row(one, "by_model") for text, one in zip(texts, found, strict=True)])


def _row(found: Law, by: str) -> dict[str, str]:
    cells = {"fitted to": found.group.name}
    for one in found.fits:
        error = getattr(one, by)
        cell = f"{error.percent:.1f}" if error else ""
        cells[one.form.name] = f"**{cell}**" if one is found.best else cell
    if found.best and by == "by_ratio":
        cells[f"below {USUAL.times:g} x dense up to"] = at_most(found.best, USUAL)
    return cells
