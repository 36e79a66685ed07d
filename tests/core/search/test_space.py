"""The chains of a search: legal, of the right size, and as the user restricts them."""

import random

import numpy as np
import pytest

from core.amount import Ratio
from core.base.errors import UserError
from core.methods.unstructured.magnitude import Magnitude
from core.models.sources import identify
from core.registry import BY_NAME, METHODS, get_stage
from core.request.expected.size import predicted_size
from core.request.stages import check_stage_order
from core.search import space as module
from core.search.space import Candidate, Files, Restrictions, amounts_of, enumerate_space
from core.shipping.formats import find_format
from core.specs import VariantSpec
from tests.core.search.spaces import DEFAULTS, SHAPE, chains, space


def test_every_method_of_weights_takes_part():
    weights = {method.name for method in METHODS if method.family not in ("dense", "runtime")}
    found = set()
    for method in weights:  # beside a pruning, which a repair needs, and a rounding
        parts = space(method, "magnitude", "rtn")
        found |= {stage.method for part in (*parts.blocks, *parts.tables) for stage in part.stages}
    without_size = {"slicegpt"}  # it does not follow from what they declare
    of_experts = {method.name for method in METHODS if method.kind == "experts"}
    assert weights - found == without_size | (of_experts - found)


def test_chains_are_legal_and_their_sizes_are_those_of_their_parts():
    found, draw = space("sparsegpt", "gptq", "slimllm", "adaprune", "rotate", "rtn", "tensor-train"), random.Random(0)
    places = [Candidate(draw.randrange(len(found.blocks)), draw.randrange(len(found.tables))) for _ in range(200)]
    legal = [place for place in places if found.legal(place)]
    assert len(legal) > 100
    for place in legal:
        check_stage_order(found.stages(place))
        size = predicted_size(SHAPE, found.stages(place))
        assert found.sizes[place] == pytest.approx(size.packed_bytes, abs=2)


@pytest.mark.parametrize("name", ["gguf", "compressed-tensors", "huggingface"])
def test_sizes_as_files_are_those_of_the_chains(name):
    source, form, draw = identify("smollm2-135m"), find_format(name), random.Random(0)
    methods = Restrictions(methods=("sparsegpt", "gptq", "flap", "rtn", "hqq"))
    found = enumerate_space(SHAPE, DEFAULTS, methods, files=Files(form, source))
    legal = [place for place in map(Candidate._make, np.ndindex(found.sizes.shape)) if found.legal(place)]
    kinds = set()
    for place in draw.sample(legal, 150):
        stages = found.stages(place)
        variant = VariantSpec(model=source.id, revision=source.revision, stages=stages)
        kinds.add(form.default(variant))
        size = form.size(variant, source, predicted_size(SHAPE, stages), form.default(variant))
        assert found.sizes[place] == pytest.approx(size, abs=16), found.chain(place)
    assert len(kinds) == (3 if name == "gguf" else 1)


def test_find_returns_the_place_of_a_chain_and_the_dense_model_is_none():
    found = space("sparsegpt", "gptq", "rtn")
    for place in (Candidate(0, 1), Candidate(1, 0), Candidate(2, 3)):
        assert found.find(found.chain(place)) == place
    assert found.find("magnitude@0.5") is None and found.find("magnitude@0.5+rtn@8bit,on=embedding") is None
    assert not found.legal(Candidate(0, 0))


def test_prune_then_repair_then_round():
    found = chains(space("sparsegpt", "adaprune", "lora", "gptq"))
    for wanted in ("sparsegpt@0.5", "sparsegpt@0.5+adaprune", "sparsegpt@0.5+lora+gptq@4bit", "gptq@4.25bit"):
        assert wanted in found
    assert not any(chain.startswith("gptq@4bit+sparsegpt") for chain in found)


def test_groups_that_would_not_divide_the_inputs_become_whole_rows():
    found = chains(space("slimllm", "svd", "shortgpt", "sparsegpt", "gptq"))
    for chain in ("slimllm@0.5+gptq@4bit,group_size=0", "svd@0.5+gptq@4bit,group_size=0", "sparsegpt@0.5+gptq@4bit"):
        assert chain in found
    assert "shortgpt@0.5+gptq@4bit" in found  # the blocks that stay have their inputs
    assert not {"slimllm@0.5+gptq@4bit", "svd@0.5+gptq@4bit"} & set(found)


@pytest.mark.parametrize(("inputs", "written"), [(960, "rtn@4bit"), (1000, "rtn@4bit,group_size=0")])
def test_groups_fit_the_widths_of_the_model(inputs, written):
    shape = SHAPE.model_copy(update={"widths": (576, inputs)})
    blocks = enumerate_space(shape, DEFAULTS, Restrictions(methods=("rtn",))).blocks
    assert written in [part.chain for part in blocks]


def test_restrictions_leave_stages_out():
    assert not any("lora" in chain for chain in chains(space("sparsegpt", "lora", training=False)))
    families = [
        {
            get_stage(stage.method).family
            for part in space("slimllm", "gptq", structured=allowed).blocks
            for stage in part.stages
        }
        for allowed in (True, False)
    ]
    assert families == [{"structured", "quantisation"}, {"quantisation"}]
    with pytest.raises(UserError, match="wandaa"):
        space("wandaa")


def test_a_new_method_takes_part(monkeypatch):
    class Larger(Magnitude):
        name = "larger"
        family = "structured"

    monkeypatch.setattr(module, "METHODS", (*METHODS, Larger))
    monkeypatch.setattr("core.registry.STAGES", (*METHODS, Larger))
    monkeypatch.setitem(BY_NAME, "larger", Larger)
    assert [str(amount) for amount in amounts_of(Larger)] == ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "2:4", "4:8"]
    assert amounts_of(Larger)[0] == Ratio(0.1)
    assert "larger@0.2" in chains(space("larger"))


def test_stored_chains_join_with_each_part_once():
    plain = space("gptq", "rtn")
    more = space("gptq", "rtn", stored=["gptq@4bit,damping=0.1+rtn@8bit,on=embedding", "magnitude@0.5"])
    assert set(chains(more)) - set(chains(plain)) == {"gptq@4bit,damping=0.1"}
    assert more.tables == plain.tables
