"""The tab of layers on bundled results: numbers, differences, links and what is missing."""

import json

import pytest

from core.base.paths import cached_variant
from core.findings.inside.layers import allocated_chain
from core.notation.chain import format_chain
from core.request.stages import DEFAULT_MODEL
from core.store.bundled import read_measured
from dashboard import data
from dashboard.charts.sensitivity import scans
from tests.dashboard.opened import charts, control, decoded, open_app


def page(**query):
    return open_app("inside/view.py", **query)


def heat(app):
    """Return the map's values by (block, role)."""
    trace = json.loads(charts(app)[0].proto.spec)["data"][0]
    z = trace["z"]
    rows = decoded(z) if isinstance(z, dict) else [value for row in z for value in row]
    blocks, roles = decoded(trace["x"]), trace["y"]
    places = [(int(block), role) for role in roles for block in blocks]
    return dict(zip(places, rows, strict=True))


def result(chain):
    """Return a bundled result of the default model."""
    mine = (one for one in read_measured().results.values() if one.variant.model == DEFAULT_MODEL)
    return next(one for one in mine if format_chain(one.variant.stages) == chain)


def key_of(chain):
    rows = data.frame(DEFAULT_MODEL)
    return rows.loc[rows["chain"] == chain, "key"].iloc[0]


def chosen(app, key):
    return app.selectbox(key=key).value


def test_the_map_follows_the_variants_and_the_number(bundled):
    wanted = result("magnitude@0.5")
    app = page(inside_variant="magnitude@0.5")
    assert chosen(app, "inside_variant") == wanted.variant.key
    assert heat(app) == pytest.approx({(one.block, one.role): 100 * one.error for one in wanted.layers})
    largest = max(wanted.layers, key=lambda one: one.error)
    assert chosen(app, "inside_matrix") == largest.name
    assert app.header[0].value == f"Most error: {largest.role} of block {largest.block}, {100 * largest.error:.3g} %"
    errors = app.dataframe[0].value["Relative weight error (%)"]
    assert list(errors) == sorted(errors, reverse=True) and errors.iloc[0] == pytest.approx(100 * largest.error)

    app = page(inside_variant="gptq@4bit", inside_other="gptq@3bit")
    both = [data.result(chosen(app, key)) for key in ("inside_variant", "inside_other")]
    assert [one.variant.stages[0].amount.label for one in both] == ["4 bit", "3 bit"]
    first, second = ({(one.block, one.role): 100 * one.error for one in each.layers} for each in both)
    assert heat(app) == pytest.approx({place: first[place] - second[place] for place in first})  # first minus second
    block, role = max(first, key=lambda place: abs(first[place] - second[place]))
    ends = f"{first[block, role]:.3g} % and {second[block, role]:.3g} %"
    assert app.header[0].value == f"Error differs most in {role} of block {block}: {ends}"
    app.selectbox(key="inside_variant").set_value(key_of("shortgpt@0.2")).run()
    assert len(app.info) == 1 and not charts(app)  # no common number
    app.selectbox(key="inside_other").set_value(None).run()
    app.selectbox(key="inside_variant").set_value(key_of("rtn@8bit,on=embedding")).run()
    assert "its stages change no linear of a block" in app.info[0].value and not charts(app)


def test_the_number_of_a_link_is_shown_and_an_unknown_one_is_named(bundled):
    assert control(page(inside_variant="svd-llm@0.2", inside_by="rank"), "inside_by").value == "rank"
    app = page(inside_variant="magnitude@0.5", inside_by="rank")
    assert any("rank" in one.value for one in app.info)


def test_a_scan_suggests_lower_ratios_for_sensitive_blocks_and_a_run(bundled):
    scanned = next(
        one for one in read_measured().results.values() if "block" in scans(one) and allocated_chain(one.variant.stages)
    )
    app = page(inside_variant=format_chain(scanned.variant.stages))
    (table,) = (one.value for one in app.dataframe if "Suggested ratio (%)" in one.value)
    rows, target = scans(scanned)["block"], scanned.variant.ratio
    most, least = int(rows["perplexity_ratio"].argmax()), int(rows["perplexity_ratio"].argmin())
    ratios = table["Suggested ratio (%)"].tolist()
    assert ratios[most] == pytest.approx(100 * target - 8) and max(ratios) == pytest.approx(100 * target + 8)
    assert ratios[least] == max(ratios) and len(ratios) == len(rows) == 30
    assert "allocation=sensitivity" in allocated_chain(scanned.variant.stages)


def test_a_variant_that_the_cache_lacks_is_offered_as_a_job(fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path))
    app = page(inside_variant="magnitude@0.5")
    wanted = result("magnitude@0.5").variant
    assert not cached_variant(wanted.key).is_dir()
    app.button(key="inside_create").click().run()
    (job,) = data.queue().jobs()
    assert job.spec.cached and job.spec.variant.key == wanted.key and not job.spec.perplexity
    assert "inside_create" not in [one.key for one in app.run().button]
