"""Answers of a teacher to prompts, generated once and cached for later runs.

References: Kim & Rush, Sequence-Level Knowledge Distillation, 2016 (arXiv:1606.07947).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from core.base.progress import Progress
from core.cache.disk import writing
from core.data.corpus import Pair
from core.models.lazy import PreTrainedTokenizerBase
from core.models.teacher import Teacher
from core.specs import sha256
from core.training.base import AT_ONCE


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
    """Generate answers of at most `longest` tokens to prompts; greedy at temperature 0.

    Each batch of answers is appended to `file`, the cache for these prompts. Cached answers are not generated again.

    Returns:
        Pairs of prompt and answer, without empty answers.
    """
    known, tokenizer = _read(file), teacher.tokenizer
    every = sorted(dict.fromkeys(prompts), key=len)
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    for start in range(0, len(every), AT_ONCE):
        batch = every[start : start + AT_ONCE]  # the same with any cache, as a batch shares its random numbers
        if all(prompt in known for prompt in batch):
            continue
        progress("answers", start, len(every), "the teacher answers the prompts")
        rows = [tokenizer(prompt)["input_ids"] for prompt in batch]
        width = max(map(len, rows))
        device = next(teacher.model.parameters()).device
        ids = torch.tensor([[padding or 0] * (width - len(row)) + row for row in rows], device=device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
        with torch.random.fork_rng():
            torch.manual_seed(int(sha256(str(seed), *batch)[:15], 16))
            sampling: dict[str, float] = {"do_sample": False}
            if temperature:
                sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
            generate: Any = teacher.model.generate  # Any: `PreTrainedModel` does not declare it, but causal LMs have it
            full = generate(
                ids,
                attention_mask=mask,
                max_new_tokens=longest,
                pad_token_id=padding or 0,
                repetition_penalty=1.0,
                **sampling,
            )
        texts = [_text(tokenizer, row, answer[width:].tolist()) for row, answer in zip(rows, full, strict=True)]
        known |= dict(zip(batch, texts, strict=True))
        with writing(file.parent), file.open("a") as lines:
            lines.writelines(json.dumps([*pair, sha256(*pair)]) + "\n" for pair in zip(batch, texts, strict=True))
    return [(prompt, known[prompt]) for prompt in prompts if known[prompt].strip()]


def _text(tokenizer: PreTrainedTokenizerBase, prompt: list[int], answer: list[int]) -> str:
    """Decode an answer after its prompt, as it would lose its first space if decoded alone."""
    before, whole = (
        str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        for ids in (prompt, prompt + answer)
    )
    return whole[len(before) :]


def _read(file: Path) -> dict[str, str]:
    """Read the answers in a file by prompt, without incomplete lines and lines that do not match their checksum."""
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
