"""Tables that name variants by their chains and compare them with dense."""

from collections.abc import Sequence

import pandas as pd

from core.amount import Ratio
from core.cli.printing.tables import column
from core.findings.numbers.differences import Samples, differences
from core.findings.numbers.reporting import format_difference, judged
from core.findings.numbers.seven import ABOVE_CHANCE
from core.methods.embedding.base import EmbeddingMethod
from core.methods.kinds import TableQuantMethod
from core.notation.chain import format_chain
from core.notation.removal import model_share
from core.registry import build_method, leaves
from core.results import Result
from tools.report.points import (
    BESIDE_DENSE,
    DENSE,
    MEANS,
    MODEL,
    SEEDS,
    TEXTS,
    number,
    point,
    reads_calibration,
    seed,
    untuned,
)
from tools.report.significance import compared

SPARED = ("wanda", "sparsegpt")  # methods of the comparison of allocations
AT = 0.7


def is_allocated(result: Result) -> bool:
    """Return whether a variant has an allocation, so that its blocks have different ratios."""
    return any("allocation" in stage.parameters for stage in result.variant.stages)


def of_embedding(result: Result) -> bool:
    """Return whether a stage compresses a variant's embedding itself."""
    return any(isinstance(build_method(stage), TableQuantMethod | EmbeddingMethod) for stage in result.variant.stages)


def of_some_blocks(result: Result) -> bool:
    """Return whether only some of the layers were compressed."""
    return any(stage.layers for stage in result.variant.stages)


def beside_dense(
    results: Sequence[Result], chosen: Sequence[Result], samples: Samples, model: str = MODEL
) -> list[dict]:
    """Compare chosen variants of a model with dense, those of the first seed.

    Returns:
        For each chosen variant with the page's perplexity: `result`, `chain`, `value` (perplexity), `read` (its ratio
        to dense) and `mean` (difference of the mean above chance, in points). The chain is without training parameters,
        which the page describes. Empty if the dense model is not among the results.
    """
    dense = next(
        (one for one in map(compared, results) if one.variant.model == model and point(one.variant) == DENSE), None
    )
    mine = {one.variant.key: one for one in map(compared, chosen) if one.variant.model == model}
    mine = {key: one for key, one in mine.items() if not seed(one.variant)}
    if dense is None or not mine:
        return []
    paired = differences(list(mine.values()), dense, samples, seeds=SEEDS)
    paired = paired[paired["unpaired_reason"].isna()].sort_values("n")  # the last row of a key has the most documents
    read = {row["key"]: format_difference(row) for row in paired[paired["metric"] == "perplexity"].to_dict("records")}
    means = {row["key"]: judged(row) for row in paired[paired["dataset"] == ABOVE_CHANCE].to_dict("records")}
    rows = []
    for key, result in mine.items():
        value = next((row.value for row in result.measurements if column(row) == TEXTS[model]), None)
        if value is None:
            continue
        known = {"read": read.get(key, ""), "mean": means.get(key, "")}
        chain = f"`{format_chain(untuned(result.variant.stages))}`"
        rows.append({"result": result, "chain": chain, "value": value} | known)
    return rows


def allocated(results: Sequence[Result], samples: Samples) -> pd.DataFrame:
    """Tabulate allocations at 70 %, with and without reconstruction, and ALPS at 70 % and 2:4, by perplexity."""
    chosen = [one for one in results if is_allocated(one) or _at(one)]
    rows = beside_dense(results, chosen, samples) if any(map(is_allocated, chosen)) else []
    return pd.DataFrame(
        [
            {
                "chain": row["chain"],
                "perplexity": number(row["value"]),
                BESIDE_DENSE: row["read"],
                MEANS: row["mean"],
            }
            for row in sorted(rows, key=lambda row: (row["result"].variant.pattern or "", row["value"], row["chain"]))
        ]
    )


def read_beside(results: Sequence[Result], samples: Samples, chain: str, other: str, model: str = MODEL) -> str:
    """Return the perplexity of one chain over another's with the 95 % interval of the paired difference."""
    found = {f"{format_chain(one.variant.stages)}": one for one in map(compared, results) if of_page(one, model)}
    paired = differences([found[chain]], found[other], samples, seeds=SEEDS)
    rows = paired[(paired["metric"] == "perplexity") & paired["unpaired_reason"].isna()].to_dict("records")
    return format_difference(rows[0]) if rows else "cannot be paired"


def of_page(result: Result, model: str) -> bool:
    """Return whether a variant of a model uses the page's calibration data, or none, and the first seed."""
    variant = result.variant
    return variant.model == model and reads_calibration(variant) and not variant.stages[0].seed


def _at(result: Result) -> bool:
    """Return whether a variant is a baseline of the allocations: at 70 % with a uniform ratio, or ALPS at 2:4."""
    first, *after = result.variant.stages
    if any(stage.method != "adaprune" for stage in after) or first.parameters or first.layers or (first.seed or 0):
        return False
    if not isinstance(first.amount, Ratio):
        return first.method == "alps"
    return first.method in (*SPARED, "alps") and first.ratio == AT


def embeddings(results: Sequence[Result], samples: Samples) -> pd.DataFrame:
    """Tabulate the variants with only a compressed embedding, by packed size."""
    chosen = [one for one in results if of_embedding(one) and len(one.variant.stages) == 1]
    rows = beside_dense(results, chosen, samples)
    return pd.DataFrame(
        [
            {
                "chain": row["chain"],
                "of the embedding removed": "" if (share := size.embedding_removed) is None else f"{100 * share:.1f} %",
                "of the model removed": "" if (share := model_share(row["result"])) is None else f"{100 * share:.1f} %",
                "MB packed": f"{size.packed_bytes / 1e6:.1f}",
                "perplexity": number(row["value"]),
                BESIDE_DENSE: row["read"],
                MEANS: row["mean"],
            }
            for row in sorted(rows, key=lambda row: (row["result"].counted.packed_bytes, row["chain"]))
            if (size := row["result"].counted)
        ]
    )


def some_blocks(results: Sequence[Result], samples: Samples) -> pd.DataFrame:
    """Tabulate the variants with only some pruned blocks: the errors of their linears and the perplexity."""
    rows = beside_dense(results, [one for one in results if of_some_blocks(one)], samples)
    cells = []
    for row in sorted(rows, key=lambda row: (row["value"], row["chain"])):
        whole = [stage.model_copy(update={"layers": None}) for stage in row["result"].variant.stages]
        errors: dict[str, list[float]] = {}
        for layer in row["result"].last_layers:
            errors.setdefault(layer.role, []).append(layer.error or 0.0)
        cells.append(
            {"chain": f"`{format_chain(whole)}`"}
            | {role: f"{sum(found) / len(found):.2g}" for role, found in errors.items()}
            | {"perplexity": number(row["value"]), BESIDE_DENSE: row["read"]}
        )
    return pd.DataFrame(cells)


def combined(results: Sequence[Result], samples: Samples) -> pd.DataFrame:
    """Tabulate the variants with quantised blocks and a quantised embedding, by packed size."""
    chosen = [one for one in results if "table grid" in leaves(one.variant.stages[-1]) and len(one.variant.stages) > 1]
    rows = beside_dense(results, chosen, samples)
    rows.sort(key=lambda row: (row["result"].counted.packed_bytes, row["value"]))
    return pd.DataFrame(
        [
            {
                "chain": row["chain"],
                "MB packed": f"{row['result'].counted.packed_bytes / 1e6:.1f}",
                "perplexity": number(row["value"]),
                BESIDE_DENSE: row["read"],
            }
            for row in rows
        ]
    )


TABLES = {table.__name__: table for table in (allocated, combined, embeddings, some_blocks)}
