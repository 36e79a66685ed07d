"""Perplexity compared with transformers' own loss, window by window, on one model in one run.

    python -m benchmarks.evaluation.perplexity [--texts wikitext2@2048:16,wikitext2@128:128,ptb-valid@128:128]

It prints seconds, the largest relative difference of a window's loss, and the peak memory besides the model. The sides
take turns after each text, so that other work on the machine affects both. In a run of the engine, windows of equal
length from several texts share forward passes; here each text runs alone.
"""

import time
from functools import partial

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import PreTrainedModel

from benchmarks.smoke import run
from core.base.memory import memory_growth, reuse_freed_memory
from core.base.progress import silent
from core.data.corpora import open_corpus
from core.data.windows import evaluation_windows
from core.evaluation.perplexity import TOKENS, perplexity
from core.models.parts.blocks import execution_device, move
from core.models.sources import identify, load_model, load_tokenizer
from core.request.stages import DEFAULT_MODEL
from core.specs import Perplexity

TEXTS = "wikitext2@2048:16,wikitext2@128:128,ptb-valid@128:128"
SMOKE = {"texts": "wikitext2@24:2,ptb-valid@24:2"}


@torch.inference_mode()
def plain(model: PreTrainedModel, windows: Tensor) -> list[float]:
    """Return transformers' loss of each window (L,)."""
    return [model(input_ids=window[None], labels=window[None]).loss.item() for window in windows]


def ours(model: PreTrainedModel, windows: Tensor) -> list[float]:
    (losses,) = perplexity(model, {"": windows}, silent)
    return list(-losses.samples["perplexity"])


SIDES = {"transformers": plain, "slimscope": ours}


def main(texts: str = TEXTS, model: str = DEFAULT_MODEL, dtype: str = "float32", device: str = "cpu") -> None:
    reuse_freed_memory()
    source, where = identify(model), execution_device(device)
    network, tokenizer = load_model(source, dtype), load_tokenizer(source)
    move(network, where)
    wanted = [Perplexity.parse(text) for text in texts.split(",")]
    windows = [evaluation_windows(open_corpus(p.corpus), tokenizer, p.window, p.windows).to(where) for p in wanted]

    table = Table(title=f"{source.id}, {dtype}, {torch.get_num_threads()} threads: seconds")
    for column in ("text", *SIDES, "faster", "difference", *(f"{side}, MB" for side in SIDES)):
        first = column == "text"
        table.add_column(column, justify="left" if first else "right", no_wrap=first, overflow="fold")
    totals = dict.fromkeys(SIDES, 0.0)
    for text, tokens in zip(wanted, windows, strict=True):
        seconds, losses, memory = {}, {}, {}
        some = tokens[: max(1, TOKENS[where.type] // text.window)]  # one batch of the engine
        for name, side in SIDES.items():
            growth = memory_growth(partial(side, network, some), where)  # also the warm-up
            memory[name] = "" if growth is None else f"{growth / 1e6:.0f}"
            started = time.perf_counter()
            losses[name] = side(network, tokens)
            seconds[name] = time.perf_counter() - started
            totals[name] += seconds[name]
            typer.echo(f"{text}: {name} {seconds[name]:.1f} s", err=True)
        pairs = zip(losses["slimscope"], losses["transformers"], strict=True)
        gap = max(abs(mine - theirs) / theirs for mine, theirs in pairs)
        ratio = seconds["transformers"] / seconds["slimscope"]
        times = (f"{seconds[side]:.1f}" for side in SIDES)
        table.add_row(str(text), *times, f"{ratio:.2f}x", f"{gap:.1e}", *memory.values())
    ratio = totals["transformers"] / totals["slimscope"]
    table.add_row("all", *(f"{totals[side]:.1f}" for side in SIDES), f"{ratio:.2f}x", "", "", "")
    Console().print(table)


if __name__ == "__main__":
    run(main, SMOKE)
