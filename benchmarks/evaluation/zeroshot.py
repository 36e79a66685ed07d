"""Zero-shot scoring with shared prefixes, compared with lm-evaluation-harness' HFLM on one model in one run.

    python -m benchmarks.evaluation.zeroshot [--docs 50] [--batches 8,16,32]

HFLM runs at each batch size; the one that is fastest over all tasks counts. The floor is the minimum work of any
scorer: one plain forward pass over our tokens in batches of the fastest shape, and the output head at the scored
positions. The benchmark also runs ours in bf16 and prints the changes of its answers. The sides take turns task by
task, so that other work on the machine affects all of them.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from itertools import chain

import pandas as pd
import torch
import typer
from lm_eval.models.huggingface import HFLM
from rich.console import Console
from rich.table import Table

from benchmarks.smoke import run
from core.base.memory import reuse_freed_memory
from core.data.cards import SEVEN, TASKS
from core.data.tasks import harness_tasks
from core.evaluation.scorer import SharedPrefixLM
from core.evaluation.zeroshot import Encoded, Part, judge
from core.findings.numbers.paired import Difference, difference, mean_difference
from core.models.sources import identify, load_model, load_tokenizer
from core.request.stages import DEFAULT_MODEL

TIE = 1e-3  # nats; the order of two choices within this distance may differ
OURS, FLOOR, HALF = "slimscope", "floor", "slimscope, bf16"
SHAPES = ((4, 128), (8, 64), (16, 64), (32, 64))  # (rows, tokens) of the floor's batches
POSITIONS = 512  # per batch of the floor's output head
SMOKE = {"docs": 2, "batches": "1,2"}


def main(docs: int = 50, batches: str = "8,16,32", model: str = DEFAULT_MODEL) -> None:
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    reuse_freed_memory()  # as in every run
    source = identify(model)
    network, tokenizer = load_model(source, "float32"), load_tokenizer(source)
    peers = {
        f"HFLM, batch {size}": HFLM(pretrained=network, tokenizer=tokenizer, batch_size=int(size))
        for size in batches.split(",")
    }
    ours = SharedPrefixLM(network, tokenizer)
    lms = {**peers, OURS: ours, HALF: SharedPrefixLM(load_model(source, "bfloat16"), tokenizer)}
    tasks = harness_tasks(SEVEN)
    for task in tasks.values():
        task.build_all_requests(limit=docs)
    for lm in lms.values():  # warm-up
        lm.loglikelihood(tasks["openbookqa"].instances[:8], disable_tqdm=True)
    shape = min(SHAPES, key=lambda shape: least(network, shape, 32 * 64, 0))

    seconds: dict[str, dict[str, float]] = defaultdict(dict)
    samples: dict[str, dict[str, pd.DataFrame]] = defaultdict(dict)
    for name, task in tasks.items():
        tokens, positions = ours.tokens, ours.positions
        for side, lm in lms.items():
            started = time.perf_counter()
            answers = lm.loglikelihood(task.instances, disable_tqdm=True)
            seconds[side][name] = time.perf_counter() - started
            samples[side][name] = judged(task, docs, answers)
            if side == OURS:
                seconds[FLOOR][name] = least(network, shape, ours.tokens - tokens, ours.positions - positions)
            typer.echo(f"{name}: {side} {seconds[side][name]:.1f} s")

    totals = {side: sum(times.values()) for side, times in seconds.items()}
    peer = min(peers, key=totals.__getitem__)
    about = f"{model}, {docs} documents a task"
    show_seconds(f"{about}; {ours.tokens} tokens, floor in batches of {shape}: seconds", seconds, totals, peer)
    show_answers(f"{about}: {OURS} against {peer}", samples[OURS], samples[peer])
    show_half(f"{about}: bf16 against fp32", samples[HALF], samples[OURS])


@torch.inference_mode()
def least(network, shape: tuple[int, int], tokens: int, positions: int) -> float:
    """Return the seconds of a plain forward pass over `tokens` tokens and of the head at `positions` positions."""
    rows, length = shape
    batch = torch.randint(network.config.vocab_size, (rows, length))
    hidden = torch.randn(POSITIONS, network.config.hidden_size)
    started = time.perf_counter()
    for start in range(0, tokens, rows * length):
        rest = min(rows * length, tokens - start)
        count = -(-rest // length)  # rows; the last batch is smaller
        network.base_model(input_ids=batch[:count, : rest // count], use_cache=False)
    for start in range(0, positions, POSITIONS):
        network.get_output_embeddings()(hidden[: positions - start])
    return time.perf_counter() - started


def judged(task, docs: int, answers: list[tuple[float, bool]]) -> pd.DataFrame:
    """Return the samples of `core.evaluation.zeroshot.TaskOutcome`."""
    documents = [document for _, document in task.doc_iterator(limit=docs)]
    encoded: list[list[Encoded]] = [[([], [])] * len(task.doc_to_choice(document)) for document in documents]
    return judge([Part(task, documents, encoded, None)], answers)


def show_seconds(title: str, seconds: dict[str, dict[str, float]], totals: dict[str, float], peer: str) -> None:
    def row(name: str, of: Mapping[str, float]) -> list[str]:
        ratios = [of[OURS] / of[FLOOR], of[peer] / of[OURS], of[peer] / of[HALF]]
        return [name, *(f"{of[side]:.1f}" for side in totals), *(f"{ratio:.2f}x" for ratio in ratios)]

    rows = [row(name, {side: seconds[side][name] for side in totals}) for name in seconds[OURS]]
    show(
        title,
        ["task", *totals, f"{OURS} / {FLOOR}", f"{peer} / {OURS}", f"{peer} / {HALF}"],
        [*rows, row("all seven", totals)],
    )


def show_answers(title: str, ours: dict[str, pd.DataFrame], theirs: dict[str, pd.DataFrame]) -> None:
    rows = []
    for name, mine in ours.items():
        same, of = agreement(mine, theirs[name])
        rows.append([name, f"{largest(mine, theirs[name]):.1e}", f"{same}/{of}"])
    show(title, ["task", "largest difference", "same answers"], rows)


def show_half(title: str, half: dict[str, pd.DataFrame], full: dict[str, pd.DataFrame]) -> None:
    def row(name: str, changed: float, gap: float, found: Difference) -> list[str]:
        return [
            name,
            f"{changed:.1%}",
            f"{gap:.2f}",
            f"{100 * found.difference:+.2f}",
            f"{100 * (found.stderr or 0):.2f}",
        ]

    rows, every, changes = [], [], []
    for name, mine in half.items():
        every.append(difference(TASKS[name].metric, full[name], mine))
        changes.append((mine["prediction"] != full[name]["prediction"]).mean())
        rows.append(row(name, changes[-1], largest(mine, full[name]), every[-1]))
    gap = max(largest(mine, full[name]) for name, mine in half.items())
    rows.append(row("all seven", sum(changes) / len(changes), gap, mean_difference(every)))
    show(title, ["task", "answers that change", "largest difference", "accuracy, points", "standard error"], rows)


def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="left" if column == "task" else "right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def largest(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """Return the largest difference of a log-likelihood, in nats."""
    every = (chain.from_iterable(frame["loglikelihoods"]) for frame in (first, second))
    return max(abs(a - b) for a, b in zip(*every, strict=True))


def agreement(ours: pd.DataFrame, theirs: pd.DataFrame) -> tuple[int, int]:
    """Return (documents with equal metrics on both sides, these and documents whose two best choices are no tie)."""
    metrics = [name for name in ("acc", "acc_norm") if name in ours]
    same = (ours[metrics] == theirs[metrics]).all(axis=1)
    best = theirs["loglikelihoods"].map(sorted)
    tied = best.map(lambda scores: scores[-1] - scores[-2] < TIE)
    return int(same.sum()), int((same | ~tied).sum())


if __name__ == "__main__":
    run(main, SMOKE)
