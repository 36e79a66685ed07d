"""The parent's end of the process that generates answers: it starts the process, asks, stops, and collects tokens."""

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from core.answers.question import Command, Event, Question, State
from core.base.errors import UserError
from core.evaluation.generation.sampling import Token
from core.jobs.processes import child_environment, describe_exit

MOST_OPEN = 16  # questions that wait for their answers
LONGEST_UNWATCHED = 300.0  # seconds after which an answer stops; browsers refresh hidden tabs once a minute
COMMAND = (sys.executable, "-P", "-m", "core.answers.worker")


@dataclass
class Answer:
    """The answer of one variant, which grows."""

    state: State = "queued"
    tokens: list[Token] = field(default_factory=list)
    error: str | None = None  # of a failed answer, one sentence


class Answers:
    """The answers to a question, in the order of its variants."""

    def __init__(self, number: int, question: Question):
        self.number = number
        self.question = question
        self.state: State = "queued"
        self.stopped = False  # by a user, or because nobody watches
        self.error: str | None = None  # one sentence
        self.watched = time.monotonic()  # when its page last showed it
        self.answers = [Answer() for _ in question.variants]

    @property
    def active(self) -> bool:
        """Whether tokens may still come."""
        return self.state not in ("done", "failed")

    def apply(self, event: Event) -> None:
        """Record an event of the process."""
        changed = self if event.place is None else self.answers[event.place]
        if isinstance(changed, Answer) and event.token is not None:
            changed.tokens.append(event.token)
        changed.error = event.error
        self.stopped |= event.stopped
        changed.state = event.state


class Answerer:
    """The process of the answers, which starts with the first question; all sessions of a server share it."""

    def __init__(self, command: Sequence[str] = COMMAND):
        self._command = command
        self._lock = threading.RLock()
        self._numbers = count(1)
        self._open: dict[int, Answers] = {}  # of the process, by number
        self._process: subprocess.Popen[str] | None = None

    def ask(self, question: Question) -> Answers:
        """Put a question to the process, and return its answers, which grow.

        Raises:
            UserError: Too many questions wait, or the process cannot start.
        """
        with self._lock:
            if len(self._open) >= MOST_OPEN:
                raise UserError(f"{MOST_OPEN} questions already wait for their answers; try again in a minute.")
            process, answers = self._started(), Answers(next(self._numbers), question)
            self._open[answers.number] = answers
            self._write(process, Command(number=answers.number, question=question))
        return answers

    def stop(self, answers: Answers) -> None:
        """Stop answers; their tokens remain."""
        with self._lock:
            if answers.active and self._process:
                answers.stopped = True
                self._write(self._process, Command(number=answers.number))

    def _started(self) -> subprocess.Popen[str]:
        """Return the running process; start one if there is none."""
        if self._process is None or self._process.poll() is not None:
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,  # an error may quote a prompt
                    env=child_environment(),
                    encoding="utf-8",
                )
            except OSError as error:
                raise UserError(f"The process of the answers cannot start: {error.strerror or error}.") from None
            self._open = {}
            given = self._process, self._open
            threading.Thread(target=self._collect, args=given, name="answers", daemon=True).start()
        return self._process

    def _write(self, process: subprocess.Popen[str], command: Command) -> None:
        with suppress(BrokenPipeError):  # it has just ended, which `_collect` handles
            print(command.model_dump_json(), file=process.stdin, flush=True)

    def _collect(self, process: subprocess.Popen[str], waiting: dict[int, Answers]) -> None:
        """Record the events of a process until it ends, which ends its open answers."""
        for line in process.stdout or ():  # a pipe
            event = Event.model_validate_json(line)
            with self._lock:
                answers = waiting[event.number]
                answers.apply(event)
                if not answers.active:
                    del waiting[event.number]
                elif not answers.stopped and time.monotonic() - answers.watched > LONGEST_UNWATCHED:
                    self.stop(answers)
        code = process.wait()
        with self._lock:
            failed = f"The process of the answers {describe_exit(code)}. Generate the answers again to restart it."
            while waiting:
                number, answers = waiting.popitem()
                answers.apply(Event(number=number, state="failed", error=failed))
