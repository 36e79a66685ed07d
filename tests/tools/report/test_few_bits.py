"""The table of variants with few bits per weight."""

from core.amount import Amount, Ratio
from core.request.stages import build_stage
from core.results import LayerReport
from core.specs import Stage, TextWindows
from tests.tools.report.test_significance import pruned, variant
from tools.report.few_bits import few_bits, is_rounded, output_error
from tools.report.points import BESIDE_DENSE, MEANS

OWN = {"b": {}, "c": {"group_size": 32}}  # the parameters of HQQ


def bits(method, amount, **parameters):
    return build_stage(method, Amount.parse(f"{amount}bit"), parameters)


def test_each_chain_has_a_row_compared_with_dense():
    dense = variant("a", (Stage(method="dense"),))
    plain = variant("b", (bits("rtn", 4),), right=20, loss=3.2)
    other = variant("c", (bits("rtn", 4, clip=True),), right=30, loss=3.1, answers=False)
    joint = variant(
        "d",
        (build_stage("sparsegpt", Ratio(0.5), settings={"bits": 4}, calibration=TextWindows.parse("any:8x24")),),
        loss=3.3,
    )
    made = [dense, plain, other, joint, variant("e", pruned("wanda"))]
    results, kept = [result for result, _ in made], {result.variant.key: answers for result, answers in made}

    def samples(key, row):
        return kept[key].get(row.identity)

    assert [is_rounded(one) for one in results] == [False, True, True, True, False]
    table = few_bits(results, samples).set_index("chain")
    assert set(table.index) == {"`rtn@4bit`", "`rtn@4bit,clip=true`", "`sparsegpt@0.5,bits=4`"}
    assert list(table["perplexity"]) == sorted(table["perplexity"])
    assert table.loc["`rtn@4bit`", BESIDE_DENSE].startswith("x 1.22 [")
    assert table.loc["`rtn@4bit`", MEANS].endswith(": worse")
    assert table.loc["`rtn@4bit,clip=true`", BESIDE_DENSE] == ""
    assert few_bits([results[0]], samples).empty
    assert table.loc["`rtn@4bit`", "output error"] == ""
    layer = LayerReport(name="q", block=0, role="q", shape=(2, 2), sparsity=0.0, error=0.25)
    with_layers = few_bits([results[0], results[1].model_copy(update={"layers": (layer,)})], samples)
    assert list(with_layers["output error"]) == ["0.2500"]


def test_only_the_perplexity_of_the_text_is_compared_with_dense():
    """The perplexity of LAMBADA's words is omitted."""
    made = [variant("a", (Stage(method="dense"),)), variant("b", (bits("rtn", 4),), right=20, loss=3.2)]
    results, kept = [], {}
    for result, answers in made:
        own = next(row for row in result.measurements if row.metric == "perplexity")
        task = own.model_copy(update={"dataset": "lambada_openai"})
        results.append(result.model_copy(update={"measurements": (*result.measurements, task)}))
        words = answers[own.identity]
        words = words.assign(perplexity=words["perplexity"] * len(results))
        kept[result.variant.key] = answers | {task.identity: words}
    (row,) = few_bits(results, lambda key, row: kept[key].get(row.identity)).to_dict("records")
    assert row[BESIDE_DENSE].startswith("x 1.22 [")


def test_output_error_is_shown_for_pure_quantisation_only():
    layer = LayerReport(name="q", block=0, role="q", shape=(2, 2), sparsity=0.0, error=0.25, stage=1)
    chains = [(Stage(method="rotate"), bits("rtn", 4)), (*pruned("wanda"), bits("rtn", 4))]
    for stages, error in zip(chains, (0.25, None), strict=True):
        result, _ = variant("b", stages)
        assert output_error(result.model_copy(update={"layers": (layer,)})) == error
        of_weights = layer.model_copy(update={"error_kind": "weight"})  # of a method that reads no text
        assert output_error(result.model_copy(update={"layers": (of_weights,)})) is None


def test_a_row_with_the_grid_of_the_model_file_is_marked():
    made = [
        variant("a", (Stage(method="dense"),)),
        *[variant(key, (bits("hqq", 4, **how),)) for key, how in OWN.items()],
    ]
    kept = {result.variant.key: answers for result, answers in made}
    table = few_bits([result for result, _ in made], lambda key, row: kept[key].get(row.identity))
    assert set(table["chain"]) == {"`hqq@4bit`", "`hqq@4bit,group_size=32` (the file's own grid)"}
