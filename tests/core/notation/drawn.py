"""Random stages of all methods."""

from hypothesis import strategies as draw

from core.amount import RATIO_PLACES, Bits, Factor, Pattern, Ratio
from core.methods.fields import bounds, choices, type_of
from core.registry import STAGES
from core.request.stages import build_stage
from core.specs import TextWindows

SHAPES = draw.lists(draw.integers(2, 999), min_size=2, max_size=5).map(lambda sizes: "x".join(map(str, sizes)))
SHIFTS = draw.sampled_from(("0:1;1:-1", "12:-2;7:1;3:1", "5:0"))
ODD = draw.text(min_size=1, max_size=20)  # quotes, plus signs, commas, line ends and all


@draw.composite
def parameters(pick, method):
    """Some parameters of a method, each with a value that it may have."""
    found = {}
    for name, parameter in method.Parameters.model_fields.items():
        if not pick(draw.booleans()):
            continue
        kind, ends = type_of(parameter), bounds(parameter)
        if kind is bool:
            value = pick(draw.booleans())
        elif choices(parameter):
            value = pick(draw.sampled_from(choices(parameter)))
        elif kind is int:
            value = pick(draw.integers(int(ends.get(">=", 0)), int(ends.get("<=", 3000))))
        elif kind is float:
            low, high = ends.get(">=", ends.get(">", 0)), ends.get("<=", ends.get("<", 1e6))
            excluded = {"exclude_min": ">" in ends or ">=" not in ends, "exclude_max": "<" in ends}
            value = pick(draw.floats(low, high, **excluded))
        else:
            value = pick({"shape": SHAPES, "shifts": SHIFTS}.get(name, ODD))
        found[name] = value
    return found


@draw.composite
def stages(pick):
    """A valid stage of any method."""
    method = pick(draw.sampled_from([found for found in STAGES if found.name != "dense"]))
    settings = pick(parameters(method))
    amount = None
    if method.takes_amount:
        if method.bit_choices:
            amount = Bits(pick(draw.sampled_from(method.bit_choices)))
        elif method.factor_choices:
            amount = Factor(pick(draw.integers(1001, 10**7)) / 1000)
        elif method.supports_nm and pick(draw.booleans()):
            kept = pick(draw.integers(1, 20))
            amount = Pattern(kept, kept + pick(draw.integers(1, 20)))
            settings.pop("allocation", None)  # a pattern leaves nothing to allocate
            settings.pop("shifts", None)
        else:
            amount = Ratio(round(pick(draw.floats(0, 0.999999)), RATIO_PLACES))
    if method.bit_choices or {"allocation", "ranks"} & settings.keys():  # not even, or whole bits
        settings.pop("shifts", None)
    text = TextWindows(
        corpus=pick(ODD), windows=pick(draw.integers(3001, 10**9 - 1)), window=pick(draw.integers(2, 99))
    )
    layers = pick(ODD) if method.selects_layers and pick(draw.booleans()) else None
    return build_stage(method.name, amount, settings, text, pick(draw.integers(0, 2**20)), layers)
