"""Latency of packed weights compared with dense ones in bf16, in one run.

    python -m benchmarks.running.packed [--stage rtn@4bit] [--rounds 2] [--profile]

It prints prefill and decode latency in ms per token at batch 1 and 4, and peak memory. The sides take turns, so that
other work on the machine affects both; a value is the best of the rounds. `--profile` prints a profile of decoding.
"""

from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile
from transformers import PreTrainedModel

from benchmarks.smoke import run
from core.base.progress import silent
from core.evaluation.generation.generate import step
from core.evaluation.latency import DECODED, PROMPT, latency
from core.evaluation.packed import packed
from core.models.parts.blocks import execution_device, move
from core.models.parts.precision import in_precision
from core.models.sources import identify, load_model
from core.notation.chain import ChainDefaults, parse
from core.request.resolve import resolve_chain
from core.request.stages import DEFAULT_MODEL
from core.specs import Dtype
from tests.core.engine.applied import compress

DENSE: Dtype = "bfloat16"
UNITS = {"prefill": "ms a token", "decode": "ms a token", "memory": "MB"}
SMOKE = {"stage": "rtn@8bit,group_size=0", "rounds": 1}


def figures(model: PreTrainedModel, dtype: str) -> dict[tuple[str, int], float]:
    """Return latencies (ms) and memory (MB) by metric and batch."""
    return {(row.metric, row.protocol["batch"]): row.value for row in latency(model, dtype, silent)}


@torch.inference_mode()
def decoding(model: PreTrainedModel) -> str:
    """Return a profile of decoding."""
    prompt = torch.zeros(1, PROMPT, dtype=torch.long)
    past = step(model, prompt).cache
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(DECODED):
            past = step(model, prompt[:, :1], past).cache
    return found.key_averages().table(sort_by="self_cpu_time_total", row_limit=15, max_name_column_width=45)


def main(
    stage: str = "rtn@4bit",
    model: str = DEFAULT_MODEL,
    rounds: int = 2,
    profiled: Annotated[bool, typer.Option("--profile")] = False,
) -> None:
    network = load_model(identify(model))
    move(network, execution_device("cpu"))
    quantised = load_model(identify(model))
    (wanted,) = resolve_chain(parse(stage), ChainDefaults(None, None, 0))
    compress(quantised, wanted, None, "cpu", silent)
    best: dict[str, dict[tuple[str, int], float]] = {}
    for _ in range(rounds):
        with in_precision(network, DENSE):
            sides: dict[str, dict[tuple[str, int], float]] = {DENSE: figures(network, DENSE)}
        with packed(quantised) as how:
            if how is None:
                raise SystemExit(f"{stage} has no weights to pack; choose a stage of 8 bits or of at most 4.")
            sides[how] = figures(quantised, how)
        for side, found in sides.items():
            known = best.setdefault(side, found)
            best[side] = {name: min(value, known[name]) for name, value in found.items()}
    table = Table(title=f"{model}, {stage} packed against dense, {torch.get_num_threads()} threads")
    for column in ("", "batch", *best, "dense over packed"):
        table.add_column(column, justify="right" if column else "left")
    dense, other = best.values()
    for (metric, batch), value in dense.items():
        mine = other[metric, batch]
        table.add_row(f"{metric}, {UNITS[metric]}", str(batch), f"{value:.3g}", f"{mine:.3g}", f"{value / mine:.2f}")
    Console().print(table)
    if profiled:
        with in_precision(network, DENSE):
            typer.echo(decoding(network))
        with packed(quantised):
            typer.echo(decoding(quantised))


if __name__ == "__main__":
    run(main, SMOKE)
