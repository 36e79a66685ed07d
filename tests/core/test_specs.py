"""Keys hold still, requests are validated, a prefix of the stages is a variant."""

import pytest

from core.amount import Amount, Bits, Ratio
from core.base.errors import UserError
from core.request.stages import build_stage, parse_dtype
from core.specs import Perplexity, Task, TextWindows, VariantSpec

CALIBRATION = TextWindows.parse("c4-sample:16x2048")


def variant(*stages, **changes):
    return VariantSpec(**({"model": "m", "revision": "r"} | changes), stages=stages)


GOLDEN = {
    "dense": (build_stage("dense"), "2833ae2f"),
    "magnitude": (build_stage("magnitude", Ratio(0.5)), "aad66647"),
    "tensor-train": (build_stage("tensor-train", Amount.parse("2x")), "fe903252"),
    "wanda": (build_stage("wanda", Amount.parse("2:4"), calibration=CALIBRATION), "56708e58"),
    "sparsegpt": (
        build_stage("sparsegpt", Ratio(0.3), settings={"damping": 0.1}, calibration=CALIBRATION, seed=1),
        "dffb526f",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_keys_are_stable(name):
    stage, start = GOLDEN[name]
    assert variant(stage).key[:8] == start


def test_key_depends_on_the_relevant_settings():
    plain = variant(build_stage("magnitude", Ratio(0.5))).key
    assert variant(build_stage("magnitude", Ratio(0.5), seed=7)).key == plain
    assert variant(build_stage("magnitude", Ratio(0.5), settings={"allocation": "uniform"})).key == plain
    assert variant(build_stage("magnitude", Ratio(0.5), settings={"allocation": "global"})).key != plain
    assert variant(build_stage("magnitude", Ratio(0.5), layers="0:3")).key != plain
    assert variant(build_stage("magnitude", Ratio(0.5)), dtype="bfloat16").key != plain
    wanda = build_stage("wanda", Ratio(0.5), calibration=CALIBRATION)
    assert variant(build_stage("wanda", Ratio(0.5), calibration=CALIBRATION, seed=1)).key != variant(wanda).key


def test_a_prefix_of_the_stages_is_a_variant():
    first, second = build_stage("magnitude", Ratio(0.5)), build_stage("wanda", Ratio(0.5), calibration=CALIBRATION)
    assert len({variant(first).key, variant(first, second).key, variant(second, first).key}) == 3
    assert variant(build_stage("dense"), first).key == variant(first).key


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "magnitude", "amount": Ratio(-0.1)}, "outside"),
        ({"method": "magnitude", "amount": Bits(4)}, "'4bit' is not N:M"),
        ({"method": "dense", "amount": Ratio(0.3)}, "dense"),
        ({"method": "wanda", "amount": Ratio(0.3)}, "calibration"),
        ({"method": "magnitude", "settings": {"allocation": "galaxy"}}, "allocation"),
        ({"method": "dense", "settings": {"a": 1}}, "no parameters"),
    ],
)
def test_bad_stages_give_one_sentence(arguments, message):
    with pytest.raises(UserError, match=message) as error:
        build_stage(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (TextWindows.parse, "c4-sample"),
        (TextWindows.parse, "c4-sample:0x2048"),
        (Perplexity.parse, "wikitext2"),
        (Perplexity.parse, "wikitext2@1"),
        (Perplexity.parse, "wikitext2@2048:0"),
        (Perplexity.parse, "wikitext2@2048:spread"),
        (Perplexity.parse, "wikitext2@2048:16:even"),
        (Task.parse, "piqa:none"),
        (Task.parse, "piqa:0"),
        (Task.parse, "piqa:00"),
        *((parse, f"{start}{'9' * 5000}") for parse, start in ((Perplexity.parse, "a@32:"), (Task.parse, "piqa:"))),
        (TextWindows.parse, f"text.txt:{'9' * 5000}x32"),
    ],
)
def test_malformed_texts_are_rejected(parse, text):
    with pytest.raises(UserError, match="such as"):
        parse(text)


@pytest.mark.parametrize("text", ["wikitext2@2048:16", "wikitext2@128", "my/file.txt@64:3", "wikitext2@2048:16:spread"])
def test_perplexity_round_trips_through_text(text):
    assert str(Perplexity.parse(text)) == text


def test_first_windows_keep_their_earlier_spelling():
    assert Perplexity.parse("a@128:4").model_dump() == {"corpus": "a", "window": 128, "windows": 4}


def test_an_unknown_dtype_is_rejected():
    with pytest.raises(UserError, match="float32"):
        parse_dtype("int3")
