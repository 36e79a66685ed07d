"""Looking up embeddings in factors, and the head that is rebuilt from them, against the dense table, in one run.

    python -m benchmarks.embedding [--factor 2]

Microseconds a token to look up 1 and 512 tokens, and a position to find the logits of 1 and 64; the sides take turns.
"""

from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch.utils.benchmark import Timer

from benchmarks.smoke import run
from core.chain import ChainDefaults, parse
from core.models.sources import identify, load_model
from core.progress import silent
from core.request.resolve import resolve_chain
from core.request.stages import DEFAULT_MODEL
from tests.core.applied import compress

LOOKED_UP, POSITIONS = (1, 512), (1, 64)
SMOKE = {"least_seconds": 0.01}


@torch.inference_mode()
def main(
    factor: str = "2",
    least_seconds: Annotated[float, typer.Option(help="For which each is repeated.")] = 1.0,
    model: str = DEFAULT_MODEL,
) -> None:
    sides = {"dense": load_model(identify(model))}
    for chain in (f"tensor-train@{factor}x", f"embedding-lowrank@{factor}x"):
        made = load_model(identify(model))
        (stage,) = resolve_chain(parse(chain), ChainDefaults(None, None, 0))
        compress(made, stage, None, "cpu", silent)
        sides[chain] = made
    table = Table(title=f"{model}, {torch.get_num_threads()} threads, microseconds")
    for column in ("", *sides):
        table.add_column(column, justify="right" if column else "left")
    width = sides["dense"].config.hidden_size
    vocabulary = sides["dense"].config.vocab_size
    asked = {
        f"look up {count}, a token": (torch.randint(vocabulary, (1, count)), "get_input_embeddings", count)
        for count in LOOKED_UP
    }
    asked |= {
        f"logits of {count}, a position": (torch.randn(1, count, width), "get_output_embeddings", count)
        for count in POSITIONS
    }
    for what, (given, part, count) in asked.items():
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
        table.add_row(what, *cells)
    Console().print(table)


if __name__ == "__main__":
    run(main, SMOKE)
