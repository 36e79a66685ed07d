"""Measured latency of a model: prefill of a prompt and decoding after it, with warm-up, median and spread.

Dense kernels also multiply zeros, so unstructured pruning alone saves no time here. For quantised models see
`core.evaluation.packed`.
"""

import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel

from core.base.memory import memory_growth
from core.base.progress import Progress
from core.evaluation.generation.generate import Step, step
from core.evaluation.packed import held_bytes
from core.results import Measurement

PROMPT = 512  # tokens
DECODED = 32  # tokens
REPEATS = 5
BATCHES = (1, 4)


@torch.inference_mode()
def latency(model: PreTrainedModel, dtype: str, progress: Progress) -> list[Measurement]:
    """Measure prefill latency (ms per token), decode latency (ms per step) and peak memory (MB) at each batch size.

    The memory is that of the weights and of the other tensors of a prefill, without the program. The stderr is that of
    the mean over the repeats.
    """
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    rows = []
    progress("latency", 0, 2 * len(BATCHES), f"prefill, batch {BATCHES[0]}")
    for index, batch in enumerate(BATCHES):
        prompt = torch.randint(model.config.vocab_size, (batch, PROMPT), generator=generator).to(device)

        def prefill(prompt: Tensor = prompt) -> Step:
            return step(model, prompt, last=True)

        read = prefill().cache

        def decode(prompt: Tensor = prompt, read: Cache = read) -> float:
            past = copy.deepcopy(read)
            started = _now(device)
            for _ in range(DECODED):
                past = step(model, prompt[:, :1], past).cache
            return _now(device) - started

        protocol: dict[str, str | int] = {"batch": batch, "prompt": PROMPT, "dtype": dtype}
        times = _timed(prefill, device)
        rows.append(_measurement("prefill", [1000 * t / (batch * PROMPT) for t in times], protocol))
        if (growth := memory_growth(prefill, device)) is not None:
            held = (held_bytes(model) + growth) / 1e6
            rows.append(Measurement(metric="memory", dataset="synthetic", value=held, n=1, protocol=protocol))
        progress("latency", 2 * index + 1, 2 * len(BATCHES), f"prefill, batch {batch}")
        decode()
        times = [decode() for _ in range(REPEATS)]
        protocol = protocol | {"decoded": DECODED}
        rows.append(_measurement("decode", [1000 * t / DECODED for t in times], protocol))
        progress("latency", 2 * index + 2, 2 * len(BATCHES), f"decode, batch {batch}")
    return rows


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _timed(work: Callable[[], object], device: torch.device) -> list[float]:
    work()
    times = []
    for _ in range(REPEATS):
        started = _now(device)
        work()
        times.append(_now(device) - started)
    return times


def _measurement(metric: str, milliseconds: list[float], protocol: dict[str, str | int]) -> Measurement:
    return Measurement(
        metric=metric,
        dataset="synthetic",
        value=statistics.median(milliseconds),
        stderr=statistics.stdev(milliseconds) / len(milliseconds) ** 0.5,
        n=len(milliseconds),
        protocol=protocol,
        details={"fastest": min(milliseconds), "slowest": max(milliseconds)},
    )
