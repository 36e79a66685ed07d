"""What a teacher answers to prompts, generated once and kept: the next run with it reads them.

References: Kim & Rush, Sequence-Level Knowledge Distillation, 2016 (arXiv:1606.07947).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from core.cache.folders import writing
from core.data.instructions import Pair
from core.progress import Progress
from core.specs import sha256
from core.training.base import AT_ONCE
from core.training.teacher import Teacher


@torch.inference_mode()
def answers(
    teacher: Teacher,
    prompts: Sequence[str],
    longest: int,
    temperature: float,
    seed: int,
    file: Path,
    progress: Progress,
) -> list[Pair]:
    """Return (prompt, answer) with answers of at most `longest` tokens; greedy at temperature 0.

    They are written to `file`, that of these prompts, as they come; what it holds already is not generated again.
    """
    known, tokenizer = _read(file), teacher.tokenizer
    every = sorted(dict.fromkeys(prompts), key=len)
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    for start in range(0, len(every), AT_ONCE):
        some = every[start : start + AT_ONCE]  # the same ones, whatever was answered before: they draw together
        if all(prompt in known for prompt in some):
            continue
        progress("answers", start, len(every), "the teacher answers the prompts")
        rows = [tokenizer(prompt)["input_ids"] for prompt in some]
        width = max(map(len, rows))
        device = next(teacher.model.parameters()).device
        ids = torch.tensor([[padding or 0] * (width - len(row)) + row for row in rows], device=device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
        with torch.random.fork_rng():
            torch.manual_seed(int(sha256(str(seed), *some)[:15], 16))
            drawn: dict[str, Any] = {"do_sample": False}
            if temperature:
                drawn = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
            generate: Any = teacher.model.generate  # every causal LM has it, transformers' class of all models has not
            full = generate(
                ids,
                attention_mask=mask,
                max_new_tokens=longest,
                pad_token_id=padding or 0,
                repetition_penalty=1.0,
                **drawn,
            )
        told = [_text(tokenizer, row, answer[width:].tolist()) for row, answer in zip(rows, full, strict=True)]
        known |= dict(zip(some, told, strict=True))
        with writing(file.parent), file.open("a") as lines:
            lines.writelines(json.dumps([*pair, sha256(*pair)]) + "\n" for pair in zip(some, told, strict=True))
    return [(prompt, known[prompt]) for prompt in prompts if known[prompt].strip()]


def _text(tokenizer: Any, prompt: list[int], answer: list[int]) -> str:
    """Return an answer as it goes on from its prompt: by itself it would lose the space that it begins with."""
    before, whole = (
        tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for ids in (prompt, prompt + answer)
    )
    return whole[len(before) :]


def _read(file: Path) -> dict[str, str]:
    """Return the answers in a file; a line that a kill cut off or that does not match its checksum is left out."""
    known: dict[str, str] = {}
    if file.is_file():
        for line in file.read_text(errors="replace").splitlines():
            try:
                prompt, answer, checksum = json.loads(line)
                whole = checksum == sha256(prompt, answer)
            except (ValueError, TypeError):
                continue
            if whole:
                known[prompt] = answer
    return known
