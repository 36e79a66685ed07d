"""Training speed compared with `transformers.Trainer` and PEFT, with equal adapters, batches and steps, in one run.

    python -m benchmarks.running.training [--steps 2] [--batch 16] [--length 256] [--rank 8] [--repeats 3]

The sides take turns, so that changes of the machine's speed affect all of them. It prints the median tokens per second
of each side, ours relative to the faster Trainer, and the mean training losses.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import PreTrainedModel, Trainer, TrainingArguments

from benchmarks.smoke import run
from core.base.memory import reuse_freed_memory
from core.base.progress import silent
from core.data.corpora import default_corpora
from core.data.windows import calibration_windows, read_data
from core.models.parts.blocks import find_blocks
from core.models.sources import identify, load_model, load_tokenizer
from core.request.stages import DEFAULT_MODEL
from core.specs import TextWindows
from core.training.adapters import add_adapters
from core.training.examples import Batch, Example, Examples
from core.training.loop import Budget, train
from core.training.losses import text_loss

ALPHA, LEARNING_RATE = 16, 1e-4
SMOKE = {"steps": 1, "batch": 2, "length": 24, "rank": 2, "repeats": 1}


def ours(model: PreTrainedModel, windows: Tensor, steps: int, batch: int, rank: int) -> tuple[float, float]:
    """Return (seconds, mean loss) of `steps` steps; the time includes the held-out losses of one window."""
    parameters = add_adapters(model, rank, ALPHA, 0.0, 0)

    def loss(part: Batch) -> Tensor:
        return text_loss(model, part)

    examples = Examples([Example(window) for window in windows], batch, 1, 0)
    started = time.perf_counter()
    done = train(model, parameters, loss, examples, Budget(steps), LEARNING_RATE, 0, silent)
    return time.perf_counter() - started, sum(value for _, value in done.losses) / len(done.losses)


def peer(model: PreTrainedModel, windows: Tensor, steps: int, batch: int, rank: int, micro: int) -> tuple[float, float]:
    """Return (seconds, mean loss) of the Trainer with `micro` windows per forward pass."""
    names = [linear.name for linear in find_blocks(model).all_linears()]
    adapted = get_peft_model(model, LoraConfig(r=rank, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=names))
    rows = [{"input_ids": window, "labels": window} for window in windows]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=batch // micro,
            max_steps=steps,
            learning_rate=LEARNING_RATE,
            use_cpu=not torch.cuda.is_available(),
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        trainer = Trainer(model=adapted, args=arguments, train_dataset=rows)
        started = time.perf_counter()
        loss = trainer.train().training_loss
        return time.perf_counter() - started, loss


def main(
    steps: int = 2,
    batch: int = 16,
    length: int = 256,
    rank: int = 8,
    repeats: int = 3,
    model: str = DEFAULT_MODEL,
) -> None:
    reuse_freed_memory()
    source = identify(model)
    corpus = default_corpora()[1]
    wanted = TextWindows(corpus=corpus, windows=steps * batch + 1, window=length)
    windows = calibration_windows(read_data(wanted), load_tokenizer(source), 0)
    work: dict[str, Any] = {"windows": windows, "steps": steps, "batch": batch, "rank": rank}
    sides: dict[str, Callable[..., tuple[float, float]]] = {
        f"Trainer + PEFT, {micro} at once": partial(peer, **work, micro=micro)
        for micro in [size for size in (8, 4, 2, 1) if batch % size == 0][:2]
    }
    sides["Slimscope"] = partial(ours, **work)
    tokens = steps * batch * length
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    losses = {}
    for _ in range(repeats):
        for name, side in sides.items():
            seconds, losses[name] = side(load_model(source))
            speeds[name].append(tokens / seconds)
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    fastest = max(value for name, value in medians.items() if name != "Slimscope")
    table = Table(
        title=f"{source.id}, {steps} steps of {batch} windows of {length} tokens of {corpus}, rank {rank}, "
        f"median of {repeats} in turn"
    )
    for name in ("side", "tokens / s", "range", "mean loss", "x Trainer"):
        table.add_column(name, justify="left" if name == "side" else "right")
    for name, found in speeds.items():
        ratio = f"{medians[name] / fastest:.2f}" if name == "Slimscope" else ""
        spread = f"{min(found):.0f} to {max(found):.0f}"
        table.add_row(name, f"{medians[name]:.0f}", spread, f"{losses[name]:.3f}", ratio)
    Console().print(table)


if __name__ == "__main__":
    run(main, SMOKE)
