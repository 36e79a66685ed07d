"""The panel of a point on Explore: its stages, command, exports and sensitivity scan."""

import pytest
from sqlalchemy import update

from core.engine.variants import describe
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Perplexity, RunSpec
from core.store.tables import jobs
from dashboard import data
from dashboard.shared import widgets
from tests.core.factories import make, perplexity
from tests.dashboard.explore.given import panels
from tests.dashboard.opened import captions, charts, open_app
from tests.synthetic import chained, result

CHAIN = "magnitude@0.5+lora+wanda@0.7"


def test_points_are_shown_with_their_stages_losses_and_command(filled):
    """An address with spaces in place of each plus opens its point, as do the field and the notation of links."""
    filled.put(chained(CHAIN, 25.0))
    filled.put(chained("lora", 19.0))
    for text in ("passages-calibration:512x256", "passages-calibration:512x32"):
        filled.put(chained("wanda@0.3+lora+wanda@0.5", 30.0, training=text))
    app = open_app(explore_point=CHAIN.replace("+", " "), explore_training="passages-calibration:512x256")
    point = app.selectbox(key="explore_point")
    assert point.value == chained(CHAIN, 25.0).variant.key and panels(app) == ["Magnitude 5…+Wanda 70 %#d0e6"]
    assert "sparsegpt@0.5" in {name.rpartition(" · ")[2] for name in point.options}
    table = app.dataframe[-1].value.set_index("Variant")
    assert table.loc["Magnitude 5…+Wanda 70 %#d0e6", "Chain"] == CHAIN
    assert table.loc["Dense", "Perplexity"] == 20.1 and table.set_index("Chain").loc["lora", "Perplexity"] == 19.0
    assert "Computed in 180 s" in " ".join(text.value for text in app.markdown)
    stages = app.dataframe[0].value
    assert list(stages["Stage"]) == ["Magnitude", "LoRA", "Wanda"]
    assert list(stages["Cumulative pruning ratio (%)"]) == [50.0, 50.0, pytest.approx(70.0)]
    assert list(stages["Worst error"].round(4))[::2] == [0.08, 0.0267] and set(stages["Seconds"]) == {60.0}
    losses = "losses on passages-calibration:512x256. 40 steps, 163,840 tokens; the variant has the weights of step 32"
    assert f"training and held-out {losses}" in captions(app) and len(charts(app)) == 4
    assert f"(`{CHAIN}`): relative output error of each linear layer, by block, after stage 3, Wanda." in captions(app)
    assert f"run smollm2-135m {CHAIN} " in app.code[-1].value
    assert "--train passages-calibration:512x256" in app.code[-1].value
    (stage,) = (group for group in app.get("button_group") if group.key.startswith("explore_stage_"))
    stage.set_value("1. Magnitude").run()
    assert "relative weight error of each linear layer, by block, after stage 1, Magnitude." in captions(app)
    point.set_value(chained("lora", 19.0).variant.key).run()
    assert panels(app) == ["Dense + LoRA, train passages"] and not app.exception
    app = open_app(explore_point="wanda@0.3+lora+wanda@0.5", explore_training="passages-calibration:512x32")
    assert app.selectbox(key="explore_training").value == "passages-calibration:512x32"
    assert "training and held-out losses on passages-calibration:512x32" in captions(app)
    assert open_app(explore_point="nothing like it").selectbox(key="explore_point").value is None


def test_a_point_without_a_command_shows_the_reason(filled):
    one = result("wanda", 25.0, 0.5, model="smollm2-135m", corpus="passages-eval")
    old = one.variant.stages[0].model_copy(update={"version": 99})
    filled.put(one.model_copy(update={"variant": one.variant.model_copy(update={"stages": (old,), "key": "c" * 64})}))
    filled.delete(one.variant.key)
    app = open_app(explore_point="wanda@0.5")
    assert "This variant cannot be reproduced: Variant cccccccccccc uses version 99 of Wanda" in captions(app)
    assert not app.code and not app.exception


def test_a_partial_point_says_what_stays_dense_and_its_command_has_the_consent(filled):
    one = chained("magnitude@0.4+wanda@0.7", 25.0)
    runs = tuple({**run, "uncovered": 0.9} for run in one.variant.stage_runs)
    weights = one.counted.block_weights
    size = one.counted.model_copy(update={"uncovered_weights": 9 * weights, "dense_uncovered_weights": 9 * weights})
    variant = one.variant.model_copy(update={"stage_runs": runs})
    filled.put(one.model_copy(update={"variant": variant, "footprint": size}))
    app = open_app(explore_point="magnitude@0.4+wanda@0.7")
    assert "90 % of the block weights are in no linear and stay dense." in captions(app)
    assert "--partial" in app.code[-1].value
    assert list(app.dataframe[0].value["Cumulative pruning ratio (%)"]) == [pytest.approx(4), pytest.approx(7)]


def test_exports_of_one_point_are_named_by_its_chain(filled, monkeypatch):
    items = []
    monkeypatch.setattr(widgets, "export_page", lambda name, page: items.append(page()))
    filled.put(chained("wanda@2:4+adaprune", 30.0))
    assert not open_app(explore_point="wanda@2:4+adaprune").exception
    mine = "slimscope-smollm2-135m-wanda-2of4-adaprune"
    point, whole = items
    assert [item.name for item in point] == [f"{mine}-stages", f"{mine}-layers", f"{mine}-paired"]
    start = "slimscope-smollm2-135m-passages-eval-16x2048"
    assert [item.name for item in whole] == [f"{start}-perplexity", f"{start}-accuracy-50pct", f"{start}-points"]
    assert all("(`wanda@2:4+adaprune`)" in item.caption for item in point)


def test_the_reached_pruning_ratio_appears_on_the_point_and_its_job(store):
    spec = complete(
        "smollm2-135m", "magnitude@0.9", RunSettings(perplexity=[Perplexity.parse("passages-eval@2048:16")])
    )
    reached = make(perplexity(30.0, "passages-eval"), zeros=80)
    store.put(reached.model_copy(update={"variant": describe(spec.variant)}))
    message = "Removed 80.0 % of the block weights; 90.0 % was requested."
    assert message in [caption.value for caption in open_app(explore_point="magnitude@0.9").caption]
    with store.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == data.queue().submit(spec)).values(state="done"))
    assert message in [caption.value for caption in open_app("run/view.py").caption]


@pytest.fixture
def two_points(store):
    """The specs of two reproducible points; the store has results of them and of the dense model."""
    text = [Perplexity.parse("passages-eval@2048:16")]
    dense, *specs = (
        complete("smollm2-135m", chain, RunSettings(perplexity=text))
        for chain in ("dense", "magnitude@0.5", "magnitude@0.5+adaprune")
    )
    for spec in (dense, *specs):
        made = make(perplexity(30.0, "passages-eval"))
        footprint = made.footprint.model_copy(update={"model_parameters": 134_500_000, "block_weights": 106_168_320})
        store.put(made.model_copy(update={"variant": describe(spec.variant), "footprint": footprint}))
    return specs


def save_inputs(app, spec, form="huggingface"):
    """Return the fields for folder and type of a format, and the button."""
    own = f"{form}_{spec.variant.key[:8]}"
    return (
        app.text_input(key=f"explore_folder_{own}"),
        app.selectbox(key=f"explore_precision_{own}"),
        app.button(key="explore_save"),
    )


def choose_format(app, spec, name):
    app.segmented_control(key=f"explore_format_{spec.variant.key[:8]}_gguf").set_value(name).run()


def test_a_point_is_saved_in_a_format_to_the_typed_folder_and_scanned(two_points, tmp_path, monkeypatch):
    monkeypatch.setattr("core.shipping.base.tokenizer_bytes", lambda source: 4_000_000)
    monkeypatch.setattr("core.shipping.gguf.format.vocabulary_bytes", lambda source, size: 2_000_000)
    magnitude, chain = two_points
    app = open_app(explore_point="magnitude@0.5")
    app.session_state["explore_saving"] = True  # a click on Get the file
    choose_format(app.run(), magnitude, "huggingface")  # at first it has the format of the smallest file
    folder, kind, save = save_inputs(app, magnitude)
    assert kind.options == ["555 MB, fp32", "286 MB, fp16", "286 MB, bf16"] and kind.value == "float32"
    assert folder.value.endswith(f"smollm2-135m-magnitude@0.5-{magnitude.variant.key[:8]}")
    folder.set_value("model")
    save.click().run()
    assert not data.queue().jobs() and "is not an absolute path" in app.toast[0].value
    folder, kind, save = save_inputs(app, magnitude)
    folder.set_value(str(tmp_path / "model"))  # no rerun between these and the click
    kind.set_value("float16")
    save.click().run()
    (job,) = data.queue().jobs()
    assert (job.spec.save, job.spec.precision) == (str(tmp_path / "model"), "float16")
    assert job.spec.variant == magnitude.variant and not job.spec.perplexity
    assert f"It writes {tmp_path / 'model'}, 286 MB, fp16." in app.toast[0].value
    choose_format(app, magnitude, "gguf")
    folder, kind, save = save_inputs(app, magnitude, "gguf")
    assert kind.options[:2] == ["271 MB, GGUF F16", "145 MB, GGUF Q8_0"] and kind.value == "F16"
    folder.set_value(str(tmp_path / "another"))
    kind.set_value("Q4_0")
    save.click().run()
    (job,) = [job for job in data.queue().jobs() if job.spec.format == "gguf"]
    assert job.spec.precision == "Q4_0"
    choose_format(app, magnitude, "compressed-tensors")  # which packs quantised weights
    assert len(app.warning) == 1 and "explore_save" not in [button.key for button in app.button]
    app.button(key="scan_start").click().run()
    (job,) = [job for job in data.queue().jobs() if job.spec.scan]
    assert job.spec.variant == magnitude.variant and not job.spec.perplexity
    assert (job.spec.scan.by, job.spec.scan.text.windows) == ("block", 16) and "Queued" in app.toast[0].value
    assert "scan_start" not in [one.key for one in app.run().button]  # it is queued
    app.selectbox(key="explore_point").set_value(chain.variant.key).run()
    assert save_inputs(app, chain, "gguf")[0].value.endswith(
        f"smollm2-135m-magnitude@0.5+adaprune-{chain.variant.key[:8]}"
    )
    assert "scan_start" not in [one.key for one in app.button]  # a chain is not scanned
    assert f"Exports to {tmp_path / 'another'} as GGUF Q4_0" in captions(open_app("run/view.py"))


def test_the_card_of_an_export_names_folder_type_and_size(two_points, store, tmp_path):
    folder = tmp_path / "_my_model"
    app = open_app("run/view.py")
    data.queue().submit(RunSpec(variant=two_points[0].variant, save=str(folder), precision="bfloat16"))
    assert f"Exports to {folder} as bf16" in captions(app.run())
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"0" * 12_345_678)
    with store.begin() as connection:
        connection.execute(update(jobs).values(state="done", finished=2.0))
    assert f"Saved to {folder}, 12 MB, bf16" in captions(app.run()) and not app.exception
