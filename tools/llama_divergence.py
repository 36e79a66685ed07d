"""Comparison of the distance to a dense model with llama.cpp's: `python -m tools.llama_divergence TOOL ...`.

    python -m tools.llama_divergence build/bin/llama-perplexity dense.gguf variant.gguf smollm2-135m variant/

TOOL is llama.cpp's `llama-perplexity`. It computes the log-probabilities of the dense GGUF file, stores them in a base
file, and compares the other GGUF file with them (`--kl-divergence`). Slimscope compares the two models that the files
contain, on the same tokens. llama.cpp only scores the second half of each window, so both sides do.
docs/benchmarks.md describes the build, and the differences to expect.
"""

import os
import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated
from unittest.mock import patch

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from core.base.progress import silent
from core.data.corpora import open_corpus
from core.data.windows import evaluation_windows
from core.evaluation.dense_outputs import DenseOutputs
from core.evaluation.divergence import DenseText
from core.evaluation.outcomes import TAIL
from core.evaluation.perplexity import read_states, window_losses
from core.evaluation.states import final_states
from core.models.sources import identify, load_model, load_tokenizer
from core.specs import Perplexity, sha256
from tools.llama_base import BaseFile, first_scored, read_base

LEAST = -16.0  # llama.cpp leaves out tokens whose dense log-probability is lower
KL, KL_P99, AGREEMENT, RATIO = "mean KL, nats", "99 % quantile of KL, nats", "same best token, %", "ln of PPL ratio"
PRINTED = {
    KL: r"Mean +KLD: +(\S+)",
    KL_P99: r"99\.0% +KLD: +(\S+)",
    AGREEMENT: r"Same top p: +(\S+)",
    RATIO: r"Mean ln\(PPL\(Q\)/PPL\(base\)\) *: +(\S+)",
}  # in llama.cpp's output


def printed_measures(output: str) -> dict[str, float]:
    """Return the measures in the output of llama.cpp."""
    values = {}
    for name, pattern in PRINTED.items():
        if (match := re.search(pattern, output)) is None:
            raise SystemExit(
                f"llama.cpp printed no {name}; it needs 100 scored tokens. Its output ends:\n{output[-500:]}"
            )
        values[name] = float(match[1])
    return values


def llama_output(tool: Path, *arguments: object) -> str:
    """Return the output of llama.cpp's program."""
    done = subprocess.run([tool, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    output = done.stdout.decode(errors="replace")
    if done.returncode:
        raise SystemExit(f"{tool} failed:\n{output[-500:]}")
    return output


def own_measures(other: PreTrainedModel, windows: Tensor, dense: DenseText) -> dict[str, float]:
    """Return Slimscope's measures at the positions that llama.cpp scores on windows (N, L)."""
    length, first = windows.shape[1], first_scored(windows.shape[1])
    kl, agrees, losses, dense_losses = [], [], [], []
    for place, window in enumerate(windows):
        read = read_states(other, final_states(other, window[None]), window[None], [dense.window(place)])
        assert read.divergence
        kl.append(read.divergence.kl[0, first:])
        agrees.append(read.divergence.agrees[0, first:])
        (half,) = window_losses(other, window[None, : first + 1])  # of the positions that llama.cpp leaves out
        losses.append(((length - 1) * read.losses[0] - first * half) / (length - 1 - first))
        dense_losses.append(cross_entropy(scored_logits(dense, place), window[first + 1 :]).item())
    values = torch.cat(kl).double().numpy()
    return {
        KL: float(values.mean()),
        KL_P99: float(np.quantile(values, TAIL)),
        AGREEMENT: 100 * torch.cat(agrees).double().mean().item(),
        RATIO: float(np.mean(losses) - np.mean(dense_losses)),
    }


def scored_logits(dense: DenseText, window: int) -> Tensor:
    """Return the dense logits at the scored positions of a window, (scored, V)."""
    states = dense.states[window]  # (L - 1, hidden)
    return dense.head.logits(states[first_scored(len(states) + 1) :], 0, len(dense.head.weight))


def between_runtimes(base: BaseFile, dense: DenseText) -> float:
    """Return the mean KL divergence from the dense model in llama.cpp to the one in Slimscope.

    Without the tokens that llama.cpp leaves out, it can be slightly negative.
    """
    sums = []
    for window in range(len(base.tokens)):
        theirs, ours = base.log_probabilities(window), scored_logits(dense, window).log_softmax(1)  # (scored, V)
        sums.append((theirs.exp() * (theirs - ours)).where(theirs > LEAST, 0).sum(1))
    return torch.cat(sums).double().mean().item()


def compare(
    tool: Path, files: tuple[Path, Path], models: tuple[str, str], text: Perplexity
) -> tuple[dict[str, float], dict[str, float], float]:
    """Return llama.cpp's measures, Slimscope's, and the divergence of the dense model between them.

    Args:
        tool: llama.cpp's program.
        files: GGUF files of the dense model and the other one.
        models: The same models, as `core.models.sources.identify` accepts them.
        text: The windows to compare on.
    """
    sources = [identify(model) for model in models]
    tokenizer, corpus = load_tokenizer(sources[0]), open_corpus(text.corpus)
    windows = evaluation_windows(corpus, tokenizer, text.window, text.windows)
    dense_model, other = map(load_model, sources)
    with TemporaryDirectory() as temporary:
        base_file, text_file = Path(temporary, "base"), Path(temporary, "text")
        text_file.write_text(corpus.text, encoding="utf-8")
        options = ("--kl-divergence-base", base_file, "-f", text_file, "-c", text.window, "--chunks", len(windows))
        llama_output(tool, "-m", files[0], *options)
        theirs = printed_measures(llama_output(tool, "-m", files[1], *options, "--kl-divergence"))
        base = read_base(base_file)
        # llama.cpp replaces the first token of each window by the begin token if the tokenizer adds one.
        if tokenizer("").input_ids or not torch.equal(base.tokens, windows):
            raise SystemExit(f"llama.cpp reads other tokens of {text} than Slimscope, so the two cannot be compared.")
        with patch.dict(os.environ, {"SLIMSCOPE_CACHE": temporary}):
            dense = DenseOutputs(sha256(sources[0].revision), "float32", lambda: dense_model).of(windows, silent, "")
        return theirs, own_measures(other, windows, dense), between_runtimes(base, dense)


def main(
    tool: Annotated[Path, typer.Argument(help="llama.cpp's llama-perplexity.")],
    dense_file: Annotated[Path, typer.Argument(help="GGUF file of the dense model.")],
    other_file: Annotated[Path, typer.Argument(help="GGUF file of the other model.")],
    dense: Annotated[str, typer.Argument(help="The dense model: catalogue id, folder, or Hugging Face id.")],
    other: Annotated[str, typer.Argument(help="The other model.")],
    text: Annotated[str, typer.Option(help="Windows of a text.")] = "wikitext2@512:8",
) -> None:
    """Compare the distance to a dense model with llama.cpp's on the same tokens."""
    theirs, ours, between = compare(tool.resolve(), (dense_file, other_file), (dense, other), Perplexity.parse(text))
    table = Table(title=f"{other_file.name} to {dense_file.name} on {text}")
    for column in ("measure", "llama.cpp", "Slimscope", "difference"):
        table.add_column(column, justify="left" if column == "measure" else "right")
    for name, value in ours.items():
        table.add_row(name, f"{theirs[name]:.6f}", f"{value:.6f}", f"{value - theirs[name]:.6f}")
    console = Console(width=120)
    console.print(table)
    console.print(f"Mean KL of the dense model between llama.cpp and Slimscope: {between:.6f} nats")


if __name__ == "__main__":
    typer.run(main)
