"""A chain of four stages, end to end on a tiny random model and a text file."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from core import paths
from core.cli.app import main
from core.engine.runners import by_linear
from core.models.manifest import load_model_folder
from core.models.parts.blocks import find_blocks
from core.paths import cached_variant
from core.request.complete import complete
from core.specs import Perplexity, TextWindows
from core.store.store import Store

pytestmark = pytest.mark.usefixtures("machine")

FIRST, LORA = "wanda@0.3+adaprune", "lora,batch=8,epochs=60,learning_rate=0.01,rank=2,steps=60"
CHAIN = f"{FIRST}+{LORA}+wanda@0.5"
TEXTS = ["--calibration", "text.txt:4x32", "--train", "text.txt:24x32", "--perplexity", "text.txt@32:4"]
RUN = ["run", "./tiny", CHAIN, *TEXTS]
PLAIN = """
import sys, torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
save_file({"logits": model(torch.arange(24)[None]).logits.contiguous()}, sys.argv[2])
assert not any(name.split(".")[0] in ("core", "dashboard") for name in sys.modules)
"""


@pytest.fixture
def spec():
    return complete(
        "./tiny",
        CHAIN,
        calibration=TextWindows.parse("text.txt:4x32"),
        train=TextWindows.parse("text.txt:24x32"),
        perplexity=[Perplexity.parse("text.txt@32:4")],
    )


def zeros(key):
    model = load_model_folder(cached_variant(key), torch.float32)
    return {linear.name: linear.weight == 0 for linear in find_blocks(model).all_linears()}


def test_every_stage_preserves_earlier_zeros(spec):
    assert main(RUN) == 0
    _, pruned, rebuilt, trained, whole = (prefix.key for prefix in spec.variant.prefixes)
    first, last = zeros(pruned), zeros(whole)
    for name, bound in first.items():
        assert (bound.sum(1) == round(0.3 * bound.shape[1])).all()
        assert torch.equal(zeros(rebuilt)[name], bound) and torch.equal(zeros(trained)[name], bound)
        assert (last[name] | ~bound).all() and (last[name].sum(1) == round(0.5 * bound.shape[1])).all()
    stored = {result.variant.key: result for result in Store().results()}
    assert [len(stored[key].variant.stage_runs) for key in (pruned, rebuilt, trained, whole)] == [1, 2, 3, 4]
    assert {layer.stage for layer in stored[whole].layers} == {0, 1, 3}


def test_a_sweep_gives_the_same_variant_and_lists_show_its_chain(spec, capsys):
    grid = ["--chain", f"{FIRST}+{LORA}+wanda@", "--ratios", "0.5"]
    assert main(["sweep", "--models", "./tiny", *grid, *TEXTS]) == 0
    capsys.readouterr()
    assert main([*RUN, "--json"]) == 0
    variant = json.loads(capsys.readouterr().out)["variant"]
    assert variant["key"] == spec.variant.key
    assert variant["chain"] == CHAIN
    assert main(["results", "--json"]) == 0
    chains = [result["variant"]["chain"] for result in json.loads(capsys.readouterr().out)]
    assert {"dense", "wanda@0.3", FIRST} < set(chains)


def test_a_killed_chain_resumes_after_its_last_complete_stage(spec, monkeypatch):
    command = [sys.executable, "-m", "core", *RUN]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(paths.PROJECT)})
    whole = cached_variant(spec.variant.prefixes[2].key)
    while not whole.is_dir():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not cached_variant(spec.variant.prefixes[3].key).is_dir()

    from core.engine import variants

    apply, made = variants.apply, []
    monkeypatch.setattr(
        variants, "apply", lambda model, given, context: made.append(given.stage.method) or apply(model, given, context)
    )
    assert main(RUN) == 0
    assert made == ["lora", "wanda", "dense"]


def test_transformers_loads_an_export(spec, tmp_path):
    assert main([*RUN, "--save", str(tmp_path / "saved")]) == 0
    logits = tmp_path / "logits"
    plain = [sys.executable, "-c", PLAIN, str(tmp_path / "saved"), str(logits)]
    subprocess.run(plain, check=True, cwd=tmp_path)
    model = load_model_folder(cached_variant(spec.variant.key), torch.float32)
    with torch.no_grad():
        expected = model(torch.arange(24)[None]).logits
    assert torch.equal(load_file(logits)["logits"], expected)


def test_a_factored_embedding_is_cached_and_its_removed_share_printed(monkeypatch, capsys):
    from core.engine import variants

    command = ["run", "./tiny", "wanda@0.3+tensor-train@2x", *TEXTS[:2], "--perplexity"]
    assert main([*command, "text.txt@32:4"]) == 0
    assert "Removed 62.5 % of the embedding (4x8 of ranks 1, 12 numbers a token, 0." in capsys.readouterr().out
    apply, made = variants.apply, []
    monkeypatch.setattr(
        variants, "apply", lambda model, given, context: made.append(given.stage.method) or apply(model, given, context)
    )
    assert main([*command, "text.txt@16:4", "--latency", "--json"]) == 0
    assert made == ["dense"]
    printed = json.loads(capsys.readouterr().out)
    assert [stage["pattern"] for stage in printed["variant"]["stages"]] == [None, "2x"]
    assert {row["metric"] for row in printed["measurements"]} == {"perplexity", "prefill", "decode", "memory"}
    assert sum(row["metric"] == "perplexity" for row in printed["measurements"]) == 2


def test_a_chain_that_is_cancelled_in_its_training_resumes_it(spec, monkeypatch):
    from core.engine import variants
    from core.training import loop

    real, apply, losses, made = loop.held_out_loss, variants.apply, [], []

    def interrupted(*arguments):
        losses.append(arguments)
        if len(losses) == 4:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(loop, "held_out_loss", interrupted)
    assert main(RUN) == 130
    store, trained = Store(), spec.variant.prefixes[3]
    cut = store.get(trained.key)
    assert cut.variant.cut_short and store.get(spec.variant.key) is None
    monkeypatch.setattr(
        variants, "apply", lambda model, given, context: made.append(given.stage.method) or apply(model, given, context)
    )
    assert main(RUN) == 0
    assert made == ["lora", "wanda", "dense"]
    whole, again = store.get(spec.variant.key), store.get(trained.key)
    assert not whole.variant.cut_short and not again.variant.cut_short
    before, after = (found.variant.stage_runs[2]["training"] for found in (cut, whole))
    assert after["steps"] == 60 > before["steps"]
    assert after["held_out"][: len(before["held_out"])] == before["held_out"]


@pytest.mark.parametrize("allocation", ["global", "owl", "sensitivity"])
@pytest.mark.parametrize("method", ["magnitude", "wanda", "ria", "sparsegpt", "alps"])
def test_observations_for_an_allocation_serve_the_next_ratio(method, allocation, monkeypatch):
    def run(ratio):
        chain = f"{method}@{ratio},allocation={allocation}"
        return main(["run", "./tiny", chain, "--calibration", "text.txt:4x32", "--perplexity", "text.txt@32:2"])

    assert run(0.5) == 0
    if allocation != "sensitivity":  # whose scan is of the amount, too
        monkeypatch.setattr(by_linear, "_observe", lambda *_: pytest.fail("observed again"))
    assert run(0.6) == 0
