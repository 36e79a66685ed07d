"""What is said around demonstrations: an instruction that the dense model finds, and its reasoning before an answer.

An instruction is proposed from demonstrations and chosen by the likelihood of held-out answers under it (Zhou et al.,
Large Language Models Are Human-Level Prompt Engineers, 2022, arXiv:2211.01910). Reasoning follows a cue (Kojima et al.,
Large Language Models are Zero-Shot Reasoners, 2022, arXiv:2205.11916), and the answer is scored after it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from core.errors import UserError
from core.evaluation.fewshot.prompts import Documents, Prompt, requests, right, shown

if TYPE_CHECKING:
    from core.data.harness import LocalTask
    from core.evaluation.fewshot.dense import DenseModel

PROPOSALS = 6  # instructions, each from demonstrations of its own
SEEN = 4  # demonstrations that one is proposed from
HELD_OUT = 16  # documents of the pool by whose answers the best is chosen
INSTRUCTION_TOKENS = 32
REASONING_TOKENS = 48
ASK = "Each text below was completed after one and the same instruction.\n\n{}\n\nThe instruction was:"
CUE = "Let's think step by step."
THEN = "So the answer is"

ProgressFn = Callable[[int], None]  # of how many texts the model went on from


def find_instruction(task: LocalTask, pool: Documents, dense: DenseModel, told: ProgressFn) -> str:
    """Return the instruction, of those that the dense model proposes, under which it finds held-out answers likeliest.

    Raises `UserError` where it proposes none.
    """
    order = random.Random(task.task_name).sample(range(len(pool)), len(pool))
    held_out = [pool[place] for place in order[:HELD_OUT]]
    others = [pool[place] for place in order[HELD_OUT:]] or held_out
    asked = [
        ASK.format("\n\n".join(shown(task, one) for one in random.Random(draw).sample(others, min(SEEN, len(others)))))
        for draw in range(PROPOSALS)
    ]
    proposed = sorted({said for said in dense.generate(asked, INSTRUCTION_TOKENS, told) if said})
    if not proposed:
        raise UserError(f"The dense model proposes no instruction for {task.task_name}; choose another template.")
    pairs = [
        dense.lm.encode(*requests(task, document, Prompt(instruction=said))[right(task, document)])
        for said in proposed
        for document in held_out
    ]
    scores = [score for score, _ in dense.lm.score(pairs)]
    size = len(held_out)
    totals = [sum(scores[start : start + size]) for start in range(0, len(scores), size)]
    return proposed[totals.index(max(totals))]


def reasonings(contexts: Sequence[str], dense: DenseModel, told: ProgressFn) -> list[str]:
    """Return what stands between each question, with all before it, and its answer: the cue and what follows it."""
    said = dense.generate([f"{context} {CUE}" for context in contexts], REASONING_TOKENS, told)
    return [" ".join(filter(None, (CUE, one, THEN))) for one in said]
