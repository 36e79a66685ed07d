"""The papers' tables as groups: across models if a table has one ratio, else one group per model."""

from collections.abc import Iterator

import pandas as pd

from core.data.cards import SEVEN
from core.data.texts import called
from core.findings.best.budget import meaningful
from core.findings.laws.groups import Group, broken, points, size_of
from core.findings.numbers.seven import ABOVE_CHANCE, chance_of, counted_tasks
from core.notation.chain import DENSE

PERPLEXITY = "perplexity"
TABLE = ["paper", "table", "metric", "dataset"]
VARIANT = ["paper", "table", "model", "method", "tuned", "ratio_kind", "ratio"]


def printed(frame: pd.DataFrame) -> list[Group]:
    """Return the groups of the published values (`core.store.bundled.published`): perplexities and means above chance.

    In a table with one ratio, a group is one method and kind of ratio across models. In a table with several ratios, a
    group is one model with all methods, separate with and without fine-tuning. Papers do not state the number of
    training tokens, so D is not used.
    """
    both = pd.concat([frame[frame["metric"] == PERPLEXITY], _means(frame)], ignore_index=True)
    is_dense = both["method"].str.lower() == DENSE
    found: list[Group] = []
    for (paper, table, metric, dataset), rows in both.groupby(TABLE, sort=False):
        dense = rows[is_dense[rows.index]].set_index("model")["value"]
        rows = rows[~is_dense[rows.index] & rows["model"].isin(dense.index)]
        loss = metric == PERPLEXITY
        measure = f"{metric} on {called(str(dataset))}" if loss else f"{ABOVE_CHANCE} of the seven tasks"
        for of, name, part in _named(rows):
            part = _with_dense(part, dense)
            limit = meaningful(part["dense"]) if loss else part["dense"]
            lost = broken(part["value"], limit, loss)
            title = f"{paper}, {table}: {of}"
            found.append(Group(title, measure, name, loss, points(part[~lost], loss), int(lost.sum())))
    return found


def _named(rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield the models, the name and the rows of each group."""
    if rows["ratio"].nunique() == 1:
        for (method, kind), part in rows.groupby(["method", "ratio_kind"], sort=False):
            family = str(part["model"].iloc[0]).partition("-")[0]
            removed = kind if ":" in str(kind) else f"{100 * part['ratio'].iloc[0]:g} %"
            yield f"{family} across sizes", f"{method} {removed}", part
        return
    for (model, kind, tuned), part in rows.groupby(["model", "ratio_kind", "tuned"], sort=False):
        yield str(model), str(kind).capitalize() + (", tuned" if tuned else ""), part


def _means(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mean above chance, in [0, 1], of each variant in a table that has the tasks that count.

    Papers state no standard errors, so the dense model's accuracy alone decides which tasks count.
    """
    scored = frame[frame["dataset"].isin(SEVEN)].assign(value=frame["value"] / 100)
    parts = []
    for _, rows in scored.groupby(["paper", "table", "model"], sort=False):
        dense = rows[rows["method"].str.lower() == DENSE]
        known = {name: (value, None) for name, value in zip(dense["dataset"], dense["value"], strict=True)}
        if counted_tasks(known) != SEVEN:  # tables print all seven, and only equal tasks share an axis
            continue
        found = rows.groupby(VARIANT, sort=False)["value"].agg(["mean", "size"]).reset_index()
        parts.append(found[found["size"] == len(SEVEN)])
    every = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*VARIANT, "mean"])
    return every.assign(metric="acc", dataset=ABOVE_CHANCE, value=every["mean"] - chance_of(SEVEN))


def _with_dense(part: pd.DataFrame, dense: pd.Series) -> pd.DataFrame:
    """Return the rows of a group's dense models, then its own."""
    models = part["model"].unique()
    origin = pd.DataFrame({"model": models, "method": DENSE, "ratio": 0.0, "value": dense.loc[models].to_numpy()})
    both = pd.concat([origin, part], ignore_index=True).assign(tokens=0.0)
    sizes = both["model"].map(size_of)
    return both.assign(
        dense=both["model"].map(dense), series=both["method"], parts=both["method"].str.lower(), parameters=sizes
    )
