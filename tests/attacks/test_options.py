"""Values of single options: texts, windows, tasks, shots, ratios, patterns, seeds, layers.

Each is parsed and, where it is accepted, completed to a run. A value that is accepted is written and parsed again. The
limit of memory is close to what the program takes by itself, so that no value may ask for much.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.amount import Amount, Ratio
from core.cli.options import long_form, names, parse_ratios, parse_seeds, parse_settings, parse_tasks
from core.data.cards import TASKS
from core.data.texts import BY_ID
from core.errors import UserError
from core.models.parts.selection import selects
from core.request.complete import complete
from core.request.sweeps import Grid, count
from core.specs import Fewshot, Perplexity, Task, TextWindows, parse_precision
from tests.attacks.damage import ATTACK, PIECES, damaged, examples
from tests.attacks.machine import limited

pytestmark = [*ATTACK, pytest.mark.usefixtures("tiny_folder")]

MOST_RATIOS = 1_001
LINEARS = [(block, f"model.layers.{block}.mlp.up_proj") for block in range(2)]
TEXTS = ("text.txt", "./text.txt", "wikitext2", "c4-sample", "passages-eval", "ptb", *BY_ID)


def written(parse, text):
    """Parse a text, and what it is written as, to the same."""
    parsed = parse(text)
    assert parse(str(parsed)) == parsed
    return parsed


def check_tasks(text):
    for parsed in parse_tasks(text):
        assert Task.parse(str(parsed)) == parsed
        complete("./tiny", "dense", tasks=[parsed])


def check_ratios(text):
    ratios = parse_ratios(text)
    assert 0 < len(ratios) <= MOST_RATIOS and all(0 <= ratio < 1 for ratio in ratios)
    count(Grid(models=("tiny",), chains=("wanda@",), amounts=tuple(map(Ratio, ratios))))


def check_amounts(text):
    for part in names(text, "Patterns"):
        amount = Amount.parse(part)
        wanted = (amount.value, None) if isinstance(amount, Ratio) else (None, part)
        complete("./tiny", long_form("magnitude", *wanted, {}, None))


def check_layers(text):
    selects(text, 2, LINEARS)
    complete("./tiny", long_form("magnitude@0.5", None, None, {}, text))


# By option: what takes a value, good values, and values near or beyond a limit.
KINDS = {
    "calibration": (
        lambda text: complete("./tiny", "wanda@0.5", calibration=written(TextWindows.parse, text)),
        [f"{text}:{n}" for text in TEXTS for n in ("4x32", "1x2", "16x128")],
        ("text.txt:999999999x999999999", "text.txt:1x9223372036854775808", "text.txt:²x4"),
    ),
    "perplexity": (
        lambda text: complete("./tiny", "dense", perplexity=[written(Perplexity.parse, text)]),
        [f"{text}@{n}" for text in TEXTS for n in ("32:4", "64", "128:16", "64:8:spread")],
        ("text.txt@999999999:999999999", "text.txt@2:9223372036854775808", "text.txt@0", "text.txt@1:1"),
    ),
    "tasks": (
        check_tasks,
        [*TASKS, "piqa:10,boolq:20", '"piqa"', "mmlu:1", "piqa,piqa:5"],
        ("piqa:9223372036854775808", "piqa:0", "piqa," * 5_000),
    ),
    "shots": (
        lambda text: complete(
            "./tiny", "dense", tasks=[Task(task="piqa", limit=10, fewshot=written(Fewshot.parse, text))]
        ),
        ["0", "4", "32", "4,selector=nearest", "2,selector=first,order=similar-last,template=chat"],
        ("999999999", "9223372036854775808,selector=nearest"),
    ),
    "ratios": (
        check_ratios,
        ["0.1:0.7:0.1", "0.5", "0.3,0.5", "0:0.99:0.01", "0:1:0.001", ".1, .2"],
        ("0:1:1e-9", "0:1:1e-324", "0:1e308:0.1", "0.1:0.7:0", "0.7:0.1:0.1", "0:1:nan", "0.9999999", "0.5," * 5_000),
    ),
    "amounts": (
        check_amounts,
        ["2:4", "4:8", "2:4,4:8", "0.5", "4bit", "2x", "1.5x", "3.5bit"],
        ("²:4", "9223372036854775808:9223372036854775809", "4:2", "999999999bit", "0x", "1e308x"),
    ),
    "seeds": (parse_seeds, ["0", "0,1,2", "7", "2147483648"], ("9223372036854775808", "0," * 5_000, "0:999999999")),
    "settings": (
        lambda text: complete("./tiny", long_form("sparsegpt@0.5", None, None, parse_settings([text]), None)),
        ["damping=0.1", "blocksize=128", "allocation=owl", "true_sequential=false"],
        ("damping", "damping=nan", "=1", "damping=1=1"),
    ),
    "layers": (
        check_layers,
        ["0:1", "1:", ":0", "mlp", "(up|down)_proj", r"layers\.0\.", "^model"],
        ("(a+)+$", "0:999999999", "[", "(" * 5_000),
    ),
    "precision": (parse_precision, ["fp32", "fp16", "bf16"], ("fp64", "float1024")),
}
ANY = ("", " ", ",", "-1", "nan", "inf", "1e400", "9" * 400, "9" * 5_000, "²", "x" * 5_000, "\ud800", "\x00")


def take(kind, text):
    with limited(gigabytes=0.5):
        try:
            KINDS[kind][0](text)
        except UserError as error:
            assert str(error).strip()


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_values_are_taken_or_refused(kind):
    for text in (*ANY, *KINDS[kind][2]):
        take(kind, text)


@pytest.mark.parametrize("kind", KINDS)
@examples(400)
@given(st.data())
def test_damaged_values_are_taken_or_refused(kind, data):
    good = st.sampled_from(KINDS[kind][1])
    take(kind, data.draw(damaged(good, good) | PIECES))
