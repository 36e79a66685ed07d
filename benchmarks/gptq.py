"""GPTQ at a few bits, symmetric groups of 64: the engine against llm-compressor, all in one run.

    python -m benchmarks.gptq [--llmcompressor PYTHON] [--bits 4,3] [--windows 16]

PYTHON is the interpreter of an environment that has llm-compressor (`benchmarks.peer`). Beside each perplexity
stands ours as a multiple of theirs, with its interval over the windows that both read. Scales follow llm-compressor's
rule, `grid=range`. The engine is there also in llm-compressor's form, in which no linear sees what was done to those
before it in its block, and with its own signed scales.
"""

import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel

from benchmarks.peer import compress
from benchmarks.smoke import run
from core.analysis.paired import difference
from core.context import Context, StageInput
from core.correlations import error_of
from core.data.corpora import calibration_windows, default_corpora, evaluation_windows
from core.engine.stages import apply
from core.evaluation.perplexity import perplexity
from core.memory import reuse_freed_memory
from core.models.sources import identify, load_model, load_tokenizer
from core.outcomes import summary
from core.progress import silent
from core.request.stages import DEFAULT_MODEL, build_stage
from core.specs import TextWindows

PEER = "llm-compressor"
Windows = Annotated[int, typer.Option(min=2, help="An interval is made of two or more.")]
COLUMNS = ("bits", "side", "seconds", "perplexity", "perplexity / peer's", "peer's time / this")
SMOKE = {"bits": "4", "windows": 2, "window": 24, "group_size": 16}


def main(
    llmcompressor: Path | None = None,
    bits: str = "4,3",
    windows: Windows = 16,
    window: int = 2048,
    group_size: Annotated[int, typer.Option(help="Of the engine; llm-compressor has groups of 64.")] = 64,
    model: str = DEFAULT_MODEL,
) -> None:
    source = identify(model)
    tokenizer = load_tokenizer(source)
    evaluation, corpus = default_corpora()
    calibration = TextWindows(corpus=corpus, windows=windows, window=window)
    tokens = calibration_windows(calibration, tokenizer, 0)  # (windows, window)
    texts = evaluation_windows(evaluation, tokenizer, window, windows)
    table = Table(title=f"GPTQ, {source.id}, {windows} windows of {window}, {torch.get_num_threads()} threads")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "side" else "right")

    def engine(amount: str, **settings: bool | str) -> tuple[float, PreTrainedModel]:
        model = load_model(source, "float32")
        reuse_freed_memory()  # as every run of the engine does
        stage = build_stage(
            "gptq",
            None,
            pattern=f"{amount}bit",
            settings={"grid": "range", "group_size": group_size} | settings,
            calibration=calibration,
        )
        started = time.perf_counter()
        apply(model, StageInput(stage, tokens), Context(torch.device("cpu")))
        return time.perf_counter() - started, model

    error = error_of(evaluation, {"window": window, "windows": windows}, "differences")
    for amount in bits.split(","):
        sides = {
            "slimscope": engine(amount),
            "slimscope, reference form": engine(amount, true_sequential=False),
            "slimscope, signed scales": engine(amount, grid="signed"),
        }
        if llmcompressor is not None:
            sides = {PEER: compress(llmcompressor, source, tokens, "gptq", amount)} | sides
        read = {
            side: next(perplexity(model, {evaluation: texts}, silent)).samples for side, (_, model) in sides.items()
        }
        for side, (seconds, _) in sides.items():
            row = [amount, side, f"{seconds:.1f}", f"{summary('perplexity', read[side])['value']:.2f}"]
            if side != PEER and PEER in sides:
                told = difference("perplexity", read[PEER], read[side], error)
                row += [f"{told.ratio:.3f} ({told.ratio_low:.3f} to {told.ratio_high:.3f})"]
                row += [f"{sides[PEER][0] / seconds:.2f}"]
            table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    run(main, SMOKE)
