"""Look-ups and output heads of factored embeddings, compared with the dense table in one run.

    python -m benchmarks.methods.embedding [--factor 2]

It prints microseconds per token to look up 1 and 512 tokens, and per position to compute the logits of 1 and 64. The
sides take turns.
"""

from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch.utils.benchmark import Timer

from benchmarks.smoke import run
from core.base.progress import silent
from core.models.sources import identify, load_model
from core.notation.chain import ChainDefaults, parse
from core.request.resolve import resolve_chain
from core.request.stages import DEFAULT_MODEL
from tests.core.engine.applied import compress

LOOKED_UP, POSITIONS = (1, 512), (1, 64)
SMOKE = {"least_seconds": 0.01}


@torch.inference_mode()
def main(
    factor: str = "2",
    least_seconds: Annotated[float, typer.Option(help="Minimum seconds of each measurement.")] = 1.0,
    model: str = DEFAULT_MODEL,
) -> None:
    sides = {"dense": load_model(identify(model))}
    for chain in (f"tensor-train@{factor}x", f"embedding-lowrank@{factor}x"):
        factored = load_model(identify(model))
        (stage,) = resolve_chain(parse(chain), ChainDefaults(None, None, 0))
        compress(factored, stage, None, "cpu", silent)
        sides[chain] = factored
    table = Table(title=f"{model}, {torch.get_num_threads()} threads, microseconds")
    for column in ("", *sides):
        table.add_column(column, justify="right" if column else "left")
    width = sides["dense"].config.hidden_size
    vocabulary = sides["dense"].config.vocab_size
    work = {
        f"look up {count}, a token": (torch.randint(vocabulary, (1, count)), "get_input_embeddings", count)
        for count in LOOKED_UP
    }
    work |= {
        f"logits of {count}, a position": (torch.randn(1, count, width), "get_output_embeddings", count)
        for count in POSITIONS
    }
    for name, (given, part, count) in work.items():
        cells, dense = [], None
        for side in sides.values():
            timer = Timer(
                "part(given)",
                globals={"part": getattr(side, part)(), "given": given},
                num_threads=torch.get_num_threads(),
            )
            each = timer.blocked_autorange(min_run_time=least_seconds).median / count
            dense = dense or each
            cells.append(f"{1e6 * each:.3g} (x {each / dense:.1f})")
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    run(main, SMOKE)
