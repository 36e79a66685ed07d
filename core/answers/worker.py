"""The process that generates answers: `python -m core.answers.worker`, with JSON lines on its standard streams.

It ends when its standard input closes, thus with the process that started it. It writes no log, as prompts and answers
are private.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import IO

from core.answers.models import LoadedModels
from core.answers.question import Command, Event, Question
from core.base.errors import MEMORY_RAN_OUT, CancelledError, UserError, out_of_memory
from core.evaluation.generation.sampling import Token
from core.jobs.worker import die_first

IDLE_CHECK_SECONDS = 10.0
Send = Callable[[Event], None]


class Worker:
    """Answers questions one after another, beside a run; those to one question grow together, a token each in turn."""

    def __init__(self, models: LoadedModels, send: Send):
        self.models = models
        self._send = send
        self._stopped: set[int] = set()  # numbers of questions

    def stop(self, number: int) -> None:
        """Stop the answers to a question, also to one that is not read yet."""
        self._stopped.add(number)

    def answer(self, number: int, question: Question) -> None:
        """Send the events of the answers to a question, the last one without a place."""
        try:
            self._check(number)
            self._send(Event(number=number, kind="starts"))
            self._generate(number, question)
        except CancelledError:
            self._send(Event(number=number, kind="ends"))
        except Exception as error:
            self._send(Event(number=number, kind="fails", error=sentence(error)))
        else:
            self._send(Event(number=number, kind="ends"))
        self.models.mark_used()
        self._stopped.discard(number)

    def _check(self, number: int) -> None:
        if number in self._stopped:
            raise CancelledError

    def _generate(self, number: int, question: Question) -> None:
        """Generate together the answers of the models that fit into memory together, then those of the next ones."""
        streams: dict[int, Iterator[Token]] = {}  # by place
        used: set[str] = set()
        for place, variant in enumerate(question.variants):
            self._check(number)
            if used and not self.models.has_room(used):
                self._exhaust(number, streams)
                used.clear()
            self._send(Event(number=number, kind="loads", place=place))
            streams[place] = self._stream(number, question, place, frozenset(used))
            self._advance(number, place, streams)
            used.add(variant.key)
            used &= set(self.models.keys)  # a model that could not be loaded takes no room
        self._exhaust(number, streams)

    def _stream(self, number: int, question: Question, place: int, used: frozenset[str]) -> Iterator[Token]:
        """Yield the answer of one model, which is loaded first."""
        from core.evaluation.generation.generate import generate, prompt_ids

        loaded = self.models.get(question.variants[place], used)
        prompt = prompt_ids(loaded.tokenizer, question.prompt, question.chat)
        yield from generate(loaded.model, loaded.tokenizer, prompt, question.sampling, lambda: number in self._stopped)

    def _exhaust(self, number: int, streams: dict[int, Iterator[Token]]) -> None:
        while streams:
            for place in list(streams):
                self._advance(number, place, streams)

    def _advance(self, number: int, place: int, streams: dict[int, Iterator[Token]]) -> None:
        """Send the next token of an answer, or that it ended; one answer that fails leaves the others."""
        try:
            token = next(streams[place], None)
        except Exception as error:
            event = Event(number=number, kind="fails", place=place, error=sentence(error))
        else:
            event = Event(number=number, kind="token" if token else "ends", place=place, token=token)
        if event.token is None:
            del streams[place]
        self._send(event)


def sentence(error: Exception) -> str:
    """Return one sentence for an error; it names only the type of an unexpected one, whose text may have the prompt."""
    if isinstance(error, UserError):
        return str(error)
    if out_of_memory(error):
        return MEMORY_RAN_OUT
    return f"The answer failed with a {type(error).__name__}; try another prompt or variant."


def serve(commands: IO[str], events: IO[str]) -> None:
    """Answer the questions of the stream `commands`, and write the events; the process ends with that stream."""
    from core.answers.loading import load

    def send(event: Event) -> None:
        events.write(event.model_dump_json(exclude_none=True) + "\n")
        events.flush()

    worker, questions = Worker(LoadedModels(load), send), SimpleQueue[tuple[int, Question]]()

    def read() -> None:
        try:
            for line in commands:
                command = Command.model_validate_json(line)
                if command.question is None:
                    worker.stop(command.number)
                else:
                    questions.put((command.number, command.question))
        finally:
            os._exit(0)  # at once, also while a model computes

    threading.Thread(target=read, name="commands", daemon=True).start()
    while True:
        try:
            number, question = questions.get(timeout=IDLE_CHECK_SECONDS)
        except Empty:
            worker.models.free_idle()
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
