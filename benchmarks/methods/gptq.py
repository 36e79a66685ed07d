"""GPTQ at a few bits in symmetric groups of 64, compared with llm-compressor in one run.

    python -m benchmarks.methods.gptq [--llmcompressor PYTHON] [--bits 4,3] [--windows 16]

PYTHON is the interpreter of an environment with llm-compressor (`benchmarks.methods.peer`). The table also has the
ratio of perplexities, with its interval over the windows. Scales follow llm-compressor's rule, `grid=range`. Two more
rows are the engine in llm-compressor's form, in which the linears of a block get inputs from its uncompressed
linears, and the engine with signed scales.
"""

import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel

from benchmarks.methods.peer import compress
from benchmarks.smoke import run
from core.amount import Amount
from core.base.memory import reuse_freed_memory
from core.base.progress import silent
from core.context import Context, StageInput
from core.data.corpora import default_corpora, open_corpus
from core.data.windows import calibration_windows, evaluation_windows, read_data
from core.engine.stages import apply
from core.evaluation.outcomes import summary
from core.evaluation.perplexity import perplexity
from core.findings.numbers.paired import difference
from core.models.sources import identify, load_model, load_tokenizer
from core.request.stages import DEFAULT_MODEL, build_stage
from core.specs import TextWindows
from core.statistics.correlations import DIFFERENCES, error_of

PEER = "llm-compressor"
Windows = Annotated[int, typer.Option(min=2, help="Number of windows; an interval needs at least two.")]
COLUMNS = ("bits", "side", "seconds", "perplexity", "perplexity / peer's", "peer's time / this")
SMOKE = {"bits": "4", "windows": 2, "window": 24, "group_size": 16}


def main(
    llmcompressor: Path | None = None,
    bits: str = "4,3",
    windows: Windows = 16,
    window: int = 2048,
    group_size: Annotated[int, typer.Option(help="Group size of the engine; that of llm-compressor is 64.")] = 64,
    model: str = DEFAULT_MODEL,
) -> None:
    source = identify(model)
    tokenizer = load_tokenizer(source)
    evaluation, corpus = default_corpora()
    calibration = TextWindows(corpus=corpus, windows=windows, window=window)
    tokens = calibration_windows(read_data(calibration), tokenizer, 0)  # (windows, window)
    texts = evaluation_windows(open_corpus(evaluation), tokenizer, window, windows)
    table = Table(title=f"GPTQ, {source.id}, {windows} windows of {window}, {torch.get_num_threads()} threads")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "side" else "right")

    def engine(amount: str, **settings: bool | str) -> tuple[float, PreTrainedModel]:
        model = load_model(source, "float32")
        reuse_freed_memory()  # as in every run of the engine
        stage = build_stage(
            "gptq",
            Amount.parse(f"{amount}bit"),
            settings={"grid": "range", "group_size": group_size, **settings},
            calibration=calibration,
        )
        started = time.perf_counter()
        apply(model, StageInput(stage, tokens), Context(torch.device("cpu")))
        return time.perf_counter() - started, model

    error = error_of(evaluation, {"window": window, "windows": windows}, DIFFERENCES["perplexity"])
    for amount in bits.split(","):
        sides = {
            "slimscope": engine(amount),
            "slimscope, reference form": engine(amount, true_sequential=False),
            "slimscope, signed scales": engine(amount, grid="signed"),
        }
        if llmcompressor is not None:
            sides = {PEER: compress(llmcompressor, source, tokens, "gptq", amount)} | sides
        samples = {
            side: next(perplexity(model, {evaluation: texts}, silent)).samples for side, (_, model) in sides.items()
        }
        for side, (seconds, _) in sides.items():
            row = [amount, side, f"{seconds:.1f}", f"{summary('perplexity', samples[side])['value']:.2f}"]
            if side != PEER and PEER in sides:
                paired = difference("perplexity", samples[PEER], samples[side], error)
                row += [f"{paired.ratio:.3f} ({paired.ratio_low:.3f} to {paired.ratio_high:.3f})"]
                row += [f"{sides[PEER][0] / seconds:.2f}"]
            table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    run(main, SMOKE)
