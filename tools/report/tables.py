"""The tables of the pages of results, from points to formatted cells."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import pandas as pd

from core.registry import METHODS, RECOVERIES
from tools.report.points import LONG, STEPS, TRAINED_METHODS, Point, accuracies, number, numbers_of

SHORT = "perplexity wikitext2@128:128"
PTB = "perplexity ptb-valid@128:128"
PASSAGES = "perplexity passages-eval@2048:16"

RATIOS = ["10 %", "20 %", "30 %", "40 %", "50 %", "60 %", "70 %"]
PATTERNS = ["4:8", "2:4"]

AMOUNTS = ["30 %", "50 %", "70 %", "2:4"]  # of reconstructed masks
RECONSTRUCTED: dict[str, Point] = {  # chain -> method of its mask, then its own method and recovery in `points`
    "magnitude@+adaprune": ("magnitude", "adaprune", ""),
    "magnitude@0.2+adaprune+magnitude@0.4+adaprune+magnitude@+adaprune": (
        "magnitude",
        "adaprune 20 %+adaprune 40 %+adaprune",
        "",
    ),
    "wanda@+adaprune": ("wanda", "wanda", "adaprune"),
    "ria@+adaprune": ("ria", "ria", "adaprune"),
    "sparsegpt@+adaprune": ("sparsegpt", "sparsegpt", "adaprune"),
}

TRAINED = {recovery.name for recovery in RECOVERIES} | TRAINED_METHODS.keys()
FOUR = ["slimllm", "lorap", "llm-pruner", "loraprune"]  # of the SlimLLM paper's tables

Cell = Callable[[pd.Series], str]


def unstructured_perplexity(found: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the perplexity of unstructured methods over ratios and N:M patterns."""
    return _grid(_family(found, "unstructured"), RATIOS + PATTERNS, lambda row: number(row[LONG]))


def unstructured_accuracy(found: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the mean accuracy of unstructured methods over ratios and N:M patterns."""
    amounts = ["30 %", "50 %", "70 %", *PATTERNS]
    return _grid(_family(found, "unstructured"), amounts, partial(accuracies, found))


def structured(found: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the structured methods at 20 and 50 %, by perplexity."""
    rows = _family(found, "structured").reset_index()
    rows = rows[rows["removed"].isin(["20 %", "50 %"])].sort_values(["removed", LONG])
    texts = {"WikiText-2, 2048": LONG, "128": SHORT, "PTB, 128": PTB, "passages, 2048": PASSAGES}
    cells = {head: rows[name].map(number) for head, name in texts.items()}
    return rows[["removed", "method"]].assign(**cells, accuracy=rows.apply(partial(accuracies, found), axis="columns"))


def four(found: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the perplexity of the SlimLLM paper's four methods over the ratios, in windows of 2048 / of 128."""
    return _grid(_untrained(found, FOUR), RATIOS[:6], _long_and_short)


def low_rank(found: pd.DataFrame) -> pd.DataFrame:
    """Tabulate low-rank methods: perplexity in windows of 2048 / of 128, then mean accuracies, by perplexity."""
    rows = _family(found, "low rank").sort_values(LONG)
    table = _grid(rows, RATIOS[:5], _long_and_short)
    means = _grid(rows, ["20 %", "50 %"], partial(accuracies, found))
    return table.merge(means.set_axis(["method", "at 20 %", "at 50 %"], axis="columns"))


def latency(found: pd.DataFrame) -> pd.DataFrame:
    """Tabulate latency and memory at 20 %, highest prefill latency at batch 4 first, with speed-ups over dense."""
    rows = pd.concat([_untrained(found, ["dense"]), _family(found, "structured")]).reset_index()
    rows = rows[rows["removed"].isin(["nothing", "20 %"])].dropna(subset="prefill ms/token, batch 4")
    rows = rows.sort_values("prefill ms/token, batch 4", ascending=False)
    base = rows[rows["method"] == "dense"].iloc[0]
    table = rows[["method"]].copy()
    for head, metric in (("read", "prefill"), ("write", "decode")):
        for batch in (1, 4):
            name = f"{metric} ms/token, batch {batch}"
            table[f"{head}, {batch}"] = [f"{value:.2f} ({base[name] / value:.2f})" for value in rows[name]]
    for batch in (1, 4):
        table[f"MB, {batch}"] = rows[f"memory MB, batch {batch}"].map("{:.0f}".format)
    return table


def reconstructed(found: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the perplexity before → after the reconstruction of a mask, by chain."""
    table = []
    for chain, (mask, method, recovery) in RECONSTRUCTED.items():
        cells = {"chain": f"`{chain}`"}
        for amount in AMOUNTS:
            places = (mask, "", amount), (method, recovery, amount)
            known = all(place in found.index for place in places)
            cells[amount] = " → ".join(number(numbers_of(found, place)[LONG]) for place in places) if known else ""
        table.append(cells)
    return pd.DataFrame(table)


def recovered(found: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the numbers before → after a recovery, by amount, then by perplexity."""
    table = []
    for _, row in found.sort_values(LONG).reset_index().iterrows():
        method, recovery, removed = row["method"], row["recovery"], row["removed"]
        if recovery not in TRAINED:
            continue
        before = numbers_of(found, (method, "", removed))
        cells = {"removed": removed, "method": method, "recovery": f"`{recovery}`", "steps": f"{row[STEPS]:.0f}"}
        for head, name in {"WikiText-2, 2048": LONG, "128": SHORT, "PTB, 128": PTB}.items():
            cells[head] = f"{number(before[name])} → {number(row[name])}"
        table.append(cells | {"accuracy": accuracies(found, before, row)})
    return pd.DataFrame(table).sort_values("removed", kind="stable")


def _untrained(found: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Return the points of these methods without a recovery, (method, removed), in the methods' order."""
    rows = cast(pd.DataFrame, found.xs("", level="recovery"))
    measured = rows.index.unique("method")
    return rows.loc[[name for name in methods if name in measured]]


def _family(found: pd.DataFrame, family: str) -> pd.DataFrame:
    return _untrained(found, [method.name for method in METHODS if method.family == family])


def _grid(rows: pd.DataFrame, amounts: Sequence[str], cell: Cell) -> pd.DataFrame:
    """Return a row per method and a column per amount, from rows indexed by (method, removed)."""
    cells = rows.apply(cell, axis="columns").unstack("removed").reindex(columns=list(amounts))
    return cells.loc[rows.index.unique("method")].fillna("").reset_index().rename_axis(columns=None)


def _long_and_short(row: pd.Series) -> str:
    return f"{number(row[LONG])} / {number(row[SHORT])}"


TABLES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    table.__name__: table
    for table in (
        unstructured_perplexity,
        unstructured_accuracy,
        structured,
        four,
        low_rank,
        latency,
        reconstructed,
        recovered,
    )
}
