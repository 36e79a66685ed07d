"""The series that charts highlight by default."""

import math

import pandas as pd

from core.findings.best.answer import find_best
from core.findings.rows.missing import is_training_free
from core.findings.rows.points import amounts, first_amount, rows_at
from core.findings.sharing import shared
from core.registry import RECONSTRUCTIONS, RECOVERIES

MAX_HIGHLIGHTED = 6  # series that readers can distinguish, also without colours
FOLLOWERS = {stage.name: stage.label for stage in (*RECONSTRUCTIONS, *RECOVERIES)}


@shared
def default_series(points: pd.DataFrame) -> list[str]:
    """Return the series that are highlighted by default: at most `MAX_HIGHLIGHTED`, and the best at the first amount.

    Single methods with default parameters come first. Chains follow, all of one later stage (such as LoRA) if they fit.
    Then come methods that train, if they fit, and last methods with other parameters. If too many qualify, those with
    the lowest perplexities at the most frequent amount win.
    """
    there = points.drop_duplicates("series_label").set_index("series_label")
    several = there["series_chain"].str.contains("+", regex=False)
    training = ~several & ~there["series_chain"].map(is_training_free)
    changed = ~several & ~training & there["series_chain"].str.contains(",", regex=False)
    value = (
        points[points["amount_label"] == points["amount_label"].mode().iloc[0]].groupby("series_label")["value"].min()
    )

    def lowest(which: pd.Series, most: int) -> list[str]:
        return sorted(map(str, there.index[which]), key=lambda series: value.get(series, math.inf))[:most]

    highlighted, chosen = set(lowest(~several & ~training & ~changed, MAX_HIGHLIGHTED)), set[str]()
    for name in FOLLOWERS:
        kinds = {series: set(parts.split("+")) & set(FOLLOWERS) for series, parts in there["parts"][several].items()}
        more = highlighted | {str(series) for series, kind in kinds.items() if kind and kind <= chosen | {name}}
        if len(more) <= MAX_HIGHLIGHTED:
            highlighted, chosen = more, chosen | {name}
    if len(highlighted) + training.sum() <= MAX_HIGHLIGHTED:
        highlighted |= set(there.index[training])
    highlighted |= set(lowest(changed, MAX_HIGHLIGHTED - len(highlighted)))
    if steps := amounts(points):
        of_some_layers = points["series_chain"].str.contains(",layers=", regex=False)
        best = find_best(rows_at(points[~of_some_layers], first_amount(steps)), points[:0])
        highlighted |= set(points.loc[points["key"].isin(best.keys if best else ()), "series_label"])
    return [series for series in there.index if series in highlighted]
