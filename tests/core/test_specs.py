"""Keys hold still, requests are validated, a prefix of the stages is a variant, and amounts have one notation."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as draw

from core.amount import Amount, Bits, Factor, Pattern, Ratio
from core.base.errors import UserError
from core.request.stages import build_stage, parse_dtype
from core.specs import Perplexity, Stage, Task, TextWindows, VariantSpec, canonical_json

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


WHOLE = draw.integers(1, 10**9 - 2)
PATTERNS = draw.tuples(WHOLE, draw.integers(1, 10**9 - 1)).filter(lambda pair: pair[0] < pair[1])
AMOUNTS = draw.one_of(
    draw.floats(0, 1, exclude_max=True).map(Ratio),
    PATTERNS.map(lambda pair: Pattern(*pair)),
    draw.integers(0, 10**9 - 1).map(Bits),
    draw.integers(1, 10**6).filter(lambda number: number % 1000).map(lambda number: Bits(number / 1000)),
    draw.integers(1000, 10**9 - 1).map(lambda number: Factor(number / 1000)),
)


@given(AMOUNTS)
def test_parse_reads_what_str_writes(amount):
    assert Amount.parse(str(amount)) == amount
    assert Amount.from_columns(0.5 if amount.pattern else amount.fraction, amount.pattern) == amount


@pytest.mark.parametrize(
    ("text", "amount", "fraction", "label"),
    [
        ("0.5", Ratio(0.5), 0.5, "50 %"),
        ("0.125", Ratio(0.125), 0.125, "12.5 %"),
        ("1e-05", Ratio(1e-05), 1e-05, "0.001 %"),
        ("2:4", Pattern(2, 4), 0.5, "2:4"),
        ("1:3", Pattern(1, 3), 1 - 1 / 3, "1:3"),
        ("4bit", Bits(4), 0.75, "4 bit"),
        ("3.5bit", Bits(3.5), 0.78125, "3.5 bit"),
        ("2x", Factor(2), 0.5, "2x"),
        ("1.5x", Factor(1.5), 0.333333, "1.5x"),
    ],
)
def test_an_amount_has_one_notation_one_share_and_one_label(text, amount, fraction, label):
    assert Amount.parse(text) == amount and str(amount) == text
    assert (amount.fraction, amount.label) == (fraction, label)


def test_bits_are_whole_numbers_where_they_can_be():
    assert isinstance(Amount.parse("4bit").bits, int)  # as in the keys of cached losses


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        *((text, "is not an amount; give a ratio (0.5)") for text in ("half", "x", "02x", "1.50x", "2.0bit", "")),
        *((text, "is not N:M with 0 < N < M") for text in ("4:2", "4:4", "0:4", "2:", "²:⁴", f"2:{'4' * 10}")),
    ],
)
def test_another_notation_is_refused_with_its_fix(text, sentence):
    with pytest.raises(UserError) as error:
        Amount.parse(text)
    assert f"{text!r} {sentence}" in str(error.value)


def test_a_column_of_patterns_contains_no_ratio():
    with pytest.raises(UserError, match=r"'0\.5' is not N:M"):
        Amount.from_columns(None, "0.5")


def test_an_empty_column_is_none_or_nan():
    assert Amount.from_columns(None, None) is Amount.from_columns(math.nan, math.nan) is None
    assert Amount.from_columns(0.5, math.nan) == Ratio(0.5) and Amount.from_columns(math.nan, "2:4") == Pattern(2, 4)


def test_ratios_ascend_and_other_amounts_descend_after_them():
    ordered = ["0", "0.3", "0.5", "4:8", "4bit", "4x", "3.5bit", "3.25bit", "3bit", "2:4", "2x", "1.5x", "1:4"]
    assert [str(amount) for amount in sorted(map(Amount.parse, reversed(ordered)))] == ordered


@pytest.mark.parametrize("text", ["02:4", "2:04", "04bit"])
def test_leading_zeros_stay_because_keys_contain_them(text):
    stored = Stage.model_validate_json(f'{{"method": "wanda", "ratio": 0.5, "pattern": "{text}"}}')
    assert (str(stored.amount), stored.model_dump()["pattern"]) == (text, text)


@given(AMOUNTS)
def test_a_stage_is_stored_with_a_ratio_and_a_pattern(amount):
    stage = Stage(method="wanda", ratio=amount.fraction, amount=amount)
    stored = {"method": "wanda", "version": 1, "ratio": amount.fraction, "ratio_kind": "sparsity", "parameters": {}}
    stored |= {} if isinstance(amount, Ratio) else {"pattern": str(amount)}
    assert canonical_json(stage.model_dump(exclude_none=True)) == canonical_json(stored)
    whole = {"pattern": None, "calibration": None, "seed": None, "layers": None} | stored
    assert stage.model_dump() == whole and list(stage.model_dump())[4] == "pattern"
    assert Stage.model_validate_json(stage.model_dump_json()) == Stage.model_validate(stored) == stage


def test_a_ratio_is_its_own_amount():
    assert Stage(method="wanda", ratio=0.5).amount == Ratio(0.5) and Stage(method="lora").amount is None
    with pytest.raises(ValueError, match="differs"):
        Stage(method="wanda", ratio=0.4, amount=Ratio(0.5))


@pytest.mark.parametrize(("pattern", "fault"), [("2-4", "'2-4' is not N:M"), (5, "should be a valid string")])
def test_a_stage_refuses_another_pattern(pattern, fault):
    with pytest.raises(ValueError, match=fault):
        Stage(method="wanda", ratio=0.5, pattern=pattern)
