"""The table on which searches are replayed: chains of block stages and an embedding stage, each measured.

    python -m benchmarks.search.replay_table [--out FILE]

Each chain of stages in the blocks is made once, and each embedding stage is applied to a copy of it. The row of a chain
has its packed size, the seconds of each part, and the loss of every window. A chain that is in the file is not measured
again, so an interrupted run continues.
"""

import copy
import csv
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import cast

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from transformers import PreTrainedModel

from benchmarks.smoke import run
from core.base.memory import reuse_freed_memory
from core.base.paths import PROJECT
from core.base.progress import silent
from core.context import Context, StageInput
from core.data.corpora import open_corpus
from core.data.windows import calibration_windows, evaluation_windows, read_data
from core.engine.stages import apply
from core.evaluation.footprint import footprint
from core.evaluation.perplexity import perplexity
from core.models.parts.blocks import find_blocks
from core.models.sources import identify, load_model, load_tokenizer
from core.notation.chain import ChainDefaults, parse
from core.request.resolve import resolve_chain
from core.request.stages import DEFAULT_MODEL
from core.specs import Perplexity, TextWindows

BLOCKS = (
    "rtn@8bit;rtn@4bit;rtn@3bit;awq@4bit;awq@3bit;gptq@8bit;gptq@4bit;gptq@3bit;gptq@2bit;"
    "gptq@4bit,clip=true,symmetric=false;gptq@3bit,clip=true,symmetric=false;magnitude@0.3;wanda@0.5;sparsegpt@0.3;"
    "sparsegpt@0.5;sparsegpt@2:4;sparsegpt@0.3+gptq@4bit;sparsegpt@0.5+gptq@4bit;slimllm@0.2;rtn@4bit,symmetric=false"
)
TABLES = (
    "rtn@8bit,on=embedding;rtn@6bit,on=embedding;rtn@4bit,on=embedding;rtn@3bit,on=embedding;rtn@2bit,on=embedding;"
    "rtn@4bit,group_size=32,on=embedding;rtn@3bit,symmetric=false,on=embedding;tensor-train@1.5x;tensor-train@2x;"
    "embedding-lowrank@1.5x"
)
NOTHING = "dense"  # in the place of a part that a chain lacks
DEFAULT_TABLE = PROJECT / "tests" / "core" / "search" / "replay.csv"
SMOKE = {
    "blocks": "magnitude@0.5",
    "tables": "rtn@8bit,group_size=0,on=embedding",
    "calibration": "c4-sample:2x24",
    "text": "wikitext2@24:2",
}


def main(
    model: str = DEFAULT_MODEL,
    blocks: str = BLOCKS,
    tables: str = TABLES,
    calibration: str = "c4-sample:8x512",
    text: str = "passages-eval@256:16:spread",
    out: Path | None = None,
) -> None:
    """Measure the chains that the file lacks, and print how many it has."""
    pairs = list(product([NOTHING, *blocks.split(";")], [NOTHING, *tables.split(";")]))
    rows = kept(out)
    reuse_freed_memory()
    for row in measured(model, [pair for pair in pairs if pair not in rows], calibration, Perplexity.parse(text)):
        rows[row["blocks"], row["tables"]] = row
        if out:
            write(out, list(rows.values()))
    shown = Table("chains", "smallest, MB", "largest, MB", "seconds")
    sizes = [float(row["packed_mb"]) for row in rows.values()]
    seconds = sum(float(row["evaluation_seconds"]) for row in rows.values())
    shown.add_row(str(len(rows)), f"{min(sizes):.1f}", f"{max(sizes):.1f}", f"{seconds:.0f}")
    Console().print(shown)


def kept(out: Path | None) -> dict[tuple[str, str], dict[str, str]]:
    """Return the rows of a file by their parts."""
    if out is None or not out.is_file():
        return {}
    with out.open(encoding="utf-8") as file:
        return {(row["blocks"], row["tables"]): row for row in csv.DictReader(file)}


def write(out: Path, rows: list[dict[str, str]]) -> None:
    """Replace a file by rows."""
    part = out.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    part.replace(out)


def measured(name: str, pairs: list[tuple[str, str]], calibration: str, text: Perplexity) -> Iterator[dict[str, str]]:
    """Yield a row for each pair of parts; pairs with the same first part follow each other."""
    source = identify(name)
    tokenizer = load_tokenizer(source)
    data = TextWindows.parse(calibration)
    tokens = calibration_windows(read_data(data), tokenizer, 0)  # (N, L)
    windows = evaluation_windows(open_corpus(text.corpus), tokenizer, text.window, text.windows, text.spread)
    dense = load_model(source)
    weights = sum(linear.weight.numel() for linear in find_blocks(dense).all_linears())
    sizes = dense.num_parameters(), weights
    made: str | None = None
    for first, second in pairs:
        if first != made:
            model, block_seconds = compressed(dense, first, data, tokens)
            made = first
        whole, table_seconds = compressed(model, second, data, tokens)
        (losses,) = perplexity(whole, {"text": windows}, silent)
        row = {
            "blocks": first,
            "tables": second,
            "packed_mb": f"{footprint(whole, *sizes).packed_bytes / 1e6:.6f}",
            "block_seconds": f"{block_seconds:.2f}",
            "table_seconds": f"{table_seconds:.2f}",
            "evaluation_seconds": f"{losses.seconds:.2f}",
        }
        yield row | {f"loss{place}": f"{-one:.6f}" for place, one in enumerate(losses.samples["perplexity"])}


def compressed(model: nn.Module, chain: str, data: TextWindows, tokens: Tensor) -> tuple[PreTrainedModel, float]:
    """Return a copy of a model after a chain, and the seconds that the chain took."""
    changed = cast(PreTrainedModel, copy.deepcopy(model))
    started = time.perf_counter()
    if chain != NOTHING:
        for stage in resolve_chain(parse(chain), ChainDefaults(calibration=data)):
            read = tokens if stage.calibration else None
            apply(changed, StageInput(stage, read), Context(torch.device("cpu")))
    return changed, time.perf_counter() - started


if __name__ == "__main__":
    run(main, SMOKE)
