"""Instructions and reasoning that the dense model generates for prompts.

The model proposes instructions from few-shot examples; the likelihood of held-out answers selects one (Zhou et al.,
Large Language Models Are Human-Level Prompt Engineers, 2022, arXiv:2211.01910). Reasoning follows a cue, and the answer
is scored after it (Kojima et al., Large Language Models are Zero-Shot Reasoners, 2022, arXiv:2205.11916).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from core.base.errors import UserError
from core.evaluation.fewshot.prompts import Documents, Prompt, requests, right, shown

if TYPE_CHECKING:
    from core.data.harness import LocalTask
    from core.evaluation.fewshot.dense import DenseModel

PROPOSALS = 6  # instructions, each from its own examples
SEEN = 4  # examples per proposal
HELD_OUT = 16  # documents of the pool whose answers select the instruction
INSTRUCTION_TOKENS = 32
REASONING_TOKENS = 48
ASK = "Each text below was completed after one and the same instruction.\n\n{}\n\nThe instruction was:"
CUE = "Let's think step by step."
THEN = "So the answer is"

ProgressFn = Callable[[int], None]  # called with the number of continued texts


def find_instruction(task: LocalTask, pool: Documents, dense: DenseModel, done: ProgressFn) -> str:
    """Return the instruction with the highest likelihood of held-out answers among the dense model's proposals.

    Raises:
        UserError: The model proposes no instruction.
    """
    order = random.Random(task.task_name).sample(range(len(pool)), len(pool))
    held_out = [pool[place] for place in order[:HELD_OUT]]
    others = [pool[place] for place in order[HELD_OUT:]] or held_out
    requested = [
        ASK.format("\n\n".join(shown(task, one) for one in random.Random(draw).sample(others, min(SEEN, len(others)))))
        for draw in range(PROPOSALS)
    ]
    proposed = sorted({text for text in dense.generate(requested, INSTRUCTION_TOKENS, done) if text})
    if not proposed:
        raise UserError(f"The dense model proposes no instruction for {task.task_name}; choose another template.")
    pairs = [
        dense.lm.encode(*requests(task, document, Prompt(instruction=instruction))[right(task, document)])
        for instruction in proposed
        for document in held_out
    ]
    scores = [score for score, _ in dense.lm.score(pairs)]
    size = len(held_out)
    totals = [sum(scores[start : start + size]) for start in range(0, len(scores), size)]
    return proposed[totals.index(max(totals))]


def reasonings(contexts: Sequence[str], dense: DenseModel, done: ProgressFn) -> list[str]:
    """Return the reasoning between each context and its answer: the cue, the generated text and a final phrase."""
    texts = dense.generate([f"{context} {CUE}" for context in contexts], REASONING_TOKENS, done)
    return [" ".join(filter(None, (CUE, text, THEN))) for text in texts]
