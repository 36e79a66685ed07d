"""What every method of the registry must declare: each check raises `AssertionError` where one does not."""

import re
from typing import get_args

from core.amount import Amount
from core.engine.stages import RUNNERS
from core.methods.base import Method
from core.methods.fields import legend, unexplained_symbols
from core.methods.terms import Family, Reads
from core.models.facts import load_shape as facts_of
from core.notation.taxonomy import leaf_of
from core.registry import get_stage
from core.request.stages import build_stage
from core.specs import VariantSpec
from tests.core.contract.ground import RATIO, Case, Ground, instead


def check_declared(method: type[Method]) -> None:
    """Everything that form, command line and documentation are made from is there."""
    assert re.fullmatch(r"[a-z0-9-]+", method.name)
    assert get_stage(method.name) is method
    assert method.label.strip() == method.label != ""
    assert method.family in get_args(Family)
    check_sentence(method.summary)
    check_explained(method)
    assert isinstance(method.version, int) and method.version >= 1
    assert (leaf_of(method) is None) == (method.family == "dense")
    if method.family != "dense":
        paper = method.citation
        assert re.match(r"https?://\S+$", paper.url) and paper.title and paper.authors and 1900 < paper.year < 2100
    for name, parameter in method.Parameters.model_fields.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert parameter.description and parameter.description.endswith(".")
        assert not parameter.is_required(), name
    defaults = method.Parameters().model_dump()
    assert method.Parameters.model_validate(defaults, strict=True).model_dump() == defaults
    assert isinstance(method.create(method.parse_parameters({}), None), Method)


def check_explained(method: type[Method]) -> None:
    """The idea is two or three sentences; every formula can be rendered and all its symbols are explained."""
    sentences = re.split(r"(?<=\.) ", method.idea)
    assert len(sentences) in (2, 3), method.idea
    for sentence in sentences:
        check_sentence(sentence)
    assert isinstance(method.formulas, tuple) and method.formulas
    for formula in (*method.formulas, *method.symbols):
        check_formula(formula)
    assert unexplained_symbols(method) == []
    assert set(method.symbols) <= set(legend(method)), "a sign that no formula has"
    assert all(words and words.strip() == words and not words.endswith(".") for words in legend(method).values())


PAIRS = (("{", "}"), (r"\left", r"\right"), (r"\lVert", r"\rVert"), ("[", "]"), ("(", ")"))


def check_formula(latex: str) -> None:
    """Braces and other pairs of a formula are balanced, and nothing in it opens another mode."""
    assert latex.strip() == latex != ""
    assert "$" not in latex and "%" not in latex and r"\begin" not in latex
    plain = re.sub(r"\\[{}]", "", latex)
    for opening, closing in PAIRS:
        depth = 0
        for found in re.findall(rf"\\[A-Za-z]+|{re.escape(opening)}|{re.escape(closing)}", plain):
            if found not in (opening, closing):
                continue
            depth += 1 if found == opening else -1
            assert depth >= 0, latex
        assert depth == 0, latex
    assert not re.search(r"[\^_]\s*$|[\^_]\s*[\^_}]", plain), latex


def check_sentence(text: str) -> None:
    assert re.fullmatch(r"[A-Z][^\n]*[^.]\.", text) and not re.search(r"\. ", text), text


def check_of(case: Case, ground: Ground) -> None:
    """Whatever class carries it out declares what the registered one does; cost and memory follow the text."""
    method, facts = case.made, facts_of(ground.context.dense)
    for name in ("name", "label", "family", "summary", "idea", "formulas", "symbols", "citation", "version"):
        assert getattr(method, name) == getattr(case.method, name), name
    for name in ("takes_amount", "ratio_kind", "supports_nm", "Parameters"):
        assert getattr(method, name) == getattr(case.method, name), name
    assert method.kind in RUNNERS
    assert method.data_requirement in get_args(Reads)
    if method.data_requirement == "nothing":
        cost, memory = method.cost(facts, None), method.memory(facts, None, 4)
        assert memory > 0 and (cost > 0 or not method.takes_amount)
        return
    method = case.method.create(case.method.parse_parameters(case.settings), 0)  # with no limit of steps
    own = ground.text
    more = [own.model_copy(update={name: 3 * getattr(own, name)}) for name in ("windows", "window")]
    cost, memory = method.cost(facts, own), method.memory(facts, own, 4)
    assert cost > 0 and memory > 0
    assert all(method.cost(facts, text) > cost and method.memory(facts, text, 4) >= memory for text in more)
    if method.data_requirement == "calibration":
        assert any(method.memory(facts, text, 4) > memory for text in more)


def check_key(method: type[Method], ground: Ground) -> None:
    """A parameter given at its default, also as text, does not enter the key; a ratio and a version do."""

    def key(settings: dict, ratio: float = RATIO) -> str:
        pattern = instead(method, ratio)
        amount = ratio if method.takes_amount and not pattern else None
        text = ground.text.model_copy(update={"windows": 64})  # more than are held out
        stage = build_stage(method.name, Amount.from_columns(amount, pattern), settings=settings, calibration=text)
        return VariantSpec(model="m", revision="r", stages=(stage,)).key

    plain = key({})
    defaults = method.Parameters().model_dump()
    for name, value in defaults.items():
        assert key({name: value}) == plain, name
        assert value is None or key({name: str(value).lower()}) == plain, name
    assert key(defaults) == plain
    assert not method.takes_amount or key({}, RATIO / 2) != plain
