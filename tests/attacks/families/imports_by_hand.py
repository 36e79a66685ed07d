"""Imports chosen by hand: near the limits, deeply nested, linked, from pipes, and with impossible numbers."""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.attacks.ending import bad_end, run_command
from tests.attacks.family import Family
from tests.attacks.machine import Machine, prepare_machine
from tests.core.imports.given import FILES, HEADER, PERPLEXITY, changed

MEGABYTES = 10**6
MODEL = ("--model", "smollm2-135m", "--label", "mine", "--ratio", "0.5")
RESULTS = next(file for file in FILES if file.suffix == ".json")
HUGE = int("9" * 400)

Case = Callable[[Path], list[Path]]  # writes files into an empty folder, and returns those to import


def content(name: str, text: bytes | str) -> Case:
    """Return the case of one file."""

    def write(place: Path) -> list[Path]:
        (place / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return [place / name]

    return write


def link(name: str, target: str) -> Case:
    """Return the case of a link."""

    def write(place: Path) -> list[Path]:
        (place / name).symlink_to(target)
        return [place / name]

    return write


def pipe(name: str) -> Case:
    """Return the case of a named pipe that nobody writes to."""

    def write(place: Path) -> list[Path]:
        os.mkfifo(place / name)
        return [place / name]

    return write


def number(**changes: Any) -> Case:
    """Return the case of a results file with other values."""
    return lambda place: content("results_x.json", changed(RESULTS, changes))(place)


def _socket(place: Path) -> list[Path]:
    address = place / "x.csv"
    os.chdir(place)  # as the path of a socket is limited
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("x.csv")
    return [address]


def _with_samples(name: str, text: bytes) -> Case:
    return lambda place: [RESULTS, *content(name, text)(place)]


SAMPLES = "samples_piqa_2026-11-26T10-36-11.jsonl"
SCORES = {"piqa": {"acc,none": 0.5, "acc_stderr,none": 0.1}}
# By case: the exit code, and what is imported.
CASES: dict[str, tuple[int, Case]] = {
    "more than 20 MB": (2, content("x.csv", b"x" * (20 * MEGABYTES + 1))),
    "20 MB of one cell": (2, content("x.csv", HEADER.encode() + b"\n" + b"x" * 19 * MEGABYTES)),
    "20 MB of empty lines": (2, content("x.csv", HEADER.encode() + b"\n" * 19 * MEGABYTES)),
    "20 MB of rows": (2, content("x.csv", "\n".join([HEADER, *[PERPLEXITY] * 250_000]))),
    "20 MB in an open quote": (2, content("x.csv", b'"' + b"x," * 9 * MEGABYTES)),
    "20 MB of columns": (2, content("x.csv", b"x," * 9 * MEGABYTES)),
    "20 MB of a JSON text": (2, content("x.json", b'"' + b"x" * 19 * MEGABYTES + b'"')),
    "20 MB of JSON lists": (2, content("x.json", b"[" + b"[]," * 6 * MEGABYTES + b"[]]")),
    "20 MB of brackets": (2, content("x.json", b"[" * 19 * MEGABYTES)),
    "nested objects": (2, content("x.json", b'{"a":' * 100_000)),
    "nested in a results file": (2, number(configs=json.loads("[" * 400 + "]" * 400))),
    "more than 50 MB of samples": (2, _with_samples(SAMPLES, b"x" * (50 * MEGABYTES + 1))),
    "50 MB of one sample": (2, _with_samples(SAMPLES, b"x" * 49 * MEGABYTES)),
    "many samples": (2, _with_samples(SAMPLES, b"{}\n" * 30_000)),
    "a nested sample": (2, _with_samples(SAMPLES, b'{"doc_id": ' + b"[" * 100_000)),
    "a link to zeros": (2, link("x.csv", "/dev/zero")),
    "samples that are a link to zeros": (2, link("x.jsonl", "/dev/zero")),
    "a link to random bytes": (2, link("x.json", "/dev/urandom")),
    "a link to nothing": (2, link("x.csv", "/dev/null")),
    "a broken link": (2, link("x.csv", "gone.csv")),
    "a link to itself": (2, link("x.csv", "x.csv")),
    "a link to a folder": (2, link("x.csv", ".")),
    "a link to a file without a length": (2, link("x.csv", "/proc/self/maps")),
    "a pipe": (2, pipe("x.csv")),
    "a pipe of results": (2, pipe("results_x.json")),
    "a pipe of samples": (2, lambda place: [RESULTS, *pipe(SAMPLES)(place)]),
    "a socket": (2, _socket),
    "an infinite limit": (2, number(config__limit=float("inf"))),
    "an accuracy of 400 digits": (2, number(results={"piqa": {"acc,none": HUGE}})),
    "a version of 400 digits": (2, number(versions__piqa=HUGE)),
    "half of a surrogate pair": (2, number(system_instruction="\ud800")),
    "half of a surrogate pair in a template": (2, number(chat_template="\ud800")),
    "half of a surrogate pair in a version": (2, number(versions__piqa="\ud800")),
    "a version that is no number": (2, number(versions__piqa=float("nan"))),
    "an infinite version": (2, number(versions__piqa=float("-inf"))),
    "a negative standard error": (2, number(results={"piqa": {**SCORES["piqa"], "acc_stderr,none": -3}})),
    "a negative perplexity": (2, number(results={"lambada_openai": {"perplexity,none": -5}})),
    "a perplexity of 0": (2, number(results={"lambada_openai": {"perplexity,none": 0}})),
    "more documents scored than there are": (2, number(**{"n-samples__piqa": {"original": 4, "effective": 9}})),
    "a link to a good file": (0, link(RESULTS.name, str(RESULTS))),
}


def ends_well(given: tuple[Machine, str], draw: random.Random, place: Path) -> str | None:
    """Import the files of a case."""
    machine, name = given
    machine.copy_results(place)
    folder = place / "files"
    folder.mkdir()
    code, case = CASES[name]
    words = ["import", *map(str, case(folder)), *MODEL]
    fault = bad_end(words, *run_command(words), good=(code,))
    return fault and f"{name}: {fault}"


FAMILIES = (
    Family(
        "imports-by-hand",
        len(CASES),
        ends_well,
        prepare_machine,
        cases=tuple(CASES),
        isolated=True,
        seconds=150.0,
        memory=3.0,
    ),
)
