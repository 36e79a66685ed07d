"""The tab of the family tree on the bundled results: nodes, fields in the address, details and links."""

import json
from urllib.parse import parse_qs

import pytest

from core.findings.inside.family import NOT_MEASURED
from core.findings.rows import choices, naming
from core.specs import PUBLISHED
from core.store.bundled import read_measured
from dashboard import data
from dashboard.charts.family.layout import ELSEWHERE
from dashboard.inside.family import tree as fields
from dashboard.inside.family import view
from dashboard.inside.family.tree import node_names, nodes_of
from dashboard.inside.selection import Subject
from tests.bundled import bundled_rows
from tests.dashboard.opened import charts, open_app, read
from tests.synthetic import chained, compared

MODEL, TEXT = "smollm2-135m", "WikiText-2, 16 x 2048 tokens"
TAB = {"inside_tab": "Family tree"}
MISSING = "Rotate, not measured · rotate"


@pytest.fixture(scope="module")
def rows():
    return bundled_rows(MODEL)


@pytest.fixture(scope="module")
def nodes(bundled):
    rows = data.frame(MODEL)
    return nodes_of(rows, choices.texts(rows)[TEXT])


def opened(**query):
    return open_app("inside/view.py", **TAB | {f"inside_tree_{name}": value for name, value in query.items()})


def drawn(app):
    """Return the traces of the tree."""
    (chart,) = charts(app)
    return json.loads(chart.proto.spec)["data"]


def marks(app):
    """Return the targets of the marks, by click."""
    return [row[0] for trace in drawn(app) for row in trace.get("customdata", ())]


def addresses(app):
    """Return the addresses of the tab's links, by label."""
    return {one.proto.label: parse_qs(one.proto.query_string) for one in app.get("page_link") if one.proto.query_string}


def table(app):
    (found,) = (one.value for one in app.dataframe if "Times dense" in one.value)
    return found


def subject_of(model):
    rows = data.frame(model)
    rows = rows[rows["origin"] != PUBLISHED]
    return Subject(model, rows, naming.variant_options(rows))


def names_of(model):
    """Return the names of the measured variants of a model, by key."""
    return subject_of(model).names


def test_the_tree_shows_the_largest_method_and_follows_its_fields(bundled, rows):
    tree = opened()
    assert tree.selectbox(key=fields.FAMILY).value == "unstructured"
    assert tree.multiselect(key=fields.METHODS).value == ["sparsegpt"]
    assert {"method:wanda", "family:structured", "family:quantisation"} <= set(marks(tree))
    first = {key: one.variant.stages[0].method for key, one in read_measured().results.items()}
    wanted = {key for key in set(rows["key"]) if first[key] == "sparsegpt"}
    shown = [target for target in marks(tree) if target in wanted]
    assert sorted(shown) == sorted(wanted) and len(wanted) > 30
    values = choices.on_text(rows, *choices.texts(rows)[TEXT]).set_index("key")["value"]
    dense = values[rows.loc[rows["chain"] == "dense", "key"].iloc[0]]
    shown = table(tree).set_index("Chain")
    for chain in ("sparsegpt@0.6", "sparsegpt@0.7+adaprune", "sparsegpt@0.5,bits=4"):
        (key,) = set(rows.loc[(rows["chain"] == chain) & rows["key"].isin(values.index), "key"])
        assert shown.loc[[chain], "Times dense"].dropna().tolist() == [pytest.approx(values[key] / dense)]
    on_text = coloured(tree)
    assert on_text <= set(values.index) and len(on_text) > 20
    tree.selectbox(key=fields.TEXT).set_value("passages-eval, 16 x 2048 tokens").run()
    assert on_text != coloured(tree) and any(trace.get("name") == ELSEWHERE for trace in drawn(tree))
    tree.selectbox(key=fields.TEXT).set_value(TEXT)
    tree.selectbox(key=fields.FAMILY).set_value("quantisation").run()
    assert tree.multiselect(key=fields.METHODS).value == ["gptq"] and "family:unstructured" in marks(tree)
    tree.multiselect(key=fields.METHODS).set_value(["gptq", "rotate"]).run()
    assert not tree.exception and "gptq@4bit+rtn@8bit,on=embedding" in set(table(tree)["Chain"])
    assert set(table(tree)["Remark"]) == {"", NOT_MEASURED}  # Rotate alone has no results
    tree.multiselect(key=fields.METHODS).set_value([]).run()
    assert "method:gptq" in marks(tree) and {"rtn@4bit", "awq@4bit"} <= set(table(tree)["Chain"])


def coloured(app):
    """Return the nodes with a colour."""
    (found,) = (trace for trace in drawn(app) if "colorbar" in trace.get("marker", {}))
    return {row[0] for row in found["customdata"] if ":" not in row[0]}


def test_a_link_restores_the_choices(bundled):
    app = opened(family="Structured", methods=["SlimLLM", "FLAP"], text="WikiText-2, 128 x 128 tokens")
    assert app.selectbox(key=fields.FAMILY).value == "structured"
    assert app.multiselect(key=fields.METHODS).value == ["slimllm", "flap"]
    assert app.selectbox(key=fields.TEXT).value == "WikiText-2, 128 x 128 tokens" and not app.info[:-1]


def test_a_link_to_a_node_opens_its_panel_and_its_method(bundled):
    app = opened(node="slimllm@0.2+lora,batch=4,dropout=0,learning_rate=0.002,patience=0,steps=92")
    assert app.selectbox(key=fields.FAMILY).value == "structured" and not app.exception
    assert app.multiselect(key=fields.METHODS).value == ["slimllm"]
    node = app.session_state[fields.NODE]
    assert node in marks(app) and "packed size" in read(app) and "follows SlimLLM 20 %" in read(app)
    names = {metric.label: metric.value for metric in app.metric}
    assert float(names["Times dense"]) > 1 and names["Packed size (MB)"]
    assert any("95 %" in caption.value and "results in total" in caption.value for caption in app.caption)


def test_the_panel_follows_the_chosen_node(bundled, nodes):
    app = opened(node="sparsegpt@0.7+adaprune")
    found, names, first = addresses(app), names_of(MODEL), app.session_state[fields.NODE]
    assert "KL divergence" not in {metric.label for metric in app.metric}
    explore = found["Show on Explore"]
    assert explore["explore_point"] == ["sparsegpt@0.7+adaprune"] and explore["explore_model"] == [MODEL]
    assert found["Look at its layers"]["inside_tab"] == ["Layers"]
    assert found["Look at its layers"]["inside_variant"] == [names[first]]
    documents = found["Compare its documents with its parent's"]
    assert documents["inside_tab"] == ["Documents"] and documents["inside_variant"] == [names[first]]
    assert documents["inside_other"] == ["SparseGPT 70 % · sparsegpt@0.7"]

    (button,) = (button for button in app.button if button.label == "Select its parent")
    button.click().run()
    assert app.session_state[fields.OTHER] == first != app.session_state[fields.NODE]
    both = addresses(app)["Compare the documents of both nodes"]
    assert both["inside_variant"] == [names[app.session_state[fields.NODE]]] and both["inside_other"] == [names[first]]

    name = "SparseGPT 50 % · sparsegpt@0.5"
    (key,) = (key for key, its in names.items() if its == name)
    app.selectbox(key=fields.NODE).set_value(key).run()
    shown = {metric.label: metric.value for metric in app.metric}
    fidelity = data.frame(MODEL).query("key == @key and metric == 'kl'")
    assert float(shown["KL divergence"]) == pytest.approx(fidelity["value"].iloc[0], rel=0.01)
    assert "Top-1 agreement" in shown

    last = nodes.loc[nodes["chain"] == "slimllm@0.2+tensor-train@2x+gptq@4bit,group_size=0", "node"].iloc[0]
    app.selectbox(key=fields.NODE).set_value(last).run()
    documents = addresses(app)["Compare its documents with its nearest measured ancestor's"]
    assert documents["inside_other"][0].endswith("· slimllm@0.2") and "which is not measured" in read(app)


@pytest.mark.matrix(chain=None)
@pytest.mark.parametrize(
    "chain", ["gptq@4bit", "dense", "hqq@4bit,group_size=32", "embedding-lowrank@2x", "rotate+gptq@4bit", "obs@0.5"]
)
def test_every_kind_of_variant_has_a_link_that_opens_its_point(chain, bundled):
    subject = subject_of(MODEL)
    key = next(key for key, name in subject.names.items() if f"· {chain}" in name)
    app = open_app(None, **view.explore_address(subject, key, choices.texts(subject.rows), TEXT))
    assert app.session_state["explore_point"] == key
    assert not any("asks for" in info.value for info in app.info)


def test_names_of_nodes_are_unique_and_say_which_lack_results(nodes):
    names = node_names(nodes, names_of(MODEL))
    assert len(set(names.values())) == len(names) == len(nodes)
    lacking = {names[node] for node in nodes.loc[nodes["key"].isna(), "node"]}
    assert MISSING in lacking and all(NOT_MEASURED in name for name in lacking)


def test_another_model_shows_the_node_of_the_same_name_if_it_has_one(bundled):
    for chain, remains in (("sparsegpt@0.7+adaprune", True), ("ria@0.3", False)):
        app = opened(node=chain)
        first = app.session_state[fields.NODE]
        app.selectbox(key="inside_model").set_value("gemma3-270m").run()
        assert not app.exception and first and app.session_state[fields.NODE] != first
        assert (app.session_state[fields.NODE] in names_of("gemma3-270m")) == remains


def test_a_node_without_results_offers_the_run_that_gives_it_some(fresh):
    app = opened(node=MISSING)
    assert not app.metric and "no results" in app.info[-1].value
    (query,) = addresses(app).values()
    assert query["chain"] == ["rotate"] and query["run_model"] == [MODEL]
    assert not open_app("run/view.py", **query).error
    nodes = nodes_of(data.frame(MODEL), choices.texts(data.frame(MODEL))[TEXT])
    node = nodes[nodes["chain"] == "slimllm@0.2+tensor-train@2x"].iloc[0]
    app = open_app("run/view.py", **view.run_address(MODEL, node))
    app.button(key="run_start").click().run()
    (job,) = data.queue().active()
    assert job.spec.variant.key == node["node"]


def test_a_model_without_perplexities_has_a_tree(store):
    result = chained("wanda@0.5", 30.0)
    store.put(result.model_copy(update={"measurements": result.measurements[1:]}))
    data.show_now()
    app = open_app("inside/view.py", **TAB | {"inside_tree_node": "wanda@0.5"})
    assert not app.exception and "Show on Explore" not in addresses(app)
    assert next(metric.value for metric in app.metric) == "–"


def test_fidelity_on_another_text_is_not_shown(store):
    for one in (chained("dense", 20.0), compared(chained("wanda@0.5", 30.0, corpus="wikitext2"), 0.4, 2.5, 0.7)):
        store.put(one)
    data.show_now()
    app = open_app("inside/view.py", **TAB | {"inside_tree_node": "wanda@0.5"})
    app.selectbox(key=fields.TEXT).set_value("passages-eval, 16 x 2048 tokens").run()
    assert "KL divergence" not in {metric.label for metric in app.metric}
    app.selectbox(key=fields.TEXT).set_value("WikiText-2, 16 x 2048 tokens").run()
    assert "KL divergence" in {metric.label for metric in app.metric}
