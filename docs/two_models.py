"""The table of what was measured on a second model, beside what the same chain does to the default one."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from core.analysis.differences import Samples
from core.analysis.seven import mean, sevens
from core.cli.tables import column
from core.registry import METHODS
from core.results import Result
from docs.chains import beside_dense, of_page
from docs.points import DENSE, MODEL, SECOND, TEXTS, number, point

ORDER = [method.name for method in METHODS]


def two_models(results: Sequence[Result], samples: Samples) -> pd.DataFrame:
    """Every variant of the second model, in the order of the methods, the least removed first."""
    mine = _by_chain(results, samples, SECOND)
    first = _by_chain(results, samples, MODEL)
    return pd.DataFrame(
        [
            {
                "chain": row["chain"],
                "perplexity": number(row["value"]),
                "against dense": row["read"],
                "mean of seven, points": row["mean"],
                f"{MODEL}, against dense": first[row["chain"]]["read"] if row["chain"] in first else "",
            }
            for row in sorted(mine.values(), key=_place)
        ]
    )


def second_dense(results: Sequence[Result]) -> str:
    """Return the second model's dense perplexity and mean accuracy of seven tasks in percent, with standard errors."""
    rows = next(one for one in results if one.variant.model == SECOND and point(one.variant) == DENSE).measurements
    text = next(row for row in rows if column(row) == TEXTS[SECOND])
    (tasks,) = sevens(rows).values()
    value, stderr = (100 * share for share in mean(tasks))
    return f"{number(text.value)} ± {number(text.stderr)} and {value:.1f} ± {stderr:.1f}"


def _by_chain(results: Sequence[Result], samples: Samples, model: str) -> dict[str, dict]:
    chosen = [one for one in results if of_page(one, model) and point(one.variant) != DENSE]
    return {row["chain"]: row for row in beside_dense(results, chosen, samples, model)}


def _place(row: dict) -> tuple:
    first, *after = row["result"].variant.stages
    return ORDER.index(first.method), first.ratio or 0.0, len(after), row["chain"]
