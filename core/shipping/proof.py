"""The export check: an export's own runtime and the variant read the same prompts, and their outputs are compared.

The runtime runs in a process that never imports this project. Token ids must be equal. The log-probabilities of the
five likeliest next tokens are compared with the variant's, in the precision in which it was measured.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import math
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from core.base.errors import how_to_install
from core.notation.formatting import format_number
from core.shipping import runtimes
from core.shipping.base import Runtime
from core.specs import Frozen, Unchecked

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

PROMPTS = (
    "The capital of Germany is",
    "Water boils at a temperature of",
    "def add(first, second):\n    return",
    "It's 1984, and they've said: \"We'll meet again,\"",
)
TOKENS = 32  # decoded to measure speed
FILE = "proof.json"
POLL = 0.5  # seconds
MOST = 700  # nats whose exponential is finite
HOW = how_to_install("export")

Reading = tuple[list[int], "Tensor"]  # token ids of a prompt, log-probabilities of the next token (V,)


class ExportCheck(Frozen):
    """The result of an export check."""

    versions: dict[str, str] = {}
    reason: str | None = None  # why there is no result, in one sentence
    same_tokens: bool = False
    difference: float | None = None  # the largest of a log-probability of the five likeliest next tokens
    same_first: int = 0  # prompts with the variant's likeliest next token
    prompts: int = 0
    tokens_per_second: float | None = None

    def words(self) -> str:
        """Describe the result."""
        if self.reason is not None:
            return f"Export not checked: {self.reason}"
        read = " with ".join(f"{name} {version}" for name, version in self.versions.items())
        other = "" if self.same_tokens else ", with other tokens"
        return (
            f"Checked with {read}{other}: the likeliest next token is the same for {self.same_first} of {self.prompts} "
            f"prompts. Log-probabilities of the five likeliest differ by at most {self.difference:.2g} (a factor of "
            f"{format_number(math.exp(min(self.difference or 0, MOST)))} in probability). "
            f"It decodes {self.tokens_per_second:.0f} tokens per second."
        )


def expected(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[Reading]:
    """Return token ids and next-token log-probabilities of the prompts from the variant itself."""
    import torch

    found = []
    with torch.inference_mode():
        for prompt in PROMPTS:
            ids = tokenizer(prompt).input_ids
            logits = model(torch.tensor([ids], device=model.device)).logits[0, -1]
            found.append((ids, logits.float().log_softmax(-1).cpu()))
    return found


def read_proof(folder: Path) -> ExportCheck | None:
    """Return the export check stored in a folder; None if it is absent or unreadable."""
    try:
        return ExportCheck.model_validate_json((folder / FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def verify_export(
    runtime: Runtime, path: Path, wanted: Sequence[Reading], threads: int, waiting: Callable[[], None]
) -> ExportCheck:
    """Read an export with its runtime, and compare the outputs with `wanted`.

    `waiting` is called while the runtime works, and may raise to stop it.
    """
    if missing := [package for package in runtime.packages if not installed(package)]:
        return ExportCheck(reason=f"install {' and '.join(missing)} ({HOW}) to check it.")
    script = Path(runtimes.__file__).parent / f"{runtime.script}.py"
    query = {"path": str(path), "prompts": PROMPTS, "tokens": TOKENS, "threads": threads, "packages": runtime.packages}
    code, output, errors = _run([sys.executable, "-I", str(script)], json.dumps(query), waiting)
    try:
        return compared(json.loads(output.splitlines()[-1]), wanted)
    except (IndexError, ValueError):  # no output, or no JSON
        log.info("%s could not read %s:\n%s", runtime.script, path, errors)
        lines = errors.strip().splitlines() or [""]
        last = next((line for line in reversed(lines) if re.match(r"\w*(Error|Exception):|.*ASSERT", line)), lines[-1])
        return ExportCheck(reason=f"{runtime.packages[-1]} could not read it (exit code {code}): {last}")


def _run(command: list[str], query: str, waiting: Callable[[], None]) -> tuple[int, str, str]:
    """Run a process, and return its exit code, stdout and stderr."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        unsent: str | None = query
        try:
            while True:
                try:
                    output, errors = child.communicate(unsent, timeout=POLL)
                    return child.returncode, output, errors
                except subprocess.TimeoutExpired:
                    unsent = None  # the rest of it is still sent
                    waiting()
        except BaseException:
            child.kill()
            raise


def installed(package: str) -> bool:
    """Return whether a package that a runtime needs is installed."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def compared(report: Unchecked, wanted: Sequence[Reading]) -> ExportCheck:
    """Return how the outputs of a runtime, the JSON of `core.shipping.runtimes`, differ from the wanted ones."""
    pairs = list(zip(report["prompts"], wanted, strict=True))
    return ExportCheck(
        versions=report["versions"],
        same_tokens=all(read["ids"] == ids for read, (ids, _) in pairs),
        difference=max(abs(value - ours[place].item()) for read, (_, ours) in pairs for place, value in read["top"]),
        same_first=sum(read["top"][0][0] == int(ours.argmax()) for read, (_, ours) in pairs),
        prompts=len(pairs),
        tokens_per_second=report["tokens_per_second"],
    )


def size_words(size: float, kind: str) -> str:
    """Return a size and its type in words: `538 MB, fp32`."""
    digits = 0 if size >= 10e6 else 2
    return f"{size / 1e6:.{digits}f} MB, {kind}"
