"""The question of the autopilot, checked before the search: a model, a budget, a time, and what the user allows."""

from functools import cache
from pathlib import PurePath
from typing import NamedTuple

from pydantic import Field

from core.answers.question import QuestionRow
from core.base.errors import UserError
from core.data import files
from core.data.cards import SEVEN, TASKS
from core.data.corpora import default_corpora
from core.jobs.kinds import QUESTION, SEARCH
from core.jobs.queue import Job
from core.jobs.worker import read_work
from core.models.facts import load_shape
from core.models.shape import ModelShape
from core.models.source import ModelSource
from core.models.sources import identify
from core.models.terms import check_here
from core.notation.chain import ChainDefaults, StageRequest
from core.notation.formatting import format_number, label
from core.notation.short import name_with_model
from core.request.complete import check_device, complete, default_text, identified_task, identified_text
from core.request.resolve import check_experts
from core.request.settings import RunSettings
from core.request.stages import DEFAULT_WINDOW
from core.results import Result
from core.search.prior import Prior, stored_effects
from core.search.space import Candidate, Files, Fits, Restrictions, Space, enumerate_space
from core.shipping.base import Format
from core.shipping.formats import find_format
from core.specs import Frozen, ModelId, Perplexity, RunSpec, Stage, Task, VariantSpec
from core.store.store import Store

SELECTION = "passages-eval"  # the corpus that every machine has
WINDOWS = 16  # of each text
DOCUMENTS = 100  # of each task that judges


class Question(Frozen):
    """What the user asks."""

    model: str
    # 10^6 bytes of the file in the format that the model must fit; without one, of packed size.
    max_mb: float = Field(gt=0, allow_inf_nan=False)
    minutes: float = Field(gt=0, allow_inf_nan=False)
    restrictions: Restrictions = Restrictions()
    device: str = "cpu"

    @property
    def most_bytes(self) -> float:
        return 1e6 * self.max_mb

    @property
    def form(self) -> Format | None:
        """The format of the file whose size counts; None: the packed size counts."""
        only = self.restrictions.only
        return None if only is None else find_format(only)

    @property
    def budget(self) -> str:
        """The most megabytes in words: `90 MB`, or `90 MB as GGUF`."""
        return f"{self.max_mb:g} MB{self.as_format}"

    @property
    def as_format(self) -> str:
        """The words after a size: ` as GGUF`; none for packed sizes."""
        return f" as {self.form.label}" if self.form else ""

    @property
    def title(self) -> str:
        """The name of its search, without private paths. It states nothing that changes while the search runs."""
        path, allowed = PurePath(self.model), self.restrictions
        words = [f"{path.name if path.is_absolute() else self.model} below {self.max_mb:g} MB"]
        words += [f"for {self.form.label}"] if self.form else []
        words += [", ".join(label(name) for name in allowed.methods)] * bool(allowed.methods)
        words += ["no training"] * (not allowed.training) + ["no removal"] * (not allowed.structured)
        return " · ".join(words)

    @property
    def size_title(self) -> str:
        """The title of sizes in a table."""
        return f"{self.form.label} MB" if self.form else "Packed MB"


class Prepared(NamedTuple):
    """A checked question with the chains to choose from and what is expected of them."""

    question: Question
    source: ModelSource
    settings: RunSettings  # of its runs
    space: Space
    prior: Prior
    text: Perplexity  # on which the search selects
    judge: Perplexity  # on which the winner is judged
    tasks: tuple[Task, ...]  # that judge it, too; empty if this machine lacks their documents

    def bytes_of(self, result: Result) -> float | None:
        """Return the bytes of a variant that count for the budget; None if they are unknown."""
        counted, files = result.footprint, self.space.files
        if counted is None:
            return None
        return counted.packed_bytes if files is None else files.bytes_of(result.variant, counted)

    def run(self, chain: str, windows: int) -> RunSpec:
        """Return the run that measures a chain on some windows of the search."""
        return self._measuring(chain, self.text.model_copy(update={"windows": windows}))

    def judgement(self, chain: str) -> RunSpec:
        """Return the run that judges a chain."""
        return self._measuring(chain, self.judge, self.tasks)

    def _measuring(self, chain: str, text: Perplexity, tasks: tuple[Task, ...] = ()) -> RunSpec:
        settings = self.settings.model_copy(update={"perplexity": (text,), "tasks": tasks})
        return complete(self.question.model, chain, settings).model_copy(update={"paired": True})


def prepare(question: Question, store: Store) -> Prepared:
    """Return a checked question.

    Raises:
        UserError: The model is not a language model on this machine, or no chain fits the budget.
    """
    check_device(question.device)
    source = identify(question.model)
    check_here(source)
    shape = load_shape(source)
    sizes = None if question.form is None else Files(question.form, source)
    data, training = (identified_text(default_text(one, shape), shape) for one in (False, True))
    defaults = ChainDefaults(data, training, 0)
    results = [result for result in store.results() if not result.variant.is_external]
    models = sorted({one.variant.model_id for one in results})
    others = {model: stored_effects(one for one in results if one.variant.model_id == model) for model in models}
    own = others.pop(ModelId(source.id, source.revision), {})
    space = enumerate_space(shape, defaults, question.restrictions, fits_of(source, question.form), own, sizes)
    check_feasible(space, question)
    text, judge = (identified_text(one, shape) for one in texts(shape))
    settings = RunSettings(calibration=data, train=training, device=question.device)
    prior = Prior(own, [*others.values()])
    here = all(files.find(TASKS[name].file) for name in SEVEN)
    tasks = tuple(identified_task(Task(task=name, limit=DOCUMENTS)) for name in SEVEN if here)
    return Prepared(question, source, settings, space, prior, text, judge, tasks)


def opening(prepared: Prepared) -> str:
    """Return what a search chooses from and reads, as sentences."""
    question, space = prepared.question, prepared.space
    fitting = int((space.sizes <= question.most_bytes).sum())
    others, alike = prepared.prior.only_others, prepared.text.corpus == prepared.judge.corpus
    words = [
        f"{fitting:,} of {space.sizes.size - 1:,} chains bring {prepared.source.id} below {question.budget}.",
        f"Trials read {prepared.text}, and the judgement {prepared.judge}.",
        "No result of this model is stored, so the search starts from those of other models." * others,
        "This machine has one text only, so the judgement is optimistic." * alike,
    ]
    return " ".join(filter(None, words))


def fits_of(source: ModelSource, only: Format | None) -> Fits:
    """Return the check of stages: `UserError` if the model refuses one, or the model after them does not fit `only`."""

    @cache
    def check_method(name: str) -> None:
        check_experts(source, [StageRequest(name)])

    def check(stages: tuple[Stage, ...]) -> None:
        for stage in stages:
            check_method(stage.method)
        if only is not None and stages:
            only.check(VariantSpec(model=source.id, revision=source.revision, stages=stages), source)

    return check


def check_feasible(space: Space, question: Question) -> None:
    """Raise `UserError` with the smallest chain if none fits the budget."""
    order = space.sizes.argsort(axis=None, kind="stable").tolist()
    smallest = next(filter(space.legal, (Candidate(*divmod(one, len(space.tables))) for one in order)), None)
    if smallest is None:
        raise UserError("These restrictions leave no chain; allow more methods.")
    least = space.sizes[smallest] / 1e6
    if least > question.max_mb:
        raise UserError(
            f"No chain brings the model below {question.budget}. The smallest takes {format_number(least)} MB: "
            f"{space.chain(smallest)}."
        )


def texts(shape: ModelShape) -> tuple[Perplexity, Perplexity]:
    """Return the text on which a search selects and that on which it judges.

    Both are windows of the embedded text if this machine has no other.
    """
    window = min(DEFAULT_WINDOW, shape.max_window)
    selection = Perplexity(corpus=SELECTION, window=window, windows=WINDOWS, spread=True)
    return selection, Perplexity(corpus=default_corpora()[0], window=window, windows=WINDOWS)


def work_title(work: Job) -> str:
    """Return the title of a job, or why its row cannot be read."""
    try:
        if work.kind == SEARCH:
            return read_work(Question, work.text).title
        if work.kind == QUESTION:
            return read_work(QuestionRow, work.text).title
        variant = read_work(RunSpec, work.text).variant
    except UserError as error:
        return str(error)
    return name_with_model(variant, variant.model)
