"""The search for clipped ranges against one that computes the error of every range, on one model in one run.

    python -m benchmarks.methods.clipping [--group-size 64]

It prints the seconds for all linears in the blocks. The sides take turns, linear by linear, and must find the same
scales.
"""

import time

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.smoke import run
from core.methods.find import AT_ONCE, find_grid
from core.methods.numerics.groups import GROUP_SIZE
from core.methods.quantised.base import BITS
from core.models.parts.blocks import find_blocks
from core.models.sources import identify, load_model
from core.request.stages import DEFAULT_MODEL
from tests.core.methods.quantised.clipping import clipped_by_all

SMOKE = {"group_size": 16}


@torch.inference_mode()
def main(group_size: int = GROUP_SIZE, model: str = DEFAULT_MODEL) -> None:
    weights = [linear.weight.float() for linear in find_blocks(load_model(identify(model))).all_linears()]
    table = Table(title=f"{model}, groups of {group_size}, {torch.get_num_threads()} threads: seconds")
    for column in ("bits", "zero points", "all ranges", "this", "all ranges' time / this"):
        table.add_column(column, justify="left" if column == "zero points" else "right")
    for bits in BITS:
        for symmetric in (True, False):
            plain = ours = 0.0
            for weight in weights:
                started = time.perf_counter()
                rows = max(1, AT_ONCE // weight.shape[1])  # both search what fits in the cache at once
                parts = [clipped_by_all(part, bits, group_size, symmetric)[0] for part in weight.split(rows)]
                middle = time.perf_counter()
                found = find_grid(weight, bits, group_size, symmetric, clip=True)
                plain, ours = plain + middle - started, ours + time.perf_counter() - middle
                assert torch.equal(found.scale, torch.cat(parts))
            kind = "no" if symmetric else "yes"
            table.add_row(str(bits), kind, f"{plain:.2f}", f"{ours:.2f}", f"{plain / ours:.2f}")
    Console().print(table)


if __name__ == "__main__":
    run(main, SMOKE)
