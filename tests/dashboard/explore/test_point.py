"""One point on Explore: its reached pruning ratio, its exports and its sensitivity scan."""

import pytest
from sqlalchemy import update

from core.engine.variants import describe
from core.request.complete import complete
from core.specs import Perplexity, RunSpec
from core.store.tables import jobs
from dashboard import data
from tests.core.factories import make, perplexity
from tests.dashboard.opened import open_app


def test_the_reached_pruning_ratio_appears_on_the_point_and_its_job(store):
    spec = complete("smollm2-135m", "magnitude@0.9", perplexity=[Perplexity.parse("passages-eval@2048:16")])
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
        complete("smollm2-135m", chain, perplexity=text) for chain in ("dense", "magnitude@0.5", "svd@0.3")
    )
    for spec in (dense, *specs):
        made = make(perplexity(30.0, "passages-eval"))
        footprint = made.footprint.model_copy(update={"model_parameters": 134_500_000})
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
    app.segmented_control(key=f"explore_format_{spec.variant.key[:8]}").set_value(name).run()


def test_a_point_is_saved_in_a_format_to_the_typed_folder_and_scanned(two_points, tmp_path):
    magnitude, svd = two_points
    app = open_app(explore_point="magnitude@0.5", explore_families=["Unstructured", "Low rank"])
    folder, kind, save = save_inputs(app, magnitude)
    assert kind.options == ["538 MB, fp32", "269 MB, fp16", "269 MB, bf16"] and kind.value == "float32"
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
    assert f"It writes {tmp_path / 'model'}, 269 MB, fp16." in app.toast[0].value
    choose_format(app, magnitude, "gguf")
    folder, kind, save = save_inputs(app, magnitude, "gguf")
    assert kind.options[:2] == ["269 MB, GGUF F16", "143 MB, GGUF Q8_0"] and kind.value == "F16"
    folder.set_value(str(tmp_path / "another"))
    kind.set_value("Q4_0")
    save.click().run()
    (job,) = [job for job in data.queue().jobs() if job.spec.format == "gguf"]
    assert job.spec.precision == "Q4_0"
    choose_format(app, magnitude, "compressed-tensors")
    assert any("no stage of this variant quantises them" in warning.value for warning in app.warning)
    assert "explore_save" not in [button.key for button in app.button]
    app.button(key="scan_start").click().run()
    (job,) = [job for job in data.queue().jobs() if job.spec.scan]
    assert job.spec.variant == magnitude.variant and not job.spec.perplexity
    assert (job.spec.scan.by, job.spec.scan.text.windows) == ("block", 16) and "Queued" in app.toast[0].value
    app.selectbox(key="explore_point").set_value(svd.variant.key).run()
    assert save_inputs(app, svd)[0].value.endswith(f"smollm2-135m-svd@0.3-{svd.variant.key[:8]}")
    choose_format(app, svd, "gguf")
    assert any("GGUF does not support the low-rank factors of SVD" in warning.value for warning in app.warning)
    app.selectbox(key="explore_point").set_value(magnitude.variant.key).run()
    assert "scan_start" not in [one.key for one in app.button]  # it is queued
    captions = " ".join(caption.value.replace("\\", "") for caption in open_app("run/view.py").caption)
    assert f"Exports to {tmp_path / 'another'} as GGUF Q4_0" in captions


def test_the_card_of_an_export_names_folder_type_and_size(two_points, store, tmp_path):
    folder = tmp_path / "_my_model"
    app = open_app("run/view.py")
    data.queue().submit(RunSpec(variant=two_points[0].variant, save=str(folder), precision="bfloat16"))

    def captions():
        return " ".join(caption.value.replace("\\", "") for caption in app.run().caption)

    assert f"Exports to {folder} as bf16" in captions()
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"0" * 12_345_678)
    with store.begin() as connection:
        connection.execute(update(jobs).values(state="done", finished=2.0))
    assert f"Saved to {folder}, 12 MB, bf16" in captions() and not app.exception


def test_sensitivity_scans_are_offered_for_single_methods_only(store):
    text = [Perplexity.parse("passages-eval@2048:16")]
    for chain in ("dense", "magnitude@0.5+adaprune"):
        spec = complete("smollm2-135m", chain, perplexity=text)
        made = make(perplexity(30.0, "passages-eval"))
        store.put(made.model_copy(update={"variant": describe(spec.variant)}))
    app = open_app(explore_point="magnitude@0.5+adaprune")
    assert "scan_start" not in [one.key for one in app.button]
