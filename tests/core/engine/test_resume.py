"""An interrupted stage resumes after its last finished block, and gives the result of an uninterrupted one."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.amount import Amount, Bits, Ratio
from core.base.errors import CancelledError
from core.base.paths import PROJECT
from core.base.progress import silent
from core.cache import checkpoint
from core.cache.shelf import Shelf
from core.cli.app import main
from core.data.corpora import identify_corpus
from core.engine.session import Session
from core.engine.variants import make_variant
from core.methods.unstructured.obs import OBS
from core.methods.unstructured.sparsegpt import SparseGPT
from core.models.parts import finished
from core.models.sources import identify
from core.request.stages import build_stage
from core.specs import RunSpec, TextWindows, VariantSpec
from tests.core.contract.ground import same
from tests.core.engine.applied import stopping
from tests.core.tiny import tiny

pytestmark = pytest.mark.usefixtures("machine", "often")

BLOCK, FIRST = 7, 10  # linears of a block of the small model, which has two; computed before the interruption
METHODS = {  # each kind of stage that walks, and of what it leaves
    "wanda": (Amount.from_columns(None, "2:4"), {}),
    "gptq": (Bits(4), {"group_size": 0}),
    "rtn": (Bits(4), {"group_size": 0}),
    "autoround": (Bits(4), {"group_size": 0, "iterations": 2}),
    "svd-llm": (Ratio(0.3), {}),
    "slimllm": (Ratio(0.25), {}),
    "lorap": (Ratio(0.25), {}),
}
DYING = """
import os, signal
from tests.core.engine.test_resume import BLOCK, made, spec_of

def die(what, done, total, detail=""):
    if what == "compress" and done == BLOCK + 1:
        os.kill(os.getpid(), signal.SIGKILL)

made(spec_of("wanda"), die, streams=True)
"""


@pytest.fixture
def often(monkeypatch):
    """Keep every block."""
    monkeypatch.setattr(checkpoint, "INTERVAL", 0)
    monkeypatch.setattr(checkpoint, "PAUSE", 0)


def spec_of(*names, ratio=0.5, amount=None, **settings):
    source, corpus = identify("./tiny"), identify_corpus("text.txt").id
    text = TextWindows(corpus=corpus, windows=8, window=24)
    stages = [build_stage("magnitude", Ratio(0.3))] if names[1:] else []
    stages.append(build_stage(names[-1], amount or Ratio(ratio), settings, None if names[-1] == "rtn" else text))
    return VariantSpec(model=source.id, revision=source.revision, stages=tuple(stages))


def made(spec, progress=silent, fresh=False, streams=False):
    session = Session([RunSpec(variant=spec)])
    session.shelf = Shelf(0) if streams else None
    return make_variant(spec, session, progress, fresh)


def own_model(place, monkeypatch, architecture, **changes):
    """Put another model in the place of the small one."""
    shutil.copytree(Path.cwd(), place / "own")
    monkeypatch.chdir(place / "own")
    tiny(architecture, **changes).save_pretrained("tiny")


def stopped(spec, at, error=CancelledError, **how):
    """Begin a run that stops where `at` of the part of the work, the steps done, and their total is true."""
    with pytest.raises(error):
        made(spec, stopping(at, error), **how)


def interrupted(spec, after=FIRST, **how):
    """Begin a stage that is cancelled after a number of steps."""
    stopped(spec, lambda what, done, total, *_: (what, done) == ("compress", after), **how)


def noting(steps, of="compress"):
    """Build a progress function that notes the steps of a part."""
    return lambda what, done, *_: steps.append(done) if what == of else None


def kept():
    """Return the folders of finished blocks."""
    return [path for folder in finished.unfinished() for path in sorted(folder.glob("[0-9]"))]


@pytest.fixture
def computed(monkeypatch):
    """Count the linears that each of two methods computes."""
    counts = {}
    for method in (OBS, SparseGPT):

        def noted(self, *given, method=method, compress=method.compress):
            counts[method.name] = counts.get(method.name, 0) + 1
            return compress(self, *given)

        monkeypatch.setattr(method, "compress", noted)
    return counts


def reports_of(result):
    """Return the report of each linear, without its seconds."""
    return [layer.model_copy(update={"seconds": None}) for layer in result.layers]


def check_same(one, other):
    (ours, mine), (theirs, other_result) = one, other
    assert reports_of(mine) == reports_of(other_result)
    assert same(ours, theirs)


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streaming"])
@pytest.mark.parametrize(
    ("architecture", "name", "after"),
    [
        *((None, name, 2 if name in ("slimllm", "lorap") else FIRST) for name in METHODS),  # which count blocks
        ("mixtral", "wanda", 30),  # of 28 linears a block
        ("mixtral", "svd-llm", 30),
        ("phi3", "slimllm", 2),
    ],
)
def test_every_kind_of_stage_resumes_with_the_second_block(architecture, name, after, streams, tmp_path, monkeypatch):
    if architecture:
        own_model(tmp_path, monkeypatch, architecture, num_hidden_layers=3)
    amount, settings = METHODS[name]
    spec, steps = spec_of(name, amount=amount, **settings), []
    interrupted(spec, after, streams=streams)
    assert [path.name for path in kept()][:1] == ["0"]
    resumed = made(spec, noting(steps), streams=streams)
    assert 1 not in steps
    check_same(resumed, made(spec, fresh=True))
    assert finished.unfinished() == []


@pytest.mark.parametrize("name", ["shortgpt", "flap", "svd-llm", "reap"])
def test_a_pass_that_observes_resumes(name, tmp_path, monkeypatch):
    """It is stopped at the second of two blocks."""
    if name == "reap":
        own_model(tmp_path, monkeypatch, "mixtral", num_hidden_layers=2)
    spec, steps = spec_of(name, amount=Ratio(0.3), **({"ranks": "global"} if name == "svd-llm" else {})), []
    stopped(spec, lambda what, done, total, *_: what == "observe" and done > total / 2)
    assert len(finished.unfinished()) == 1
    resumed = made(spec, lambda what, done, total, *_: steps.append(done / total) if what == "observe" else None)
    assert steps[0] == 0 and min(steps[1:]) > 0.5
    check_same(resumed, made(spec, fresh=True))
    assert finished.unfinished() == []


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streaming"])
@pytest.mark.parametrize(
    ("name", "amount"), [("llm-pruner", Ratio(0.3)), ("loraprune", Ratio(0.3)), ("gptq", Bits(3.5))]
)
def test_a_pass_that_computes_gradients_resumes(name, amount, streams, monkeypatch):
    """It is stopped after the fifth of eight sequences."""
    spec, steps = spec_of(name, amount=amount, **({"group_size": 0} if name == "gptq" else {})), []
    stopped(spec, lambda what, done, total, *_: (what, done) == ("gradients", 5), streams=streams)
    assert [folder.name for folder in finished.unfinished()[0].iterdir() if folder.is_dir()] == ["gradients-5"]
    resumed = made(spec, noting(steps, "gradients"), streams=streams)
    assert steps == [5, 6, 7, 8]
    check_same(resumed, made(spec, fresh=True))
    assert finished.unfinished() == []


def test_a_killed_run_resumes_at_its_last_finished_block():
    spec, steps = spec_of("wanda"), []
    killed = subprocess.run([sys.executable, "-c", DYING], env=os.environ | {"PYTHONPATH": str(PROJECT)})
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in kept()] == ["0"]
    resumed = made(spec, noting(steps), streams=True)
    assert steps[1] == BLOCK + 1
    check_same(resumed, made(spec, fresh=True))


def test_a_command_clears_the_blocks_of_interrupted_runs(capsys):
    interrupted(spec_of("obs"))
    size = sum(file.stat().st_size for file in kept()[0].parent.rglob("*") if file.is_file()) / 1e6
    assert main(["clear"]) == 0 and kept() == []
    assert capsys.readouterr().out == f"Deleted the finished blocks of interrupted runs: 1 runs, {size:.0f} MB.\n"


@pytest.mark.parametrize("error", [CancelledError, KeyboardInterrupt])
@pytest.mark.parametrize("names", [("obs",), ("magnitude", "obs")], ids=len)
def test_a_resumed_stage_gives_the_same_result(names, error, computed):
    spec = spec_of(*names)
    stopped(spec, lambda *_: computed == {"obs": FIRST}, error)
    assert len(kept()) == 1 and computed == {"obs": FIRST}
    resumed = made(spec)
    assert computed == {"obs": FIRST + BLOCK}
    check_same(resumed, made(spec, fresh=True))
    assert kept() == []


def test_a_stage_whose_blocks_are_all_finished_only_restores_them(computed):
    spec = spec_of("obs")
    stopped(spec, lambda what, done, total, *_: what == "keep", KeyboardInterrupt)
    check_same(made(spec), made(spec, fresh=True))
    assert computed == {"obs": 4 * BLOCK}  # once before, and once of the fresh one


@pytest.mark.parametrize("file", ["0/weights.safetensors", "0/block.json", "states-0/states.safetensors"])
def test_a_damaged_block_is_computed_again(file, computed):
    spec = spec_of("obs")
    interrupted(spec)
    broken = kept()[0].parent / file
    content = broken.read_bytes()
    broken.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    resumed = made(spec)
    assert computed == {"obs": FIRST + 2 * BLOCK}
    check_same(resumed, made(spec, fresh=True))


def test_the_time_of_interrupted_runs_counts(monkeypatch):
    spec, compress = spec_of("obs"), OBS.compress
    clock = [0.0]
    for place in ("core.engine.runners.by_linear", "core.engine.circumstances", "core.cache.checkpoint"):
        monkeypatch.setattr(f"{place}.time.perf_counter", lambda: clock[0])

    def slow(self, *given):
        clock[0] += 100
        return compress(self, *given)

    monkeypatch.setattr(OBS, "compress", slow)
    interrupted(spec)
    _, result = made(spec)
    assert [layer.seconds for layer in result.layers] == [100] * 2 * BLOCK
    assert result.variant.details["seconds"] == 100 * 2 * BLOCK


def test_another_amount_stage_or_model_reuses_nothing(computed):
    interrupted(spec_of("obs"))
    made(spec_of("obs", ratio=0.6))
    made(spec_of("obs", damping=0.1))
    made(spec_of("magnitude", "obs"))
    assert computed == {"obs": FIRST + 3 * 2 * BLOCK}
    assert len(kept()) == 1  # of the other run, which can still resume
    made(spec_of("obs"))
    assert computed == {"obs": FIRST + 3 * 2 * BLOCK + BLOCK} and kept() == []


def test_a_forced_run_and_a_fast_stage_keep_nothing(computed, monkeypatch):
    interrupted(spec_of("obs"), fresh=True)
    monkeypatch.setattr(checkpoint, "INTERVAL", 60)
    interrupted(spec_of("obs"))
    assert kept() == []


@pytest.mark.parametrize(
    ("name", "value", "folders", "again"),
    [("room", lambda folder: 0, [], 2 * BLOCK), ("CACHE_BYTES", 1, ["0"], BLOCK)],
    ids=["nothing on a full disk", "a block above the limit alone"],
)
def test_little_room_keeps_less_and_the_stage_still_runs(name, value, folders, again, computed, monkeypatch):
    monkeypatch.setattr(checkpoint, name, value)
    interrupted(spec_of("obs"))
    assert [path.name for path in kept()] == folders
    made(spec_of("obs"))
    assert computed == {"obs": FIRST + again}


def test_blocks_of_abandoned_runs_make_room_for_others(monkeypatch):
    interrupted(spec_of("obs"))
    size = sum(file.stat().st_size for file in kept()[0].parent.rglob("*"))
    monkeypatch.setattr(checkpoint, "CACHE_BYTES", size + 1)
    interrupted(spec_of("obs", ratio=0.6))
    (only,) = kept()
    assert json.loads((only / "block.json").read_text())["reports"][0]["sparsity"] == pytest.approx(0.6, abs=0.01)
