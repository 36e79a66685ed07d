"""SparseGPT at 50 %, compared with the reference's two-pass form and llm-compressor in one run.

    python -m benchmarks.methods.sparsegpt [--windows 16] [--llmcompressor PYTHON]

PYTHON is the interpreter of an environment with llm-compressor (`benchmarks.methods.peer`).
"""

import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel

from benchmarks.methods.peer import compress
from benchmarks.methods.two_pass import prune_two_pass
from benchmarks.smoke import run
from core.amount import Ratio
from core.base.memory import reuse_freed_memory
from core.base.progress import silent
from core.context import Context, StageInput
from core.data.corpora import default_corpora, open_corpus
from core.data.windows import calibration_windows, evaluation_windows, read_data
from core.engine.stages import apply
from core.evaluation.outcomes import summary
from core.evaluation.perplexity import perplexity
from core.models.sources import identify, load_model, load_tokenizer
from core.request.stages import DEFAULT_MODEL, build_stage
from core.specs import TextWindows

RATIO = 0.5
SMOKE = {"windows": 2, "window": 24}


def main(windows: int = 16, window: int = 2048, llmcompressor: Path | None = None, model: str = DEFAULT_MODEL) -> None:
    source = identify(model)
    tokenizer = load_tokenizer(source)
    evaluation, corpus = default_corpora()
    calibration = TextWindows(corpus=corpus, windows=windows, window=window)
    tokens = calibration_windows(read_data(calibration), tokenizer, 0)
    texts = evaluation_windows(open_corpus(evaluation), tokenizer, window, windows)
    rows: list[tuple[str, float, float]] = []

    def measured(side: str, seconds: float, model: PreTrainedModel) -> None:
        (losses,) = perplexity(model.float(), {evaluation: texts}, silent)
        rows.append((side, seconds, summary("perplexity", losses.samples)["value"]))
        print(f"{side}: {seconds:.1f} s, perplexity {rows[-1][2]:.2f}", flush=True)

    def engine(dtype: str, **settings: bool) -> tuple[float, PreTrainedModel]:
        model = load_model(source, dtype)
        reuse_freed_memory()  # as in every run of the engine
        stage = build_stage("sparsegpt", Ratio(RATIO), settings=settings, calibration=calibration)
        started = time.perf_counter()
        apply(model, StageInput(stage, tokens), Context(torch.device("cpu")))
        return time.perf_counter() - started, model

    reference = load_model(source, "float32")
    started = time.perf_counter()
    prune_two_pass(reference, tokens, RATIO)
    measured("two-pass reference, float32", time.perf_counter() - started, reference)
    measured("slimscope, float32", *engine("float32"))
    measured("slimscope, bfloat16", *engine("bfloat16"))
    measured("slimscope, reference form, float32", *engine("float32", true_sequential=False))
    if llmcompressor is not None:
        measured("llmcompressor, float32", *compress(llmcompressor, source, tokens, "sparsegpt", str(RATIO)))

    table = Table(
        title=f"SparseGPT 50 %, {source.id}, {windows} windows of {window}, {torch.get_num_threads()} threads"
    )
    for column in ("side", "seconds", "perplexity", "time / slimscope float32"):
        table.add_column(column, justify="left" if column == "side" else "right")
    ours = next(seconds for side, seconds, _ in rows if side == "slimscope, float32")
    for side, seconds, value in rows:
        table.add_row(side, f"{seconds:.1f}", f"{value:.2f}", f"{seconds / ours:.2f}")
    Console().print(table)


if __name__ == "__main__":
    run(main, SMOKE)
