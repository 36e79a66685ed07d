"""Tasks scored in another precision than the variant's: separate numbers, and unchanged weights."""

import pytest
import torch
from safetensors.torch import load_file

from core.base.errors import UserError
from core.cli.app import main
from core.engine.runs import run
from core.models.parts.precision import in_precision
from core.request.baseline import baseline, missing_part, remaining_run
from core.request.complete import complete
from core.request.reproduce import reproduce
from core.request.settings import RunSettings
from core.specs import Perplexity, RunSpec, Task
from core.store.store import Store
from tests.core.data.task_rows import PIQA, PIQA_FILE, write
from tests.core.tiny import tiny


@pytest.fixture(autouse=True)
def data(machine, tmp_path, monkeypatch):
    write(tmp_path / "data" / PIQA_FILE, PIQA)
    monkeypatch.setenv("SLIMSCOPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DISABLE_MULTIPROC", "1")


def spec(scoring=None, **more) -> RunSpec:
    text = Perplexity.parse("text.txt@32:2")
    return complete(
        "./tiny",
        "magnitude@0.5",
        RunSettings(perplexity=[text], tasks=[Task.parse("piqa:10")], scoring=scoring, **more),
    )


def accuracies(result):
    return {row.protocol["dtype"]: row for row in result.measurements if row.metric == "acc"}


def test_each_precision_has_its_own_rows_and_samples():
    store = Store()
    assert missing_part(spec("bfloat16"), run(spec(), store)).tasks
    found = accuracies(result := run(spec("bfloat16"), store))
    assert found.keys() == {"float32", "bfloat16"}
    assert missing_part(spec("bfloat16"), result) is None and missing_part(spec(), result) is None
    assert missing_part(spec("float16"), result).tasks and not missing_part(spec("float16"), result).perplexity
    (full, half) = (store.samples(result.variant.key, found[dtype]) for dtype in ("float32", "bfloat16"))
    gaps = [abs(a - b) for a, b in zip(full["loglikelihoods"].sum(), half["loglikelihoods"].sum(), strict=True)]
    assert 0 < max(gaps) < 1
    assert [row.protocol["dtype"] for row in result.measurements if row.of_text] == ["float32"]


def test_the_dense_baseline_is_scored_in_the_same_precision():
    store, wanted = Store(), spec("bfloat16")
    run(wanted, store)
    assert accuracies(store.get(baseline(wanted).variant.key)).keys() == {"bfloat16"}
    assert remaining_run(wanted, store) == [] and len(remaining_run(spec(), store)) == 2


def test_a_later_export_has_the_original_weights(tmp_path):
    for name, scoring in (("before", None), ("after", "bfloat16")):
        run(spec(scoring).model_copy(update={"save": str(tmp_path / name), "force": True}), Store())
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("before", "after"))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_precision_of_the_variant_is_no_separate_setting():
    assert spec("float32") == spec()
    assert spec("bfloat16", dtype="bfloat16") == spec(dtype="bfloat16")


def test_scoring_precision_can_be_reproduced(capsys):
    store = Store()
    run(spec(), store)
    lines = reproduce(run(spec("bfloat16"), store)).split("\n")
    assert len(lines) == 2 and "--eval-dtype" not in lines[0] and lines[1].endswith("--eval-dtype bf16")
    for line in lines:
        assert main(line.split()[1:]) == 0
        assert "Estimated" not in capsys.readouterr().err  # everything is stored


def test_weights_are_restored_bit_by_bit():
    model = tiny(tie_word_embeddings=True)
    own, places = [p.clone() for p in model.parameters()], [p.data_ptr() for p in model.parameters()]
    turns = model.model.rotary_emb.inv_freq.clone()
    with pytest.raises(RuntimeError, match="on purpose"), in_precision(model, "bfloat16"):
        assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
        assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
        assert torch.equal(model.model.rotary_emb.inv_freq, turns)
        raise RuntimeError("on purpose")
    assert all(map(torch.equal, own, model.parameters()))
    assert places == [p.data_ptr() for p in model.parameters()]


def test_a_weight_beyond_the_precision_is_rejected():
    model = tiny()
    model.model.norm.weight.data[0] = 1e5
    with pytest.raises(UserError, match="exceeds the range of fp16; score in bf16"), in_precision(model, "float16"):
        pass
    assert model.dtype == torch.float32
