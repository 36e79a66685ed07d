"""Two checkpoints of one name are two models on every chart of Explore, and links open the one that they name."""

import pytest

from core.imports.files import read_imports
from core.models.sources import identify
from core.results import Result
from core.specs import RunSpec, VariantSpec
from dashboard import data
from dashboard.run.imports import preview
from tests.core.imports.given import sheet
from tests.core.tiny import tiny
from tests.dashboard.explore.given import chosen, ranked
from tests.dashboard.opened import captions, open_app, read
from tests.synthetic import curve

FIRST, SECOND = "sha256:131c884a77d0", "sha256:9f00aa112233"
TIMES = {FIRST: 1.0, SECOND: 2.0}  # factors of the made-up perplexities
NAMES = ["ckpt@131c884a", "ckpt@9f00aa11"]


def of_checkpoint(one: Result, revision: str, times: float = 1.0) -> Result:
    """Return a made-up result as one of the checkpoint `ckpt` of a revision."""
    key = VariantSpec(model="ckpt", revision=revision, stages=one.variant.stages).key
    variant = one.variant.model_copy(update={"key": key, "model": "ckpt", "revision": revision})
    rows = [
        row.model_copy(update={"value": row.value * times, "stderr": row.stderr * times} if row.of_text else {})
        for row in one.measurements
    ]
    return one.model_copy(update={"variant": variant, "measurements": tuple(rows)})


def delete(store, revision):
    for one in store.results():
        if one.variant.revision == revision:
            store.delete(one.variant.key)


@pytest.fixture
def both(store, tmp_path, monkeypatch):
    """Two checkpoints with the variants of the curve; the second lacks the last one."""
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    every = curve()
    for revision, times in TIMES.items():
        for one in every[: -1 if times > 1 else None]:
            store.put(of_checkpoint(one, revision, times))
    return store


def test_the_menu_offers_both_and_a_curve_a_list_and_an_import_show_one(both):
    assert data.models() == NAMES
    for name, dense, value in zip(NAMES, (20.1, 40.2), (44.0, 88.0), strict=True):
        one = chosen(model=name)
        assert one.model == name
        values = one.measured.set_index("chain")["value"]
        assert (values["dense"], values["wanda@0.5"]) == (dense, value)
        listed = ranked(model=name).table.set_index("Chain")["Perplexity"]
        assert (listed["dense"], listed["wanda@0.5"]) == (dense, value)
    header = "model,label,ratio,metric,dataset,value,n,window,windows"
    row = f"{NAMES[1]},mine,0.5,perplexity,wikitext2,9,4,32,4"
    assert list(preview(read_imports([sheet(row, header=header)], None, both))["Model"]) == [NAMES[1]]


def test_several_models_distinguish_the_two_checkpoints(both):
    app = open_app(explore_model=NAMES[1], explore_mode="Several models", explore_models_shown=["ckpt@9f00", NAMES[0]])
    table = app.dataframe[0].value
    assert set(table["Model"]) == set(NAMES) == set(app.pills(key="explore_models_shown").options)
    pairs = table[(table["Method"] == "Wanda") & (table["Amount"] == "50 %")]
    assert len(pairs) == 2 and pairs["Times dense"].nunique() == 1 and pairs["Perplexity"].nunique() == 2


def test_links_by_name_or_revision_keep_working(both):
    def opened(name):
        return open_app(explore_model=name, explore_mode="Few-shot").selectbox(key="explore_model").value

    assert opened("ckpt") == NAMES[0]  # which has most variants
    assert opened("ckpt@9f00") == NAMES[1]
    delete(both, FIRST)
    assert opened(NAMES[1]) == "ckpt"


def test_a_point_is_compared_within_its_checkpoint(both):
    first, second = (of_checkpoint(curve()[1], revision).variant.key for revision in TIMES)
    app = open_app(explore_model=NAMES[1])
    app.selectbox(key="explore_point").set_value(second).run()
    (other,) = [field for field in app.selectbox if field.label == "Compare with"]
    (pair,) = [field for field in app.multiselect if field.label == "Compare two points"]
    assert first not in {*other.options, *pair.options} and not app.exception
    assert NAMES[1] in captions(app)


def test_jobs_and_their_links_name_the_checkpoint(both):
    spec = RunSpec(variant=VariantSpec(model="ckpt", revision="sha256:777777777777", stages=curve()[1].variant.stages))
    data.queue().submit(spec)
    (job,) = data.active_jobs()
    app = open_app("run/view.py")
    assert "ckpt@77777777" in read(app)
    assert data.called(job.spec.variant) == "ckpt@77777777" and data.models() == NAMES


def test_a_page_runs_the_shown_checkpoint(both, tmp_path):
    found = []
    for seed, place in enumerate(("w3", "w4")):
        tiny(seed=seed).save_pretrained(tmp_path / place / "ckpt")
        found.append(identify(str(tmp_path / place / "ckpt")))
    for source in found:
        both.put(of_checkpoint(curve()[0], source.revision))
        shown = data.model_named(f"ckpt@{source.revision}")
        assert identify(data.model_to_run(shown)) == source


def test_the_run_page_has_a_field_for_the_name_of_a_folder(store, tmp_path, monkeypatch, typing):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    tiny().save_pretrained(tmp_path / "ckpt")
    app = open_app("run/view.py")
    assert "run_name" not in [field.key for field in app.text_input]
    app.selectbox(key="run_model").set_value(str(tmp_path / "ckpt")).run()
    app.text_input(key="run_name").set_value("four").run()
    app.button(key="run_start").click().run()
    (job,) = data.active_jobs()
    assert job.spec.variant.model == "four" and "four" in read(app)
    app.text_input(key="run_name").set_value("opt-125m").run()
    assert len(app.error) == 1 and app.button(key="run_start").disabled
