"""Access to the Hugging Face Hub and its local cache, with its failures as user errors."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from core.base.errors import UserError, echo
from core.base.progress import Progress, silent
from core.cache.folders import put

PROBE_SECONDS = 2.0
# Files of a causal LM besides weights. Pickled weights are fetched only without safetensors.
MODEL_FILES = ("*.json", "*.model", "*.txt", "*.jinja", "constraints.bits")


@cache
def online() -> bool:
    """Return whether the hub answers within 2 s; checked once per process, as a failing look-up takes 20 s."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def request() -> None:
        try:
            if get_session().head(constants.ENDPOINT, timeout=PROBE_SECONDS).status_code < 400:
                answered.set()
        except (HTTPError, OSError):
            return

    # In a thread, because a name look-up has no timeout of its own.
    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return answered.is_set()


def cached_folder(repo: str, commit: str | None = None) -> Path | None:
    """Return the folder of a model's commit, by default of `main`, in the local cache, possibly incomplete, or None."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo, "config.json", revision=commit)
    return Path(path).parent if isinstance(path, str) else None  # not a marker that the hub has none


def cached_revision(repo: str) -> str | None:
    """Return the commit of a model's `main` in the local Hugging Face cache, or None."""
    folder = cached_folder(repo)
    return folder.name if folder else None


def revision(repo: str, gated: bool = False) -> str:
    """Return a model's commit, preferably the cached one, so that a repeated run uses the same model."""
    from huggingface_hub.utils import validate_repo_id

    with sentences(repo):
        validate_repo_id(repo)
    if found := cached_revision(repo):
        return found
    _need_hub(repo, gated)
    from huggingface_hub import HfApi

    with sentences(repo):
        found = HfApi().model_info(repo, timeout=10).sha
    if found is None:
        raise UserError(f"The Hugging Face Hub has no commit of {echo(repo)}; give the path of a folder as the model.")
    return found


def download_config(repo: str, commit: str) -> Path:
    """Return the path of a model's `config.json`; download it if it is missing."""
    if folder := cached_folder(repo, commit):
        return folder / "config.json"
    _need_hub(repo)
    from huggingface_hub import hf_hub_download

    with sentences(repo):
        return Path(hf_hub_download(repo, "config.json", revision=commit))


def download_model(repo: str, commit: str, progress: Progress = silent) -> Path:
    """Download the files of a causal LM into the Hugging Face cache and return its folder.

    It downloads file by file. `snapshot_download` has no fixed order, and returns an incomplete snapshot if the hub
    fails.
    """
    _need_hub(repo)
    from huggingface_hub import HfApi, hf_hub_download

    with sentences(repo):
        files = HfApi().model_info(repo, revision=commit, timeout=10, files_metadata=True).siblings or []
        sizes = {file.rfilename: file.size or 0 for file in files}
        wanted = wanted_files(list(sizes))
        done, total = 0, sum(sizes[name] for name in wanted)

        def report(name: str, received: int) -> None:
            progress("download", min(done + received, total), total, f"{repo}: {name}")

        for name in wanted:
            report(name, 0)
            path = Path(hf_hub_download(repo, name, revision=commit, tqdm_class=_reporter(partial(report, name))))
            done += sizes[name]
    if cached_revision(repo) is None:
        put(path.parents[2] / "refs" / "main", commit.encode())  # for look-ups without the hub
    progress("download", total, total, repo)
    return path.parent


def _reporter(report: Callable[[int], None]) -> type:
    """Return a class of invisible progress bars that report the received bytes of a file."""
    from huggingface_hub.utils import tqdm

    class Reporter(tqdm):
        def __init__(self, *args: Any, **kwargs: Any):  # Any: as of tqdm
            tqdm.__init__(self, *args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            report(int(self.n))

    return Reporter


def wanted_files(names: list[str]) -> list[str]:
    """Select the required top-level files of a repository; the configuration is last."""
    top = [n for n in names if "/" not in n and n != "config.json"]
    weights = [n for n in top if Path(n).match("model*.safetensors")]
    weights = weights or [n for n in top if Path(n).match("pytorch_model*.bin")]
    # The configuration comes last, so that a folder with one is complete.
    return [n for n in top if any(Path(n).match(p) for p in MODEL_FILES)] + weights + ["config.json"]


def _need_hub(repo: str, gated: bool = False) -> None:
    from huggingface_hub import constants

    licence = f"accept its licence at {constants.ENDPOINT}/{repo}, run `hf auth login` and" if gated else "run"
    if not online():
        raise UserError(
            f"The Hugging Face Hub is not reachable and {echo(repo)} is not in the local cache. On a machine that is "
            f"online, {licence} `hf download {repo} --local-dir FOLDER`, then give the folder's path as the model."
        )


@contextmanager
def sentences(repo: str) -> Iterator[None]:
    """Convert the hub's errors about a repository to a `UserError` with a fix."""
    from huggingface_hub import constants, errors

    try:
        yield
    except errors.GatedRepoError:
        raise UserError(
            f"{echo(repo)} is gated: accept its licence at {constants.ENDPOINT}/{repo}, then run `hf auth login`."
        ) from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise UserError(
            f"The Hugging Face Hub has no public {echo(repo)}; check the name, or run `hf auth login` if it is private."
        ) from None
    except errors.EntryNotFoundError as error:
        raise UserError(f"{echo(repo)} on the Hugging Face Hub lacks a required file: {error}.") from None
    except (errors.HTTPError, ConnectionError) as error:
        raise UserError(
            f"The Hugging Face Hub failed while serving {echo(repo)} ({type(error).__name__}); try again."
        ) from None
