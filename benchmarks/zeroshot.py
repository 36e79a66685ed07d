"""Zero-shot scoring: shared prefixes against lm-evaluation-harness' HFLM, on one model object, in one run.

    python -m benchmarks.zeroshot [--docs 50] [--batches 8,16,32]

HFLM is run at each batch size and counts at the one that is fastest over all tasks. The sides take turns task by
task, so that what else the machine does hits both.
"""

import logging
import time
from collections import defaultdict

import typer
from lm_eval.api.model import TemplateLM
from lm_eval.models.huggingface import HFLM
from rich.console import Console
from rich.table import Table

from core.data.cards import SEVEN
from core.data.tasks import harness_tasks
from core.evaluation.scorer import SharedPrefixLM
from core.models.sources import identify, load_model, load_tokenizer
from core.request.stages import DEFAULT_MODEL

TIE = 1e-3  # choices closer than this may change places
OURS = "slimscope"


def main(docs: int = 50, batches: str = "8,16,32", model: str = DEFAULT_MODEL, dtype: str = "float32") -> None:
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    source = identify(model)
    network, tokenizer = load_model(source, dtype), load_tokenizer(source)
    sides: dict[str, TemplateLM] = {
        f"HFLM, batch {size}": HFLM(pretrained=network, tokenizer=tokenizer, batch_size=int(size))
        for size in batches.split(",")
    }
    sides[OURS] = SharedPrefixLM(network, tokenizer)
    tasks = harness_tasks(SEVEN)
    for task in tasks.values():
        task.build_all_requests(limit=docs)
    for lm in sides.values():  # first use of anything is not timed
        lm.loglikelihood(tasks["openbookqa"].instances[:8], disable_tqdm=True)

    seconds: dict[str, dict[str, float]] = defaultdict(dict)
    answers: dict[str, dict[str, list[tuple[float, bool]]]] = defaultdict(dict)
    for name, task in tasks.items():
        for side, lm in sides.items():
            started = time.perf_counter()
            answers[side][name] = lm.loglikelihood(task.instances, disable_tqdm=True)
            seconds[side][name] = time.perf_counter() - started
            typer.echo(f"{name}: {side} {seconds[side][name]:.1f} s")

    totals = {side: sum(times.values()) for side, times in seconds.items()}
    peer = min((side for side in sides if side != OURS), key=totals.get)
    table = Table(title=f"{model}, {dtype}, {docs} documents a task: seconds")
    for column in ("task", *sides, f"{OURS} is faster", "largest difference", "same answers"):
        table.add_column(column, justify="left" if column == "task" else "right")
    for name, task in tasks.items():
        times = [seconds[side][name] for side in sides]
        gap = max(abs(a - b) for (a, _), (b, _) in zip(answers[OURS][name], answers[peer][name], strict=True))
        same, of = agreement(task, answers[OURS][name], answers[peer][name], docs)
        ratio = seconds[peer][name] / seconds[OURS][name]
        table.add_row(name, *(f"{t:.1f}" for t in times), f"{ratio:.2f}x", f"{gap:.1e}", f"{same}/{of}")
    ratio = totals[peer] / totals[OURS]
    table.add_row("all seven", *(f"{totals[side]:.1f}" for side in sides), f"{ratio:.2f}x", "", "")
    Console().print(table)


def agreement(task, ours: list[tuple[float, bool]], theirs: list[tuple[float, bool]], docs: int) -> tuple[int, int]:
    """Return (documents with the same metrics on both sides, documents whose two best choices are no tie)."""
    same = of = start = 0
    for _, document in task.doc_iterator(limit=docs):
        part = slice(start, start := start + len(task.doc_to_choice(document)))
        if task.process_results(document, ours[part]) == task.process_results(document, theirs[part]):
            same, of = same + 1, of + 1
        else:
            second, best = sorted(score for score, _ in theirs[part])[-2:]
            of += best - second >= TIE
    return same, of


if __name__ == "__main__":
    typer.run(main)
