"""Ablation of SlimLLM on one model with the same calibration data.

    python -m benchmarks.methods.slimllm [--ratios 0.2,0.5] [--calibration c4-sample:32x128]
        [--perplexity wikitext2@128:128]

It prints the perplexity by setting and ratio, also for LoRAP, LLM-Pruner and neuron magnitude.
"""

from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.smoke import run
from core.amount import Ratio
from core.context import Context, StageInput
from core.data.corpora import open_corpus
from core.data.windows import calibration_windows, evaluation_windows, read_data
from core.engine.stages import apply
from core.evaluation.outcomes import summary
from core.evaluation.perplexity import perplexity
from core.memory import reuse_freed_memory
from core.models.sources import identify, load_model, load_tokenizer
from core.progress import silent
from core.request.stages import DEFAULT_MODEL, build_stage
from core.specs import Perplexity, TextWindows

SETTINGS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("SlimLLM", "slimllm", {}),
    ("without the swap search", "slimllm", {"greedy": False}),
    ("without regression", "slimllm", {"regression": "none"}),
    ("with a bias only", "slimllm", {"regression": "bias"}),
    ("all blocks alike", "slimllm", {"layer_ratio": "uniform"}),
    ("all blocks alike, without regression", "slimllm", {"layer_ratio": "uniform", "regression": "none"}),
    ("without the spared 1 %", "slimllm", {"spare_least": False}),
    ("whole groups of heads", "slimllm", {"attention": "groups"}),
    ("LoRAP", "lorap", {}),
    ("LLM-Pruner", "llm-pruner", {}),
    ("LLM-Pruner, no block spared", "llm-pruner", {"whole_first": 0.0, "whole_last": 0.0}),
    ("neuron magnitude", "neuron-magnitude", {}),
)
SMOKE = {"ratios": "0.3", "calibration": "c4-sample:4x24", "on": "wikitext2@24:2"}


def main(
    ratios: str = "0.2,0.5",
    calibration: str = "c4-sample:32x128",
    on: Annotated[str, typer.Option("--perplexity")] = "wikitext2@128:128",
    model: str = DEFAULT_MODEL,
) -> None:
    reuse_freed_memory()
    source = identify(model)
    tokenizer = load_tokenizer(source)
    wanted, data = Perplexity.parse(on), TextWindows.parse(calibration)
    tokens = calibration_windows(read_data(data), tokenizer, 0)
    texts = evaluation_windows(open_corpus(wanted.corpus), tokenizer, wanted.window, wanted.windows)
    shares = [float(ratio) for ratio in ratios.split(",")]
    table = Table(title=f"{source.id}, {on}, calibrated on {calibration}")
    table.add_column("setting")
    for ratio in shares:
        table.add_column(f"{ratio:.0%}", justify="right")
    for label, method, settings in SETTINGS:
        cells = []
        for ratio in shares:
            network = load_model(source, "float32")
            apply(
                network,
                StageInput(build_stage(method, Ratio(ratio), settings, data), tokens),
                Context(torch.device("cpu")),
            )
            (losses,) = perplexity(network, {wanted: texts}, silent)
            cells.append(f"{summary('perplexity', losses.samples)['value']:.2f}")
            typer.echo(f"{label}, {ratio:.0%}: {cells[-1]}", err=True)
        table.add_row(label, *cells)
    Console().print(table)


if __name__ == "__main__":
    run(main, SMOKE)
