"""The tables of few-shot prompts."""

from collections.abc import Sequence
from functools import partial

import pandas as pd

from core.findings.numbers.differences import Samples
from core.findings.numbers.fewshot import MEAN, fewshot_table, prompt_words, prompted
from core.findings.numbers.reporting import in_points
from core.notation.chain import format_chain
from core.results import Result
from tools.report.points import MODEL


def _table(figure: str, results: Sequence[Result], samples: Samples) -> pd.DataFrame:
    """Return a row per prompt with the dense model's mean accuracy in percent and a figure of each variant in points.

    Args:
        figure: Prefix of the figure's columns in `fewshot_table`; empty for the difference to dense.
        results: The variants and their dense model.
        samples: Reads the per-document answers.
    """
    mine = [one for one in results if one.variant.model == MODEL]
    dense = next((one for one in mine if one.variant.key == one.variant.dense_key), None)
    found = fewshot_table([one for one in mine if one is not dense], dense, samples)
    rows = found[found["dataset"] == MEAN].sort_values(["prompts", "k"], kind="stable")
    if figure:
        rows = prompted(rows)  # growth is relative to zero-shot
    names = {one.variant.key: f"`{format_chain(one.variant.stages)}`" for one in mine}
    cells: dict[tuple[int, str], dict[str, str]] = {}
    for row in rows.to_dict("records"):
        kind = row["k"], row["prompts"]
        line = cells.setdefault(kind, {"k": f"{row['k']}", "prompt": prompt_words(*kind)})
        if pd.isna(row["difference"]):
            line["dense, %"] = f"{100 * row['value']:.1f}"
        elif pd.notna(value := row[f"{figure}difference"]):
            line[names[row["key"]]] = in_points(value, row[f"{figure}low"], row[f"{figure}high"])
    return pd.DataFrame(list(cells.values())).fillna("")


TABLES = {"after_demonstrations": partial(_table, ""), "with_demonstrations": partial(_table, "growth_")}
