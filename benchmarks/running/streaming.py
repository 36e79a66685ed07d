"""Streaming from disk compared with the whole model in memory: time and peak memory, in turn, each in its own process.

    python -m benchmarks.running.streaming [--chains 'wanda@0.5;sparsegpt@0.5'] [--memory 1GB] [--dtype float32]
        [--rounds 1]
    python -m benchmarks.running.streaming --random 2048,16,8192 --memory 3GB --dtype bfloat16 --alone
        [--llmcompressor PYTHON]

Each run includes the dense baseline, and no side finds results or variants of another. The peak is the largest sum of
`RssAnon` and `RssShmem` over the processes of a run, sampled every 50 ms: memory that the system cannot drop. `VmHWM`
counts mapped pages too. The disk is the largest fall of its free space, to which other programs add. The expected
numbers are those that a run states before it starts; the seconds follow from the stored runs of this machine.

`--random` measures a random Llama of this hidden size, number of blocks and width of the MLP instead of a model;
`--alone` leaves out the whole model. PYTHON is the interpreter of an environment with llm-compressor
(`benchmarks.methods.peer`), which measures nothing: compare the seconds of the compression.
"""

import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import NamedTuple

import psutil
import torch
import transformers
from rich.console import Console
from rich.table import Table

from benchmarks.methods.peer import seconds_of, side_command
from benchmarks.smoke import run
from core.base.paths import cache_dir
from core.data.windows import calibration_windows, read_data
from core.models.sources import fetch_model, identify, load_tokenizer
from core.request.complete import complete
from core.request.execution import parse_memory
from core.request.expected.estimate import Estimate, estimate_left
from core.request.settings import RunSettings
from core.request.stages import DEFAULT_MODEL
from core.results import Measurement, Result
from core.specs import Perplexity, TextWindows
from core.store.bundled import parse_result
from core.store.store import Store

STEP = 0.05  # seconds between two samples of the memory
UNLIMITED = "1000GB"
HEAD = 64  # width of an attention head of a random model
SMOKE = {"chains": "wanda@0.5", "memory": "500MB", "calibration": "c4-sample:2x24", "perplexity": "wikitext2@24:2"}


class Use(NamedTuple):
    """The largest use of memory and disk by a run, in MB."""

    peak: float
    high: float  # VmHWM
    disk: float


class PeerReading(NamedTuple):
    """What llm-compressor took: its process, and the compression alone."""

    seconds: float
    use: Use
    compression: float


class Reading(NamedTuple):
    """What a run took and found."""

    seconds: float
    use: Use
    result: Result

    @property
    def perplexity(self) -> Measurement:
        """The perplexity of the run; bundled rows of its variant may have others."""
        rows = [one for one in self.result.measurements if one.metric == "perplexity"]
        return max(rows, key=lambda one: str(one.details["created"]))

    @property
    def compression(self) -> float:
        """The seconds of the compression."""
        return float(self.result.variant.details["seconds"])


def main(
    chains: str = "wanda@0.5;sparsegpt@0.5;gptq@4bit",
    memory: str = "1GB",
    calibration: str = "c4-sample:16x2048",
    perplexity: str = "wikitext2@2048:16",
    dtype: str = "float32",
    model: str = DEFAULT_MODEL,
    random: str = "",
    rounds: int = 1,
    alone: bool = False,
    llmcompressor: Path | None = None,
) -> None:
    with TemporaryDirectory() as place:
        if random:
            hidden, blocks, width = map(int, random.split(","))
            model = str(random_llama(Path(place) / "random", hidden, blocks, width))
        title = f"{Path(model).name} {random}, {dtype}, {calibration}, {perplexity}, budget {memory}; memory in MB"
        table = Table(title=title)
        for column in ("chain", "", "seconds", "expected", "ratio", "peak", "expected", "disk", "expected", "VmHWM"):
            table.add_column(column, justify="left" if column in ("chain", "") else "right")
        table.add_column("compression, seconds", justify="right")
        table.add_column("perplexity", justify="right")
        sides = {"streaming": memory} if alone else {"whole": UNLIMITED, "streaming": memory}
        try:
            for chain in chains.split(";"):
                options = (model, chain, calibration, perplexity, dtype)
                found: dict[str, list[Reading]] = {side: [] for side in sides}
                for _ in range(rounds):
                    for side, budget in sides.items():
                        found[side].append(measured(*options, budget, streams=side == "streaming"))
                for side, budget in sides.items():
                    add_row(table, chain, side, found, estimated(*options, budget))
                if llmcompressor is not None:
                    add_peer_row(table, chain, peer(llmcompressor, model, chain, calibration, dtype))
        finally:  # the rows so far, as a run may take an hour
            Console().print(table)


def add_row(table: Table, chain: str, side: str, found: dict[str, list[Reading]], expected: Estimate) -> None:
    """Add the row of one side of a chain."""
    middle = {name: statistics.median(one.seconds for one in readings) for name, readings in found.items()}
    ratio = f"{middle[side] / middle['whole']:.2f}" if "whole" in middle else "-"
    peak, high, disk = map(max, zip(*(one.use for one in found[side]), strict=True))
    value = found[side][0].perplexity.value
    seconds = f"{middle[side]:.1f}", f"{expected.seconds:.1f}", ratio
    memory = f"{peak:.0f}", f"{expected.bytes / 1e6:.0f}", f"{disk:.0f}", f"{expected.disk / 1e6:.0f}", f"{high:.0f}"
    compression = statistics.median(one.compression for one in found[side])
    table.add_row(chain, side, *seconds, *memory, f"{compression:.1f}", f"{value:.5g}")


def add_peer_row(table: Table, chain: str, found: PeerReading) -> None:
    """Add the row of llm-compressor, which states nothing before it starts and measures no perplexity."""
    peak, high, disk = (f"{one:.0f}" for one in found.use)
    numbers = f"{found.seconds:.1f}", "-", "-", peak, "-", disk, "-", high, f"{found.compression:.1f}", "-"
    table.add_row(chain, "llm-compressor", *numbers)


def peer(python: Path, model: str, chain: str, calibration: str, dtype: str) -> PeerReading:
    """Compress the same model on the same windows with llm-compressor, in a process of its own."""
    source = fetch_model(identify(model))
    tokens = calibration_windows(read_data(TextWindows.parse(calibration)), load_tokenizer(source), 0)
    with TemporaryDirectory() as place, TemporaryFile("w+") as out:
        windows = Path(place, "windows.pt")
        torch.save(tokens, windows)
        line = side_command(python, source.files, windows, chain, dtype, Path(place, "output.safetensors"))
        started = time.perf_counter()
        process = subprocess.Popen(line, stdout=out, text=True)
        use = watched(process)
        seconds = time.perf_counter() - started
        out.seek(0)
        return PeerReading(seconds, use, seconds_of(out.read()))


def measured(
    model: str, chain: str, calibration: str, perplexity: str, dtype: str, memory: str, streams: bool
) -> Reading:
    """Run a chain in a process of its own with empty results."""
    with TemporaryDirectory() as results, TemporaryFile("w+") as out, TemporaryFile("w+") as said:
        options = ["--calibration", calibration, "--perplexity", perplexity, "--dtype", dtype, "--memory", memory]
        command = [sys.executable, "-m", "core", "run", model, chain, *options, "--force", "--json"]
        started = time.perf_counter()
        # Files, because a pipe that nobody reads is full after 64 kB.
        process = subprocess.Popen(
            command, env=os.environ | {"SLIMSCOPE_RESULTS": results}, stdout=out, stderr=said, text=True
        )
        use = watched(process)
        seconds = time.perf_counter() - started
        for file in (out, said):
            file.seek(0)
        printed, err = out.read(), said.read()
    if process.returncode:
        raise SystemExit(err)
    found = Reading(seconds, use, parse_result(printed.encode()))
    assert (found.perplexity.details.get("execution") == "streaming") == streams, err
    return found


def watched(process: subprocess.Popen[str]) -> Use:
    """Wait for a process; return its use and that of its children."""
    peak = high = 0.0
    cache_dir().mkdir(parents=True, exist_ok=True)
    free = least = psutil.disk_usage(str(cache_dir())).free
    while process.poll() is None:
        total = 0.0
        for one in family(process.pid):
            own, its_high = status(one)
            total, high = total + own, max(high, its_high)
        peak, least = max(peak, total), min(least, psutil.disk_usage(str(cache_dir())).free)
        time.sleep(STEP)
    return Use(peak, high, (free - least) / 1e6)


def family(parent: int) -> list[int]:
    """Return the ids of a process and of all that it started."""
    try:
        return [parent, *(child.pid for child in psutil.Process(parent).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def status(process: int) -> tuple[float, float]:
    """Return RssAnon + RssShmem and VmHWM of a process in MB; zeros if it has ended or the system does not say."""
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0, 0.0
    known = {name: int(kilobytes) / 1000 for name, kilobytes in re.findall(r"(\w+):\s+(\d+) kB", text)}
    return known.get("RssAnon", 0.0) + known.get("RssShmem", 0.0), known.get("VmHWM", 0.0)


def estimated(model: str, chain: str, calibration: str, perplexity: str, dtype: str, memory: str) -> Estimate:
    """Return what a run states before it starts; the variants of this machine count as absent."""
    spec = complete(
        model,
        chain,
        RunSettings(
            calibration=TextWindows.parse(calibration),
            perplexity=(Perplexity.parse(perplexity),),
            dtype=dtype,
            memory=parse_memory(memory),
            force=True,
        ),
    )
    return estimate_left([spec], Store())


def random_llama(folder: Path, hidden: int, blocks: int, width: int, model: str = DEFAULT_MODEL) -> Path:
    """Write a random Llama in bfloat16 with the tokenizer of `model`."""
    config = transformers.LlamaConfig(
        hidden_size=hidden,
        num_hidden_layers=blocks,
        intermediate_size=width,
        num_attention_heads=hidden // HEAD,
        dtype="bfloat16",
    )
    return write_random(transformers.LlamaForCausalLM, config, folder, model)


def write_random(
    kind: type[transformers.PreTrainedModel], config: transformers.PreTrainedConfig, folder: Path, model: str
) -> Path:
    """Write a random model in bfloat16 with the tokenizer of `model` and a vocabulary of its size."""
    tokenizer = load_tokenizer(identify(model))
    config.vocab_size = len(tokenizer)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    kind(config).save_pretrained(folder)
    torch.set_default_dtype(torch.float32)
    tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    run(main, SMOKE)
