"""One document's prompt in the harness' format, from its selected examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from core.base.errors import UserError
from core.specs import Frozen

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from core.data.harness import LocalTask

Document = dict[str, JsonValue]  # of a task
Documents = Sequence[Document]
Chat = Callable[..., Any]  # messages to text, by the tokenizer's own template; Any: transformers declares more forms


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
    """Return the harness' requests for a document.

    Args:
        task: The harness' task.
        document: The document.
        prompt: Its prompt.
        pool: The pool of few-shot examples.
        chat: The tokenizer's chat template; None for plain text.

    Returns:
        (context, continuation) of each request.
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
