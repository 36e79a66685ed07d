"""The Hugging Face Hub: whether it answers, what of it is cached here, and its failures as sentences."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from core.cache.folders import put
from core.errors import UserError, echo
from core.progress import Progress, silent

PROBE_SECONDS = 2.0
# What a causal LM needs. Pickled weights are fetched only where there are no safetensors.
MODEL_FILES = ("*.json", "*.model", "*.txt", "*.jinja", "constraints.bits")


@cache
def online() -> bool:
    """Return whether the hub answers. Asked once a process, in at most 2 s, as a failing look-up takes 20."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def ask() -> None:
        try:
            if get_session().head(constants.ENDPOINT, timeout=PROBE_SECONDS).status_code < 400:
                answered.set()
        except (HTTPError, OSError):
            return

    # In a thread, because a name look-up has no timeout of its own.
    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    asker.join(PROBE_SECONDS)
    return answered.is_set()


def _cached_config(repo: str, commit: str | None = None) -> Path | None:
    """Return a model's `config.json` in the local Hugging Face cache (by default of its `main`), or None."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo, "config.json", revision=commit)
    return Path(path) if isinstance(path, str) else None  # else a sign that the hub has none


def cached_revision(repo: str) -> str | None:
    """Return the commit that the local Hugging Face cache holds as `main` of a model, or None."""
    config = _cached_config(repo)
    return config.parent.name if config else None


def revision(repo: str, gated: bool = False) -> str:
    """Return the commit of a model: the cached one if there is one, so that a repeated run names the same model."""
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
        raise UserError(
            f"The Hugging Face Hub names no commit of {echo(repo)}; give the path of a folder as the model."
        )
    return found


def cached_folder(repo: str, commit: str) -> Path | None:
    """Return the folder of a model's commit in the local Hugging Face cache, or None. It may be incomplete."""
    config = _cached_config(repo, commit)
    return config.parent if config else None


def download_config(repo: str, commit: str) -> Path:
    """Return the path of a model's `config.json`, fetched if need be."""
    if folder := cached_folder(repo, commit):
        return folder / "config.json"
    _need_hub(repo)
    from huggingface_hub import hf_hub_download

    with sentences(repo):
        return Path(hf_hub_download(repo, "config.json", revision=commit))


def download_model(repo: str, commit: str, progress: Progress = silent) -> Path:
    """Fetch what a causal LM needs into the Hugging Face cache and return its folder.

    File by file and not by `snapshot_download`, which fetches them in no order, and hands back what is there of a
    snapshot where the hub fails.
    """
    _need_hub(repo)
    from huggingface_hub import HfApi, hf_hub_download

    with sentences(repo):
        files = HfApi().model_info(repo, revision=commit, timeout=10, files_metadata=True).siblings or []
        sizes = {file.rfilename: file.size or 0 for file in files}
        wanted = wanted_files(list(sizes))
        done, total = 0, sum(sizes[name] for name in wanted)

        def tell(name: str, here: int) -> None:
            progress("download", min(done + here, total), total, f"{repo}: {name}")

        for name in wanted:
            tell(name, 0)
            path = Path(hf_hub_download(repo, name, revision=commit, tqdm_class=_teller(partial(tell, name))))
            done += sizes[name]
    if cached_revision(repo) is None:
        put(path.parents[2] / "refs" / "main", commit.encode())  # so that it is found without the hub
    progress("download", total, total, repo)
    return path.parent


def _teller(tell: Callable[[int], None]) -> type:
    """Return a class of progress bars that draw nothing and tell how many bytes of a file are here."""
    from huggingface_hub.utils import tqdm

    class Teller(tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            tell(int(self.n))

    return Teller


def wanted_files(names: list[str]) -> list[str]:
    """Return those of a repository's top-level files that are needed; the last is the configuration."""
    top = [n for n in names if "/" not in n and n != "config.json"]
    weights = [n for n in top if Path(n).match("model*.safetensors")]
    weights = weights or [n for n in top if Path(n).match("pytorch_model*.bin")]
    # The configuration comes last, so that a folder that has one was fetched to the end.
    return [n for n in top if any(Path(n).match(p) for p in MODEL_FILES)] + weights + ["config.json"]


def _need_hub(repo: str, gated: bool = False) -> None:
    from huggingface_hub import constants

    licence = f"accept its licence at {constants.ENDPOINT}/{repo}, run `hf auth login` and" if gated else "run"
    if not online():
        raise UserError(
            f"The Hugging Face Hub cannot be reached and {echo(repo)} is not in the local cache; on a machine that is "
            f"online {licence} `hf download {repo} --local-dir FOLDER`, then give the folder's path as the model."
        )


@contextmanager
def sentences(repo: str) -> Iterator[None]:
    """Turn the hub's errors about a repository into a `UserError` that says what to do."""
    from huggingface_hub import constants, errors

    try:
        yield
    except errors.GatedRepoError:
        raise UserError(
            f"{echo(repo)} is gated: accept its licence at {constants.ENDPOINT}/{repo}, then run `hf auth login`."
        ) from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise UserError(
            f"There is no public {echo(repo)} on the Hugging Face Hub; check the name, or run `hf auth login` "
            "if it is private."
        ) from None
    except errors.EntryNotFoundError as error:
        raise UserError(f"{echo(repo)} on the Hugging Face Hub lacks a file that is needed: {error}.") from None
    except (errors.HTTPError, ConnectionError) as error:
        raise UserError(
            f"The Hugging Face Hub failed while serving {echo(repo)} ({type(error).__name__}); try again."
        ) from None
