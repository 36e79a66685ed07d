"""What the jobs of a store do now, how far they are, since when and until when, in words."""

from collections.abc import Sequence
from functools import lru_cache

from core.base.errors import UserError
from core.jobs.countdown import Countdown, job_left, left_words
from core.jobs.kinds import RUN, SEARCH
from core.jobs.queue import Job
from core.models.facts import load_shape
from core.models.sources import identify_again
from core.notation.formatting import format_duration
from core.request.expected.estimate import Estimate, estimate_left
from core.specs import RunSpec
from core.store.slots import slots
from core.store.store import Store

STAGES = {
    "search": "Searching",
    "waiting": "Waiting for another run on this machine",
    "machine": "Waiting for a machine",
    "load": "Loading the model",
    "download": "Downloading",
    "convert": "Converting the model, once",
    "observe": "Collecting statistics of the calibration data",
    "gradients": "Computing gradients",
    "scan": "Measuring layer sensitivity",
    "compress": "Compressing",
    "answers": "Generating the teacher's answers",
    "train": "Training",
    "dense": "Computing the dense model's outputs, once per text",
    "perplexity": "Measuring perplexity",
    "requests": "Preparing the tasks",
    "prompts": "Writing the few-shot prompts",
    "tasks": "Scoring the tasks",
    "latency": "Measuring latency",
    "reply": "Answering",
    "keep": "Caching the model for later runs",
    "save": "Saving the model",
    "prove": "Verifying the export",
}
UNKNOWN = Estimate(seconds=0, bytes=0)


class Outlook:
    """The progress and the remaining time of jobs, which pages and commands show alike."""

    def __init__(self, store: Store):
        self._store = store
        self._expected = lru_cache(maxsize=64)(self._estimate)  # so that the estimate of a job stays while it runs
        self._countdown = lru_cache(maxsize=64)(self._begin)

    def words(self, job: Job) -> str:
        """Return what an active job does, its detail, its share, and the times since its start and until its end."""
        if job.state == "queued":
            return "Queued"
        parts = ["Cancelling" if job.cancel else STAGES.get(job.stage, job.stage.capitalize() or "Starting")]
        parts += [job.detail] * (job.stage != "waiting")
        parts += [f"{job.share:.0%}".replace("%", " %")] * (job.total > 0)
        if job.started:
            parts.append(format_duration(job.read - job.started).removeprefix("about ") + " so far")
        left = (
            max(0, job.total - job.done) if job.stage == SEARCH else self.seconds_left([job])
        )  # a search counts seconds
        return " · ".join(filter(None, [*parts, left_words(left)]))

    def seconds_left(self, active: Sequence[Job]) -> float | None:
        """Return the remaining seconds of all these active jobs; None without a run or without an estimate."""
        runs = [job for job in active if job.kind == RUN]
        running = [job for job in runs if job.state == "running"]
        if not (whole := self._expected(_texts(runs)).seconds):
            return None
        left = [
            job_left(self._expected(_texts([job])).seconds, job.read - (job.started or job.read), self._stage_left(job))
            for job in running
        ]
        queued = max(0.0, whole - self._expected(_texts(running)).seconds)
        return max(left, default=0.0) + queued / max(slots(), len(running))

    def _stage_left(self, job: Job) -> float | None:
        countdown = self._countdown(_texts([job]), job.attempts)
        countdown.update(job.stage, job.done, job.total, job.read, job.stage_started if job.stage else job.started)
        return countdown.seconds_left(job.read)

    def _begin(self, texts: tuple[tuple[int, str], ...], attempt: int) -> Countdown:
        return Countdown(self._expected(texts).stages)

    def _estimate(self, texts: tuple[tuple[int, str], ...]) -> Estimate:
        """Estimate the jobs whose models are here; a text or a method that is missing is reported by the job."""
        specs = [RunSpec.model_validate_json(text) for _, text in texts]
        try:
            return estimate_left([spec for spec in specs if _is_here(spec)], self._store)
        except UserError:
            return UNKNOWN


def _texts(jobs: Sequence[Job]) -> tuple[tuple[int, str], ...]:
    return tuple(sorted((job.id, job.text) for job in jobs))


def _is_here(spec: RunSpec) -> bool:
    try:
        load_shape(identify_again(spec.variant.model, spec.variant.revision))
    except UserError:
        return False
    return True
