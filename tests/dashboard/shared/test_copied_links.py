"""Links copied from the pages of version 0.2.0, before names and texts were rewritten: they open the same views."""

import re
from urllib.parse import parse_qs

import pytest

from core.registry import STAGES
from dashboard.shared.binding import Lacking
from dashboard.shared.pickers import FORMER_VIEWS
from tests.dashboard.opened import charts, open_app

METHODS = ("RIA", "ALPS", "Magnitude+while+training", "Neuron+magnitude", "HyWIA-style", "LoRAPrune+while+training")
LINKS = [
    ("", "explore_at=2%3A4"),
    (
        "",
        "explore_families=Unstructured&explore_families=Structured"
        f"&{'&'.join(f'explore_methods={name}' for name in METHODS)}"
        "&explore_series=RIA&explore_series=ALPS&explore_tasks=Task+by+task&explore_x=packed+size",
    ),
    ("", "explore_families=Quantisation&explore_x=bits+per+weight&explore_as=Accuracy"),
    (
        "",
        "explore_mode=Trade-off&explore_quality=Accuracy+above+chance&explore_cost=decode+latency&explore_limit_decode_ms=40"
        "&explore_limit_times_dense=2.5&explore_limit_above_chance=12&explore_limit_memory_mb=2000",
    ),
    (
        "",
        "explore_methods=SparseGPT&explore_series=SparseGPT&explore_series=SparseGPT+%28allocation+sensitivity%29"
        "&explore_calibration=c4-sample%3A16x2048",
    ),
    ("", "explore_against=packed+size&explore_mode=Several+models"),
    ("", "explore_mode=Few-shot"),
    ("", "explore_point=sparsegpt%400.5"),
    ("run/view.py", "chain=slimllm%400.25%2Blora%2Cminutes%3D5&run_tasks=PIQA&run_mode=Grid"),
    ("laws/view.py", "laws_of=Wanda&laws_times=1.25"),
    ("laws/view.py", "laws_quality=Accuracy+above+chance&laws_keep=80"),
    ("published/view.py", "published_table_name=SparseGPT%3A+OPT-175B%2C+zero-shot"),
]


@pytest.mark.matrix(link=None)
@pytest.mark.parametrize(("page", "link"), LINKS)
def test_a_copied_link_opens_its_view(page, link, bundled):
    query = parse_qs(link, strict_parsing=True)
    app = open_app(page or None, **query)
    names = {stage.label: stage.name for stage in STAGES} | FORMER_VIEWS
    for key, values in query.items():  # an address has no value that is the default
        kept = app.query_params.get(key) or app.session_state[key]
        kept = kept if isinstance(kept, list) else [kept]
        kept = [one.rpartition(" · ")[2] for one in kept]  # a point now has its name before its chain
        assert {names.get(value, value) for value in kept} == {names.get(value, value) for value in values}, key
    assert page == "run/view.py" or charts(app) or app.dataframe
    assert lacking(app) == []


@pytest.mark.parametrize(
    ("link", "now"),
    [
        (
            "explore_x=time+to+read+a+token&explore_text=wikitext2%2C+128+x+128+tokens",
            {"explore_x": "prefill latency", "explore_text": "WikiText-2, 128 x 128 tokens"},
        ),
        ("explore_mode=Trade-off&explore_cost=parameters+left", {"explore_cost": "parameters"}),
    ],
)
def test_a_copied_link_with_a_former_name_opens_its_view(link, now, bundled):
    app = open_app(**parse_qs(link))
    assert {key: app.selectbox(key=key).value for key in now} == now


@pytest.mark.parametrize("link", ["gptq@4bit", "GPTQ, 4 bit · gptq@4bit"])
def test_a_link_without_a_seed_opens_the_variant_with_the_default_seed(link, bundled):
    app = open_app("inside/view.py", inside_tab="Compare", inside_compared=["dense", link], inside_baseline=link)
    names = ["Dense · dense", "GPTQ 4 · gptq@4bit"]
    assert app.query_params["inside_compared"] == names and app.query_params["inside_baseline"] == names[1]
    assert lacking(app) == [] and len(app.dataframe) == 2


def lacking(app):
    """Return the page's notices on values that a link asks for in vain."""
    found = [info.value.replace("\\", "") for info in app.info]
    return [text for text in found if text.startswith("This link asks for")]


def test_a_notice_names_each_missing_value_and_what_is_shown():
    one = "This link asks for a model that is not here: nope. Shown: a."
    assert Lacking("model", ["nope"], str, "a").sentences() == one
    two = (f"This link asks for an axis that is not here: {name}." for name in "AB")
    assert Lacking("axis", ["A", "B"], str, None).sentences() == f"{' '.join(two)} Shown: none."


LACKING = [
    (
        {"explore_mode": "Sideways", "explore_families": ["Structured", "Magic"], "explore_at": "33 %"}
        | {"explore_x": "no such axis"},
        {"view": "By amount", "axis": "pruning ratio", "family": "Structured", "amount": "50 %"},
    ),
    (
        {"explore_mode": "Trade-off", "explore_cost": "weight", "explore_limit_packed_mb": "many"},
        {"cost": "packed size", "limit": "none"},
    ),
    (
        {"explore_model": "nope", "explore_methods": ["Wanda", "A"], "explore_text": "T"}
        | {"explore_point": "wanda@0.99"},
        {"model": "smollm2-135m", "text": "WikiText-2, 16 x 2048 tokens", "method": "Wanda", "point": "none"},
    ),
]


@pytest.mark.parametrize(("query", "shown"), LACKING)
def test_a_link_says_what_is_missing_and_what_is_shown_instead(query, shown, bundled):
    app = open_app(**query)
    assert said(app) == shown
    if "explore_x" in query:
        assert "explore_x" not in app.query_params and app.query_params["explore_families"] == "Structured"
        assert said(app.run()) == shown
        app.selectbox(key="explore_x").set_value("packed size").run()
        assert "axis" not in said(app)  # its field changed


def said(app):
    """Return the kinds of values that a link asks for in vain, and what is shown instead."""
    found = [re.match(r"This link asks for an? (\w+) .* Shown: (.*)\.$", text) for text in lacking(app)]
    return dict(one.groups() for one in found)


@pytest.mark.parametrize(
    ("page", "query", "kind", "shown"),
    [
        ("run/view.py", {"run_tasks": ["PIQA", "Chess"]}, "task", "PIQA"),
        ("published/view.py", {"published_table_name": "T"}, "table", "SparseGPT"),
    ],
)
def test_each_page_says_what_its_link_asks_for_in_vain(page, query, kind, shown, bundled):
    assert said(open_app(page, **query))[kind].startswith(shown)
