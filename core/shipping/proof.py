"""Whether an export says what the variant says: its own runtime reads it, in a process that never imports this project.

A few prompts are read by both: the tokens must be the same, and of the five likeliest next ones the log-probabilities
are compared with ours, in the precision that the variant was measured in.
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
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from core.formatting import format_number
from core.shipping import runtimes
from core.shipping.base import Runtime
from core.specs import Frozen

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

PROMPTS = (
    "The capital of Germany is",
    "Water boils at a temperature of",
    "def add(first, second):\n    return",
    "It's 1984, and they've said: \"We'll meet again,\"",
)
TOKENS = 32  # that are decoded to time them
FILE = "proof.json"
POLL = 0.5  # seconds
MOST = 700  # nats of which there is a factor
HOW = "pip install 'slimscope[export]'"


Reading = tuple[list[int], "Tensor"]  # the tokens of a prompt, the log-probability of every next one (V,)


class ExportCheck(Frozen):
    """What became of an export in its own runtime."""

    versions: dict[str, str] = {}
    reason: str | None = None  # why there is none, in one sentence
    same_tokens: bool = False
    difference: float | None = None  # the largest of a log-probability among the five likeliest next tokens
    same_first: int = 0  # prompts whose likeliest next token is ours
    prompts: int = 0
    tokens_per_second: float | None = None

    def words(self) -> str:
        """Say it in one sentence."""
        if self.reason is not None:
            return f"Not proved: {self.reason}"
        read = " with ".join(f"{name} {version}" for name, version in self.versions.items())
        other = "" if self.same_tokens else ", which splits them into other tokens"
        return (
            f"Read by {read}{other}: of {self.prompts} prompts the likeliest next token is ours in {self.same_first}, "
            f"the five likeliest have log-probabilities within {self.difference:.2g} of ours (probabilities within a "
            f"factor of {format_number(math.exp(min(self.difference or 0, MOST)))}), and it decodes "
            f"{self.tokens_per_second:.0f} tokens a second."
        )


def expected(model: PreTrainedModel, tokenizer: Any) -> list[Reading]:
    """Return how a variant itself reads the prompts."""
    import torch

    found = []
    with torch.inference_mode():
        for prompt in PROMPTS:
            ids = tokenizer(prompt).input_ids
            logits = model(torch.tensor([ids], device=model.device)).logits[0, -1]
            found.append((ids, logits.float().log_softmax(-1).cpu()))
    return found


def read_proof(folder: Path) -> ExportCheck | None:
    """Return what the proof of an export was; None in a folder without one, or where that cannot be read."""
    try:
        return ExportCheck.model_validate_json((folder / FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def verify_export(
    runtime: Runtime, path: Path, wanted: Sequence[Reading], threads: int, waiting: Callable[[], None]
) -> ExportCheck:
    """Have an export read by its runtime, and compare what that says with what is `wanted`.

    `waiting` is called while that runs, and may raise to stop it.
    """
    if missing := [package for package in runtime.packages if not installed(package)]:
        return ExportCheck(reason=f"install {' and '.join(missing)} ({HOW}), which reads it.")
    script = Path(runtimes.__file__).with_name(f"{runtime.script}.py")
    asked = {"path": str(path), "prompts": PROMPTS, "tokens": TOKENS, "threads": threads, "packages": runtime.packages}
    code, said, logged = _answer([sys.executable, "-I", str(script)], json.dumps(asked), waiting)
    try:
        return compared(json.loads(said.splitlines()[-1]), wanted)
    except (IndexError, ValueError):  # it said nothing, or no JSON
        log.info("%s could not read %s:\n%s", runtime.script, path, logged)
        lines = logged.strip().splitlines() or [""]
        told = next((line for line in reversed(lines) if re.match(r"\w*(Error|Exception):|.*ASSERT", line)), lines[-1])
        return ExportCheck(reason=f"{runtime.packages[-1]} could not read it (exit code {code}): {told}")


def _answer(command: list[str], asked: str, waiting: Callable[[], None]) -> tuple[int, str, str]:
    """Return the exit code of a process, and what it wrote to stdout and stderr."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        given: str | None = asked
        try:
            while True:
                try:
                    said, logged = child.communicate(given, timeout=POLL)
                    return child.returncode, said, logged
                except subprocess.TimeoutExpired:
                    given = None  # what is left of it is sent on
                    waiting()
        except BaseException:
            child.kill()
            raise


def installed(package: str) -> bool:
    """Whether a package is there to be imported by a runtime."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def compared(told: dict[str, Any], wanted: Sequence[Reading]) -> ExportCheck:
    """Return how what a runtime told differs from what is wanted."""
    pairs = list(zip(told["prompts"], wanted, strict=True))
    return ExportCheck(
        versions=told["versions"],
        same_tokens=all(read["ids"] == ids for read, (ids, _) in pairs),
        difference=max(abs(value - ours[place].item()) for read, (_, ours) in pairs for place, value in read["top"]),
        same_first=sum(read["top"][0][0] == int(ours.argmax()) for read, (_, ours) in pairs),
        prompts=len(pairs),
        tokens_per_second=told["tokens_per_second"],
    )
