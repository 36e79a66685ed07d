"""The file in hand: variants by the size of the file that a program loads, the way to it, and its bundled distance."""

import re

import pytest

import core.api as slimscope
from core.base import paths
from core.data import files
from core.shipping.formats import file_sizes, programs
from core.shipping.measured import measured_files
from dashboard import data
from tests.dashboard.explore.given import open_tradeoff, table
from tests.dashboard.opened import captions, read


@pytest.mark.parametrize(("program", "only"), [("llama.cpp", "gguf"), ("any program", None)])
def test_a_program_counts_its_smallest_file_as_the_command_does(bundled, program, only):
    app = open_tradeoff(model="smollm2-135m", limit_packed_mb=100, **{"for": program})
    best = slimscope.best("smollm2-135m", max_mb=100, only=only)
    listed = table(app)
    assert listed["Chain"].iloc[0] == best.rows["chain"].iloc[0] and not app.exception
    size = "GGUF (MB)" if only else "Packed size (MB)"
    assert listed[size].max() <= 100 and listed[size].iloc[0] == best.rows["file_mb" if only else "packed_mb"].iloc[0]
    start = r"smollm2-135m fits in a file of 100 MB, \d+ % of its size, with \d+ % more perplexity"
    assert bool(re.fullmatch(start, app.title[0].value)) == bool(only)
    assert app.selectbox(key="explore_cost").value == ("file size" if only else "packed size")


def test_transformers_loads_folders_of_two_formats(bundled):
    app = open_tradeoff(model="smollm2-135m", limit_packed_mb=200, **{"for": "transformers"})
    labels = {form.label for form in programs()["transformers"]}
    assert labels == {"Hugging Face", "compressed-tensors"}
    assert table(app)["compressed-tensors (MB)"].between(1, 200).all() and len(table(app))


def test_the_measured_distance_of_a_file_is_in_the_list_and_below_the_headline(bundled):
    app = open_tradeoff(model="smollm2-135m", limit_packed_mb=92, **{"for": "llama.cpp"})
    best, known = slimscope.best("smollm2-135m", max_mb=92, only="gguf"), measured_files()
    distance = known[best.winner, "GGUF"]
    first = table(app).iloc[0]
    assert first["File / dense"].startswith(f"{distance.ratio:.3g} [") and first["Made with"].startswith(
        "c4-sample, about "
    )
    assert f"file measured {first['File / dense']}" in read(app).replace("\\", "")
    assert table(app)["File / dense"].isna().any()  # of the files that nobody measured


def test_bundled_distances_are_of_bundled_variants_and_their_files_have_the_predicted_size():
    known = measured_files()
    assert known
    for (key, form), one in known.items():
        result = data.store().get(key)
        (size,) = (each for each in file_sizes(result.variant, result.footprint) if each.format == form)
        assert (one.type, one.bytes) == (size.type, pytest.approx(size.bytes, rel=0.01))
        assert one.ratio_low < one.ratio < one.ratio_high and one.kl > 0


def test_without_a_program_the_form_has_the_best_file_within_the_size(bundled):
    app = open_tradeoff(model="smollm2-135m", limit_packed_mb=90)
    best = slimscope.best("smollm2-135m", max_mb=90)
    assert table(app)["GGUF (MB)"].iloc[0] > 90 and app.title[0].value.startswith("smollm2-135m fits in 90 MB")
    app.session_state["explore_best_saving"] = True
    note = "The best file of at most 90 MB is of another variant: "
    assert note in read(app.run()) and not app.exception
    kind = next(one for one in app.selectbox if str(one.key).startswith("explore_best_precision_gguf_"))
    assert best.winner[:8] not in kind.key and float(kind.options[0].partition(" MB")[0]) > 0
    (size,) = (one for one in kind.options if one.endswith(f"GGUF {kind.value}"))
    assert float(size.partition(" MB")[0]) <= 90


def test_the_form_offers_to_fetch_a_text_that_this_machine_lacks(bundled, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "cache_dir", lambda: tmp_path)
    here = files.find
    monkeypatch.setattr(files, "find", lambda name: None if name.startswith("c4") else here(name))
    app = open_tradeoff(model="smollm2-135m", limit_packed_mb=100, **{"for": "llama.cpp"})
    app.session_state["explore_best_saving"] = True
    app.run()
    assert "The data of c4-sample are not on this machine." in captions(app)
    assert app.button(key="explore_best_fetch").label == "Fetch c4-sample"
