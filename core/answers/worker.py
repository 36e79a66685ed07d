"""The process that generates answers: `python -m core.answers.worker`, with JSON lines on its standard streams.

Each question that it answers is a job, whose row others see and cancel. The process ends when its standard input
closes, thus with the process that started it. It writes no log, as prompts and answers are private.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, zip_longest
from queue import Empty, SimpleQueue
from typing import IO

from core.answers.models import LoadedModels
from core.answers.question import Command, Event, Question
from core.base.errors import MEMORY_RAN_OUT, CancelledError, UserError, out_of_memory
from core.jobs.kinds import QUESTION
from core.jobs.own import own_job
from core.jobs.worker import die_first
from core.store.store import Store

IDLE_SECONDS = 300.0  # after which unused models are freed
Send = Callable[[Event], None]


class Worker:
    """Answers questions one after another, beside a run."""

    def __init__(self, models: LoadedModels, send: Send, store: Store):
        self.models, self.store = models, store
        self._send = send
        self.stopped: set[int] = set()  # numbers of questions, also of those that are not read yet

    def answer(self, number: int, question: Question) -> None:
        """Send the events of the answers to a question, the last one without a place."""
        end, most = Event(number=number, state="done"), len(question.variants) * question.sampling.tokens
        try:
            self._check(number)
            with own_job(self.store, QUESTION, question.row.model_dump_json()) as job, _private():
                self._send(Event(number=number, state="running"))
                for done, event in enumerate(self._events(number, question)):
                    self._check(number)
                    job.progress("reply", min(done, most), most)
                    self._send(event)
        except CancelledError:
            end = Event(number=number, state="done", stopped=True)
        except Exception as error:
            end = Event(number=number, state="failed", error=sentence(error))
        self._send(end)
        self.stopped.discard(number)

    def _check(self, number: int) -> None:
        if number in self.stopped:
            raise CancelledError

    def _events(self, number: int, question: Question) -> Iterator[Event]:
        """Yield the answers of the models that fit into memory together, in turn, then those of the next ones."""
        streams: list[Iterator[Event]] = []
        used: set[str] = set()
        for place, variant in enumerate(question.variants):
            if used and not self.models.has_room(used):
                yield from _in_turn(streams)
                used.clear()
            streams.append(self._answer(number, question, place, frozenset(used)))
            yield from islice(streams[place], 2)
            used.add(variant.key)
            used &= set(self.models.keys)  # a model that could not be loaded takes no room
        yield from _in_turn(streams)

    def _answer(self, number: int, question: Question, place: int, used: frozenset[str]) -> Iterator[Event]:
        """Yield the events of one model, which is loaded first; its failure leaves the other answers."""
        from core.evaluation.generation.generate import generate, prompt_ids

        yield Event(number=number, state="loading", place=place)
        try:
            loaded = self.models.get(question.variants[place], used)
            prompt = prompt_ids(loaded.tokenizer, question.prompt, question.chat)
            for token in generate(loaded.model, loaded.tokenizer, prompt, question.sampling):
                yield Event(number=number, state="running", place=place, token=token)
        except Exception as error:
            yield Event(number=number, state="failed", place=place, error=sentence(error))
        else:
            yield Event(number=number, state="done", place=place)


@contextmanager
def _private() -> Iterator[None]:
    """Keep the text of an unexpected error out of the job's row, as it may quote the prompt."""
    try:
        yield
    except CancelledError:
        raise
    except Exception as error:
        raise UserError(sentence(error)) from None


def _in_turn(streams: list[Iterator[Event]]) -> Iterator[Event]:
    """Yield an event of each answer in turn until all have ended."""
    for events in zip_longest(*streams):
        yield from filter(None, events)


def sentence(error: Exception) -> str:
    """Return one sentence for an error; it names only the type of an unexpected one, whose text may have the prompt."""
    if isinstance(error, UserError):
        return str(error)
    if out_of_memory(error):
        return MEMORY_RAN_OUT
    return f"The answer failed with a {type(error).__name__}; try another prompt or variant."


def serve(commands: IO[str], events: IO[str]) -> None:
    """Answer the questions of the stream `commands`, and write the events; the process ends with that stream."""

    def send(event: Event) -> None:
        print(event.model_dump_json(exclude_none=True), file=events, flush=True)

    worker, questions = Worker(LoadedModels(), send, Store()), SimpleQueue[tuple[int, Question]]()

    def read() -> None:
        try:
            for line in commands:
                command = Command.model_validate_json(line)
                if command.question is None:
                    worker.stopped.add(command.number)
                else:
                    questions.put((command.number, command.question))
        finally:
            os._exit(0)  # at once, also while a model computes

    threading.Thread(target=read, name="commands", daemon=True).start()
    while True:
        try:
            number, question = questions.get(timeout=IDLE_SECONDS)
        except Empty:
            worker.models.free(worker.models.keys)
        else:
            worker.answer(number, question)


def main() -> None:
    """Serve on the standard streams; whatever else libraries print is dropped."""
    die_first()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C ends the dashboard, and this process with its input
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin, events)


if __name__ == "__main__":
    main()
