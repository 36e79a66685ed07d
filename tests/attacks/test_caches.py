"""Damaged files of the cache: whatever the damage, a run gives the number that it gives on an empty cache."""

import json
import shutil
from itertools import product

import pytest

from tests.attacks.damage import ATTACK
from tests.attacks.machine import expect
from tests.core.data.task_rows import PIQA, PIQA_FILE, write

pytestmark = ATTACK

CHAINS = (
    *("sparsegpt@0.5", "sparsegpt@0.5+gptq@4bit,group_size=16", "flap@0.3", "svd-llm@0.5"),
    *("magnitude@0.5+lora,epochs=1,rank=2,batch=8", "magnitude@0.3"),
)
SCORED = CHAINS[-1]  # on a task, too


def numbers(chain, windows):
    """Return what a chain measures on some windows, and on as many documents."""
    calibration = () if chain.startswith("magnitude") else ("--calibration", "text.txt:4x32")
    train = ("--train", "text.txt:16x24") if "lora" in chain else ()
    tasks = ("--tasks", f"piqa:{windows}") if chain == SCORED else ()
    words = ("run", "./tiny", chain, *calibration, *train, *tasks, "--perplexity", f"text.txt@32:{windows}", "--json")
    text = expect(*words, codes=(0,))
    content = json.loads(text[text.index("{\n") : text.rindex("}") + 1])
    rows = [(row["protocol"], row["value"]) for row in content["measurements"]]
    return [value for protocol, value in rows if windows in (protocol.get("windows"), protocol.get("limit"))]


@pytest.fixture(scope="module")
def filled(machine, tmp_path_factory):
    """Data of a task, the cache and results after all chains, and by chain the numbers of another request."""
    folder = tmp_path_factory.mktemp("caches")
    write(folder / "data" / PIQA_FILE, PIQA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIMSCOPE_DATA", str(folder / "data"))
        patch.setenv("DISABLE_MULTIPROC", "1")
        with machine.place() as place:
            for chain in CHAINS:
                numbers(chain, 4)
            shutil.copytree(place / "cache", folder / "cache")
            shutil.copytree(place / "results", folder / "results")
            shutil.rmtree(place / "cache")
            yield folder, {chain: numbers(chain, 3) for chain in CHAINS}


def files(cache, kind):
    """Return the files of one kind in a cache."""
    return sorted(path for path in cache.glob(kind) if path.is_file() and path.suffix != ".lock")


def _flip(content, draw):
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << draw.randrange(8))]) + content[place + 1 :]


DAMAGES = {
    "a flipped bit": _flip,
    "cut off": lambda content, draw: content[: draw.randrange(len(content))],
    "empty": lambda content, draw: b"",
    "garbage": lambda content, draw: draw.randbytes(len(content)),
    "zeros": lambda content, draw: b"\0" * len(content),
    "longer": lambda content, draw: content + draw.randbytes(8),
    "deleted": lambda content, draw: None,
}
FOLDER = "a folder in its place"
VARIANT = ("checksums.json", "config.json", "constraints.bits", "generation_config.json", "grids.bits", "result.json")
KINDS = (
    *("facts/*", "folders/*", "texts/*", "tokens/*", "requests/*/*", "variants/*/model.safetensors"),
    *("observed/*/checksums.json", "observed/*/observed.safetensors"),
    *(f"variants/*/{name}" for name in (*VARIANT, "modeling_slimscope.py", "references.bits")),
)


def test_every_cached_file_is_of_a_kind_and_every_kind_has_a_file(filled):
    cache = filled[0] / "cache"
    by_kind = {kind: set(files(cache, kind)) for kind in KINDS}
    assert all(by_kind.values()) and set(files(cache, "**/*")) == set.union(*by_kind.values())


@pytest.mark.parametrize(("kind", "damage"), product(KINDS, (*DAMAGES, FOLDER)))
def test_damaged_files_are_made_again(kind, damage, filled, draw, tmp_path, monkeypatch):
    folder, expected = filled
    for name in ("cache", "results"):
        shutil.copytree(folder / name, tmp_path / name)
        monkeypatch.setenv(f"SLIMSCOPE_{name.upper()}", str(tmp_path / name))
    if not kind.startswith("variants"):
        shutil.rmtree(tmp_path / "cache" / "variants")  # a cached variant is measured without its inputs
    for file in files(tmp_path / "cache", kind):
        content = file.read_bytes()
        file.unlink()
        if damage == FOLDER:
            (file / "inside").mkdir(parents=True)
        elif (changed := DAMAGES[damage](content or b"x", draw)) is not None:
            file.write_bytes(changed)
    for chain in draw.sample(CHAINS, len(CHAINS)):
        assert numbers(chain, 3) == expected[chain], chain
