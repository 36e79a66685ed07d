"""From tidy rows to the candidates for a budget: one row per variant, with its qualities and costs."""

from collections.abc import Mapping, Sequence
from itertools import chain

import pandas as pd

from core.findings.best.budget import ACCURACY, PERPLEXITY
from core.findings.rows.missing import is_training_free
from core.findings.rows.points import by_seed, collapse, is_dense
from core.findings.rows.zeroshot import means_above_chance, over_seeds
from core.findings.sharing import shared
from core.metrics import MEANS
from core.results import KL_P99

TRAINED, UNTRAINED = "trained", "not trained"
POINT = ["series_label", "chain", "calibration", "train"]  # columns of one point of several seeds
NO_TEXT = "no text"  # of variants without calibration data
TEXTS = ["calibration", "train"]  # besides seeds, the columns in which variants of one chain and amount differ


def candidates(
    measured: pd.DataFrame,
    scored: pd.DataFrame,
    first: Sequence[str] = (),
    unread: pd.DataFrame | None = None,
    compared: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the points (`collapse`) of all variants, with the columns that a budget needs.

    Args:
        measured: Perplexities of one model, text and protocol.
        scored: Accuracies as of `core.findings.rows.zeroshot.on_documents`.
        first: Calibration or training data; variants with other data come last.
        unread: Variants without a perplexity on the text (`without_perplexity`); they come last.
        compared: Their `core.metrics.MEANS` on the text, if known.

    Returns:
        Points, dense first. Added columns: perplexity, above_chance (a share), kl and agreement, each with `_low`
        and `_high`; times_dense; accuracy_lost (above_chance minus the dense model's); mean_of_seven; family; own_grid;
        training (TRAINED or UNTRAINED); `keys` by seed; calibration and train; file_mb, which is NaN until a format is
        chosen.
        Values of `unread` variants are NaN.
    """
    parts, groups = [], list[tuple[str, ...]]()
    unread = measured.iloc[:0] if unread is None else unread
    for _, part in chain(*(frame.groupby(TEXTS, dropna=False, sort=False) for frame in (measured, unread))):
        parts.append(collapse(part).assign(**{name: part[name].iloc[0] for name in TEXTS}))
        groups += by_seed(part)
    if not parts:
        return pd.DataFrame()
    rows = pd.concat(parts, ignore_index=True)
    rows["keys"] = rows["key"].map({keys[0]: keys for keys in groups})
    of_key = pd.concat([measured, unread]).drop_duplicates("key").set_index("key").loc[rows["key"]]
    rows["family"], rows["own_grid"] = of_key["family"].to_numpy(), of_key["own_grid"].to_numpy(bool)
    rows["training"] = [UNTRAINED if is_training_free(written) else TRAINED for written in rows["chain"]]
    lacking = rows["key"].isin(unread["key"])
    rows[["value", "low", "high"]] = rows[["value", "low", "high"]].mask(lacking)
    rows["spread"] = rows["spread"].mask(lacking, "")
    rows[KL_P99] = rows[KL_P99].mask(lacking)  # on another text
    rows = rows.assign(perplexity=rows["value"], perplexity_low=rows["low"], perplexity_high=rows["high"])
    stand_for = {key: keys[0] for keys in groups for key in keys}
    means = means_above_chance(scored)
    rows = rows.merge(_means(means, stand_for, ACCURACY), on="key", how="left")
    seven = means.assign(key=means["key"].map(stand_for)).groupby("key")["mean_of_seven"].mean()
    rows["mean_of_seven"] = rows["key"].map(seven).astype(float)
    for column, one in MEANS.items():
        means = _means(_values(compared, column), stand_for, column)
        rows = rows.drop(columns=column).merge(means, on="key", how="left")
        rows[column] = rows[column].mask(is_dense(rows) & bool(len(means)), one.of_dense)
    mine = rows[TEXTS].isin([*first]) | rows[TEXTS].isna()
    rows = rows.assign(other=~mine.all(axis=1), compressed=~is_dense(rows), lacking=lacking)
    rows = rows.sort_values(["compressed", "lacking", "other"], kind="stable", ignore_index=True)
    dense = rows[~rows["compressed"]]
    base, accuracy = (dense[name].iloc[0] if len(dense) else float("nan") for name in (PERPLEXITY, ACCURACY))
    rows["times_dense"] = rows[PERPLEXITY] / base
    rows["accuracy_lost"] = rows[ACCURACY] - accuracy
    return rows.drop(columns=["compressed", "lacking", "other"]).assign(file_mb=float("nan"))


@shared
def accepted(every: pd.DataFrame, chosen: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return the rows with a chosen value in each column; a column without choices accepts all."""
    fitting = pd.Series(True, every.index)
    for column, values in chosen.items():
        if values:
            fitting &= every[column].fillna(NO_TEXT).isin(values)
    return every[fitting]


def without_perplexity(rows: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Return one of the tidy rows of each variant that this project measured, but not in `measured` with any seed."""
    own = rows[(rows["origin"] == "measured") & ~is_dense(rows)].drop_duplicates("key")
    mine, there = (pd.MultiIndex.from_frame(frame[POINT].fillna("")) for frame in (own, measured))
    return own[~mine.isin(there)]


def _values(compared: pd.DataFrame | None, metric: str) -> pd.DataFrame:
    """Return key, mean and stderr of each variant in one metric."""
    if compared is None:
        return pd.DataFrame(columns=["key", "mean", "stderr"])
    mine = compared.loc[compared["metric"] == metric, ["key", "value", "stderr"]]
    return mine.rename(columns={"value": "mean"})


def _means(means: pd.DataFrame, stand_for: dict[str, str], column: str) -> pd.DataFrame:
    """Return key, `column` and its ends of each point, from key, mean and stderr of each variant.

    The ends are one standard error away, or the range over seeds.
    """
    means = means.assign(key=means["key"].map(stand_for)).dropna(subset="key")
    names = ["key", column, f"{column}_low", f"{column}_high"]
    rows = [(key, *over_seeds(part)) for key, part in means.groupby("key", sort=False)]
    return pd.DataFrame(rows, columns=names).astype(dict.fromkeys(names[1:], float))
