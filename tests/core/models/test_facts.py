"""Sizes of models from their configurations, without torch, and those of the catalogue."""

import math
import subprocess
import sys
from collections import Counter

import pytest

from core.base.errors import UserError
from core.models.catalogue import BY_ID, MODELS
from core.models.facts import dense_sizes, load_shape
from core.models.parts.blocks import find_blocks
from core.models.parts.experts import separate_experts
from core.models.shape import shape_from_config
from core.models.sources import identify
from tests.core.tiny import ARCHITECTURES, OTHERS, layout_of, tiny
from tools.architectures.models import tiny_model

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.matrix(name=lambda name: name if "opt" in name or name == "gpt2" else layout_of(name))
@pytest.mark.parametrize("name", [*ARCHITECTURES, *OTHERS])
def test_facts_match_the_model(name, tmp_path):
    model = tiny(name)
    model.save_pretrained(tmp_path / "m")
    found = load_shape(identify(str(tmp_path / "m")))
    separate_experts(model)
    linears = list(find_blocks(model).all_linears())
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.block_weights == sum(linear.weight.numel() for linear in linears)
    assert found.widths == tuple(sorted({linear.weight.shape[1] for linear in linears}))
    assert sum(rows * columns * count for rows, columns, count in found.matrices) == found.block_weights
    if name != "phi3":  # whose joined matrices the shape counts apart
        counted = Counter()
        for rows, columns, count in found.matrices:
            counted[rows, columns] += count
        assert counted == Counter(linear.shape for linear in linears)
    tables = {
        id(table.get_parameter("weight")) for table in (model.get_input_embeddings(), model.get_output_embeddings())
    }
    assert found.tables == (0 if name == "opt-projected" else len(tables))  # 0: of another width
    if found.names:
        assert sorted(found.linears) == sorted((linear.block, linear.name) for linear in linears)
    assert (found.blocks, found.max_window, found.vocabulary) == (len(find_blocks(model).holder), 128, 97)


def test_infinity_is_read_as_transformers_writes_it(tmp_path):
    """JSON has none; Mamba-2 and its relatives limit their time steps by it."""
    tiny_model("mamba2").save_pretrained(tmp_path / "m")
    source = identify(str(tmp_path / "m"))
    assert source.config["time_step_limit"] == [0.0, math.inf]
    assert load_shape(source).block_weights == sum(dense_sizes(source).values())


def test_missing_sizes_fail():
    with pytest.raises(UserError, match="lacks 'hidden_size'"):
        shape_from_config({"model_type": "llama"})


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("smollm2-135m", 134_515_008), ("gemma3-270m", 268_098_176), ("opt-350m", 331_196_416),
     ("llama-2-70b", 68_976_648_192), ("qwen2.5-0.5b", 494_032_768)],
)  # fmt: skip
def test_catalogue_has_the_published_sizes(name, parameters):
    assert BY_ID[name].parameters == parameters and BY_ID[name].size_bytes == 2 * parameters


def test_catalogue_has_the_source_of_each_model():
    assert len({card.id for card in MODELS}) == len(MODELS)
    for card in MODELS:
        assert card.licence and (card.hub_id or card.packed or "on request" in card.note)
        assert shape_from_config(card.config).widths


def test_identifying_and_listing_import_no_torch():
    code = (
        "import sys; from core.models.sources import identify; from core.models.facts import dense_sizes, load_shape;"
        "from core.data.corpora import identify_corpus; from core.data.tasks import identify_task;"
        "load_shape(identify('smollm2-135m')); identify_corpus('wikitext2'); identify_task('piqa');"
        "assert not {'torch', 'transformers', 'lm_eval', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
