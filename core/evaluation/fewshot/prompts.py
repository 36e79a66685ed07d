"""One document's prompt in the harness' format, and the instructions and the reasoning that the dense model generates.

The model proposes instructions from few-shot examples; the likelihood of held-out answers selects one (Zhou et al.,
Large Language Models Are Human-Level Prompt Engineers, 2022, arXiv:2211.01910). Reasoning follows a cue, and the answer
is scored after it (Kojima et al., Large Language Models are Zero-Shot Reasoners, 2022, arXiv:2205.11916).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from core.base.errors import UserError
from core.models.lazy import PreTrainedTokenizerBase
from core.specs import Frozen

if TYPE_CHECKING:
    from core.data.harness import LocalTask
    from core.evaluation.fewshot.dense import DenseModel

Document = dict[str, JsonValue]  # of a task
Documents = Sequence[Document]
Chat = Callable[..., Any]  # messages to text, by the tokenizer's own template; Any: transformers declares more forms
PROPOSALS = 6  # instructions, each from its own examples
SEEN = 4  # examples per proposal
HELD_OUT = 16  # documents of the pool whose answers select the instruction
INSTRUCTION_TOKENS = 32
REASONING_TOKENS = 48
ASK = "Each text below was completed after one and the same instruction.\n\n{}\n\nThe instruction was:"
CUE = "Let's think step by step."
THEN = "So the answer is"
ProgressFn = Callable[[int], None]  # called with the number of continued texts


class Prompt(Frozen):
    """The parts of a prompt besides its question; the default is zero-shot."""

    shots: tuple[int, ...] = ()  # places of few-shot examples in the pool, in prompt order
    instruction: str = ""  # at the start
    reasoning: str = ""  # between the question and its answer
    dropped: int = 0  # examples removed to fit the model's maximum length


NOTHING = Prompt()


class _Chosen:
    """A replacement of the harness' sampler that returns the selected examples."""

    def __init__(self, documents: Documents):
        self.documents = documents

    def sample(self, n: int, eval_doc: Document | None = None) -> Documents:
        return self.documents[:n]


def requests(
    task: LocalTask, document: Document, prompt: Prompt = NOTHING, pool: Documents = (), chat: Chat | None = None
) -> list[tuple[str, str]]:
    """Return the harness' (context, continuation) requests for a document.

    `pool` has the few-shot examples of the prompt, and `chat` is the tokenizer's template; None for plain text.
    """
    task.sampler = _Chosen([pool[place] for place in prompt.shots])
    turns: dict[str, bool] = {"apply_chat_template": chat is not None}
    context = task.fewshot_context(
        document,
        num_fewshot=len(prompt.shots),
        system_instruction=f"{prompt.instruction}\n\n" if prompt.instruction else None,
        gen_prefix=prompt.reasoning or task.doc_to_prefix(document),
        fewshot_as_multiturn=True,
        chat_template=chat,
        **turns,
    )
    built = task.construct_requests(doc=document, ctx=context, metadata=(task.task_name, 0, 1), **turns)
    built = built if isinstance(built, list) else [built]
    if built[0].request_type != "loglikelihood":
        raise UserError(
            f"The task {task.task_name} needs {built[0].request_type}; choose a task that scores given choices."
        )
    return [instance.args for instance in built]


def chat_of(tokenizer: PreTrainedTokenizerBase) -> Chat:
    """Return a tokenizer's chat template; raise `UserError` if it has none."""
    if not tokenizer.chat_template:
        raise UserError("The model's tokenizer has no chat template; choose another one, such as plain.")
    return partial(tokenizer.apply_chat_template, tokenize=False)


def question(task: LocalTask, document: Document) -> str:
    """Return a document's question without its answer; if choices fill a gap, the text with the first choice."""
    text: str = task.doc_to_choice(document)[0] if task.multiple_input else task.doc_to_text(document)
    return text


def shown(task: LocalTask, document: Document) -> str:
    """Return a document as a few-shot example: the question and its correct answer."""
    context, answer = requests(task, document)[right(task, document)]
    return context + answer


def right(task: LocalTask, document: Document) -> int:
    """Return the place of the correct answer among a document's requests."""
    if task.OUTPUT_TYPE != "multiple_choice":
        return 0
    return int(task.doc_to_text(document) if task.multiple_input else task.doc_to_target(document))


def find_instruction(task: LocalTask, pool: Documents, dense: DenseModel, done: ProgressFn) -> str:
    """Return the dense model's proposal under which held-out answers are likeliest; raise `UserError` without any."""
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
