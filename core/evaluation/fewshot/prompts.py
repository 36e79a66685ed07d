"""One document's prompt as the harness writes it, from what was chosen for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from core.errors import UserError
from core.specs import Frozen

if TYPE_CHECKING:
    from core.data.harness import LocalTask

Documents = Sequence[dict]
Chat = Callable[..., str]  # messages to text, by the tokenizer's own template


class Prompt(Frozen):
    """What stands around a question; nothing at all where it is zero-shot."""

    shots: tuple[int, ...] = ()  # places in the pool of demonstrations, in the order of the prompt
    instruction: str = ""  # before everything
    reasoning: str = ""  # between the question and its answer
    dropped: int = 0  # demonstrations for which there was no room


NOTHING = Prompt()


class _Chosen:
    """Gives the harness, in the place of its sampler, the demonstrations that were chosen."""

    def __init__(self, documents: Documents):
        self.documents = documents

    def sample(self, n: int, eval_doc: dict | None = None) -> Documents:
        return self.documents[:n]


def requests(
    task: LocalTask, document: dict, prompt: Prompt = NOTHING, pool: Documents = (), chat: Chat | None = None
) -> list[tuple[str, str]]:
    """Return the harness' own requests for a document, each a (context, continuation); with `chat` as its turns."""
    task.sampler = _Chosen([pool[place] for place in prompt.shots])
    turns: dict[str, Any] = {"apply_chat_template": chat is not None}
    context = task.fewshot_context(
        document,
        num_fewshot=len(prompt.shots),
        system_instruction=f"{prompt.instruction}\n\n" if prompt.instruction else None,
        gen_prefix=prompt.reasoning or task.doc_to_prefix(document),
        fewshot_as_multiturn=True,
        chat_template=chat,
        **turns,
    )
    made = task.construct_requests(doc=document, ctx=context, metadata=(task.task_name, 0, 1), **turns)
    made = made if isinstance(made, list) else [made]
    if made[0].request_type != "loglikelihood":
        raise UserError(f"The task {task.task_name} asks for {made[0].request_type}; only given choices can be scored.")
    return [instance.args for instance in made]


def chat_of(tokenizer: Any) -> Chat:
    """Return how a tokenizer writes a conversation; a `UserError` where it does not say how."""
    if not tokenizer.chat_template:
        raise UserError("The model's tokenizer has no chat template; choose another one, such as plain.")
    return partial(tokenizer.apply_chat_template, tokenize=False)


def question(task: LocalTask, document: dict) -> str:
    """Return what is asked, without the answer; of choices that fill a gap the text with the first."""
    return task.doc_to_choice(document)[0] if task.multiple_input else task.doc_to_text(document)


def shown(task: LocalTask, document: dict) -> str:
    """Return a document of the pool as a demonstration: the question and its right answer."""
    context, answer = requests(task, document)[right(task, document)]
    return context + answer


def right(task: LocalTask, document: dict) -> int:
    """Return which of a document's requests has the right answer."""
    if task.OUTPUT_TYPE != "multiple_choice":
        return 0
    return int(task.doc_to_text(document) if task.multiple_input else task.doc_to_target(document))
