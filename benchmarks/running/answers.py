"""Time to the first token of an answer against transformers' own `generate`, and memory after many variants.

    python -m benchmarks.running.answers [--model smollm2-135m] [--variants 10] [--prompt-tokens 64] [--rounds 20]

The sides take turns, so that other work on the machine affects both. A time is the best of the rounds, and CPU time is
of all threads. Both start from the same token ids and end with the same token. The second table is of a new process
that answers with one variant after another: its resident memory before, after each, and the bound of its models. The
variants are magnitude pruning at different ratios, in a cache of their own.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.smoke import run
from core.amount import Ratio
from core.answers.models import MEMORY_SHARE, MOST_LOADED, LoadedModels, load
from core.answers.question import Event, Question
from core.answers.worker import Worker
from core.base.memory import machine_bytes
from core.base.paths import cache_dir
from core.base.progress import silent
from core.engine.session import Session
from core.engine.variants import make_variant
from core.evaluation.generation.generate import generate
from core.evaluation.generation.sampling import Sampling
from core.jobs.processes import child_environment
from core.models.sources import identify, load_tokenizer
from core.request.stages import DEFAULT_MODEL, build_stage
from core.specs import RunSpec, VariantSpec
from core.store.store import Store

MB = 1e6
GROWTH = 100  # MB of the program's own code and activations, once it has answered
SMOKE = {"variants": 5, "prompt_tokens": 8, "rounds": 1}


def first_token(spec: VariantSpec, length: int, rounds: int) -> tuple[dict[str, tuple[float, float]], int]:
    """Return the least seconds and CPU seconds to the first token of both sides, and the bytes of the model."""
    loaded = load(spec)
    draw = torch.Generator().manual_seed(0)
    prompt = torch.randint(10, loaded.model.config.vocab_size, (1, length), generator=draw)  # (1, L)
    mask = torch.ones_like(prompt)  # (1, L)
    everything: Any = loaded.model.generate  # Any: its declared type is that of a tensor

    def ours() -> int:
        stream = generate(loaded.model, loaded.tokenizer, prompt[0].tolist(), Sampling(tokens=64))
        return next(stream).id

    def theirs() -> int:
        return int(everything(prompt, attention_mask=mask, pad_token_id=0, do_sample=False, max_new_tokens=1)[0, -1])

    if ours() != theirs():  # which also warms both up
        raise SystemExit("The sides have different first tokens.")
    sides: dict[str, Callable[[], int]] = {"transformers' generate, 1 token": theirs, "our first token": ours}
    times: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, work in sides.items():
            started, cpu = time.perf_counter(), time.process_time()
            work()
            times[side].append((time.perf_counter() - started, time.process_time() - cpu))
    return {
        side: (min(one for one, _ in each), min(cpu for _, cpu in each)) for side, each in times.items()
    }, loaded.size


def resident() -> float:
    """Return the resident memory of this process in MB."""
    return float(psutil.Process().memory_info().rss / MB)


def held_after(variants: list[VariantSpec]) -> list[tuple[str, float, int]]:
    """Return the rows of `answer_in_turn` from a new process."""
    program = (sys.executable, "-c", f"from {__spec__.name} import answer_in_turn; answer_in_turn()")
    given = json.dumps([variant.model_dump(mode="json") for variant in variants])
    done = subprocess.run(
        program, input=given, env=child_environment(), check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    return [tuple(row) for row in json.loads(done.stdout)]


def answer_in_turn() -> None:
    """Answer with each of the variants that the standard input lists, and print rows as JSON.

    A row has a name, the resident memory in MB, and the number of loaded models, after each answer.
    """
    variants = [VariantSpec.model_validate(one) for one in json.load(sys.stdin)]
    load_tokenizer(Session([RunSpec(variant=variants[0])]).source)  # imports all that the models need
    events: list[Event] = []
    worker = Worker(LoadedModels(), events.append, Store())
    rows = [("before the first", resident(), 0)]
    for number, variant in enumerate(variants, 1):
        worker.answer(number, Question(prompt="Once upon a time", variants=(variant,), sampling=Sampling(tokens=4)))
        rows.append((f"after {number}", resident(), len(worker.models.keys)))
    if failed := [event.error for event in events if event.error]:
        raise SystemExit(failed[0])
    print(json.dumps(rows))


@contextmanager
def own_variants(folder: Path) -> Iterator[None]:
    """Use the user's cache, but for its variants, which are in this folder instead, as are results and jobs."""
    folder.mkdir()
    for part in cache_dir().iterdir() if cache_dir().is_dir() else ():
        if part.name != "variants":
            (folder / part.name).symlink_to(part)
    with patch.dict(os.environ, {"SLIMSCOPE_CACHE": str(folder), "SLIMSCOPE_RESULTS": str(folder / "results")}):
        yield


def main(model: str = DEFAULT_MODEL, variants: int = 10, prompt_tokens: int = 64, rounds: int = 20) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        source = identify(model)
        dense = VariantSpec(model=source.id, revision=source.revision, stages=(build_stage("dense"),))
        times, size = first_token(dense, prompt_tokens, rounds)
        theirs, _ = times.values()
        table = Table(title=f"{model}, first token after {prompt_tokens}, {torch.get_num_threads()} threads")
        for column in ("", "ms", "times generate", "CPU ms", "times generate in CPU"):
            table.add_column(column, justify="right" if column else "left")
        for side, pair in times.items():
            cells = [(f"{1000 * one:.1f}", f"{one / other:.2f}") for one, other in zip(pair, theirs, strict=True)]
            table.add_row(side, *(text for cell in cells for text in cell))
        Console().print(table)
        session = Session([RunSpec(variant=dense)])
        made = [
            dense.model_copy(update={"stages": (build_stage("magnitude", Ratio((number + 1) / (variants + 2))),)})
            for number in range(variants)
        ]
        with own_variants(Path(temporary) / "cache"):
            for spec in made:
                make_variant(spec, session, silent)
            rows = held_after(made)
        before, most = rows[0][1], MOST_LOADED * size / MB
        bound = before + min(most, machine_bytes() * MEMORY_SHARE / MB) + GROWTH
        parts = f"{before:.0f} before, {MOST_LOADED} models of {size / MB:.0f} each, {GROWTH} for the program"
        title = f"Resident memory; bound {bound:.0f} MB: {parts}"
        table = Table(title=title)
        for column in ("answers", "MB", "loaded models", "within the bound"):
            table.add_column(column, justify="right" if column != "answers" else "left")
        for name, held, loaded in rows:
            table.add_row(name, f"{held:.0f}", str(loaded), "yes" if held <= bound else "no")
        Console().print(table)


if __name__ == "__main__":
    run(main, SMOKE)
