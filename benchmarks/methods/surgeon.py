"""Optimal Brain Surgeon and its approximations on the linears of some blocks, all with the same dense inputs.

    python -m benchmarks.methods.surgeon [--windows 16] [--blocks 0,14,29]

It prints each linear's squared output error over the squared output, and each method's seconds and iterations.
"""

import time
from collections import defaultdict

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.smoke import run
from core.base.memory import reuse_freed_memory
from core.context import Context
from core.data.corpora import default_corpora
from core.data.windows import calibration_windows, read_data
from core.engine.walking.walker import make_walker
from core.methods.linear import Compressed, LinearMethod, Statistics, Target
from core.methods.unstructured.adaprune import AdaPrune
from core.methods.unstructured.alps import ALPS
from core.methods.unstructured.obs import OBS
from core.methods.unstructured.sparsegpt import SparseGPT
from core.models.parts.blocks import Linear, find_blocks
from core.models.sources import identify, load_model, load_tokenizer
from core.request.stages import DEFAULT_MODEL
from core.specs import TextWindows

RATIO = 0.5
SIDES = ("SparseGPT", "SparseGPT + AdaPrune", "ALPS", "OBS")
HESSIAN = {"SparseGPT": SparseGPT, "ALPS": ALPS, "OBS": OBS}
SMOKE = {"windows": 2, "window": 24, "blocks": "0"}


def main(windows: int = 16, window: int = 2048, blocks: str = "0,14,29", model: str = DEFAULT_MODEL) -> None:
    source = identify(model)
    text = TextWindows(corpus=default_corpora()[1], windows=windows, window=window)
    tokens = calibration_windows(read_data(text), load_tokenizer(source), 0)
    network = load_model(source, "float32")
    reuse_freed_memory()
    found, wanted = find_blocks(network), [int(index) for index in blocks.split(",")]
    linears = [linear for linear in found.all_linears() if linear.block in wanted]
    table = Table(title=f"Layer losses at {RATIO:.0%}, {source.id}, {windows} windows of {window}")
    for column in ("linear", *SIDES):
        table.add_column(column, justify="left" if column == "linear" else "right")
    seconds: dict[str, float] = defaultdict(float)
    iterations: dict[str, list[int]] = defaultdict(list)
    worse: list[str] = []

    def compare(linear: Linear, statistics: Statistics, sample: torch.Tensor | None) -> None:
        gram, weight = statistics.gram, linear.weight
        losses: dict[str, float] = {}

        def run(side: str, method: LinearMethod, start: torch.Tensor, target: Target) -> Compressed:
            started = time.perf_counter()
            result = method.compress(start.clone(), Statistics(statistics.tokens, {"gram": gram}), target)
            seconds[side] += time.perf_counter() - started
            gap = (result.weight - weight).double()
            losses[side] = float(((gap @ gram.double()) * gap).sum() / ((weight @ gram) * weight).double().sum())
            if result.note and result.note.endswith("iterations"):
                iterations[side].append(int(result.note.split()[0]))
            return result

        for side, method in HESSIAN.items():
            done = run(side, method(), weight, Target(RATIO))
            if side == "SparseGPT":
                run(SIDES[1], AdaPrune(), done.weight, Target(0.0, zeros=done.zeros, reference=weight))
        table.add_row(linear.name, *(f"{losses[side]:.3g}" for side in SIDES))
        print(linear.name, *(f"{side} {losses[side]:.3g}" for side in SIDES), flush=True)
        if losses["OBS"] > losses["SparseGPT"]:
            worse.append(linear.name)

    make_walker(
        network, found, tokens, OBS().required_statistics, Context(torch.device("cpu")), linears, true_sequential=False
    ).walk(linears, compare)
    seconds[SIDES[1]] += seconds["SparseGPT"]  # it starts from SparseGPT's result
    Console().print(table)
    for side in SIDES:
        of = iterations[side]
        steps = f", {min(of)} to {max(of)} iterations" if of else ""
        print(f"{side}: {seconds[side]:.1f} s, x {seconds[side] / seconds['SparseGPT']:.2f} of SparseGPT{steps}")
    print(f"Linears in which OBS has a larger error than SparseGPT: {', '.join(worse) or 'none'}.")


if __name__ == "__main__":
    run(main, SMOKE)
