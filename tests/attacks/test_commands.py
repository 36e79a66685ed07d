"""Command lines over all commands: each ends with exit code 0 or 2, or 1 after a sweep with failed points."""

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.registry import METHODS
from tests.attacks.damage import ATTACK, PIECES, damaged, examples
from tests.attacks.machine import expect
from tests.attacks.test_chains import CHAINS
from tests.core.imports.given import FILES, HEADER, PERPLEXITY

pytestmark = ATTACK

CALIBRATION = "--calibration text.txt:2x32"
TEXT = f"{CALIBRATION} --train text.txt:4x16 --perplexity text.txt@32:2"
GOOD = ("magnitude@0.5", "wanda@2:4", "sparsegpt@0.5", "dense", "svd@0.3", "rtn@4bit,group_size=16", "shortgpt@0.5")
MORE = (
    *("--seed 3", "--ratio 0.4", "--pattern 2:4", "--set damping=0.1", "--layers 0:0", "--dtype float16", "--latency"),
    *("--device cpu", "--sensitivity block", "--json", "--force", "--save saved", "--format gguf", "--type f16"),
    *("--tasks piqa:2", "--fewshot 2", "--eval-dtype bf16"),
)
SHEETS = " ".join(file.name for file in FILES)
SERIES = "--model smollm2-135m --label mine --ratio 0.5"


def pick(*texts):
    """Draw the words of one of some texts."""
    return st.sampled_from([shlex.split(text) for text in texts])


def line(*parts):
    """Draw the words of each part."""
    return st.tuples(*parts).map(lambda found: [word for part in found for word in part])


def commands(keys):
    """Draw command lines that are valid, or nearly."""
    formats = pick("", "", "--csv", "--json", "--latex", "--csv --json")
    key = st.builds(lambda key, length: [key[:length]], st.sampled_from(keys), st.sampled_from((7, 8, 12, 64)))
    more = line(pick("", *MORE), pick("", *MORE))
    models = pick("", "smollm2-135m", "tiny")
    return st.one_of(
        line(pick("run ./tiny"), pick(*GOOD) | CHAINS.map(lambda chain: [chain]), pick(TEXT, TEXT, CALIBRATION), more),
        line(
            pick("sweep --models ./tiny"),
            pick(*(f"--methods {one.name}" for one in METHODS), *(f"--chain {one}" for one in ("magnitude@", "svd@"))),
            pick("--ratios 0.5", "--ratios 0.1:0.2:0.1", "--patterns 2:4", "--patterns 4bit"),
            pick(TEXT),
            pick("", "", "--seeds 0,1", "--tasks-at 0.5", "--out out.jsonl"),
        ),
        line(pick("export"), key, pick("exported"), pick("", "--format huggingface", "--format gguf", "--type f16")),
        line(pick("compare"), key, key, formats),
        line(pick("results"), models, formats),
        line(pick("laws"), models, pick("", "--metric perplexity", "--perplexity wikitext2@2048:16"), formats),
        line(
            pick("best"),
            pick("smollm2-135m", "tiny", "./tiny"),
            pick("--max-mb 90", "--max-times 1.5", "--at 0.5", "--max-ms 40", "--max-mb 90 --only gguf"),
            pick("", "--family quantisation", "--no-training", "--text wikitext2@2048:16", "--json"),
        ),
        line(pick("delete"), key, pick("", "--yes")),
        pick("models", "methods", "doctor", "clear", "fetch", "fetch ./tiny", "fetch smollm2-360m", "fetch org/name"),
        pick("import mine.csv", f"import {SHEETS} {SERIES}", f"import mine.csv {SERIES}", "inspect ./tiny", "fidelity"),
    )


@st.composite
def damaged_commands(draw, keys):
    """Draw a command line after at most two changes, which names no place outside the current folder."""
    words = draw(commands(keys))
    for change in draw(st.lists(st.sampled_from(("damage", "damage", "insert", "delete", "repeat")), max_size=2)):
        place = draw(st.integers(0, len(words) - 1))
        match change:
            case "insert":
                words = [*words[:place], draw(PIECES), *words[place:]]
            case "delete" if len(words) > 1:
                words = words[:place] + words[place + 1 :]
            case "repeat":
                words = [*words, words[place]]
            case _:
                word = draw(damaged(st.just(words[place]), st.sampled_from(words)))
                words = [*words[:place], word, *words[place + 1 :]]
    return [contained(word) for word in words]


def contained(word):
    """Return a word as the system hands it over, and that names no place outside the current folder."""
    word = re.sub("[\ud800-\udfff]", "\udcff", word.replace("\0", ""))
    return re.sub(r"(^|=)([/~])", r"\1.\2", word).replace("..", ".")


LONG = "magnitude@0.5+" * 400
CASES = (  # KEY and LONG stand for the key of the user's variant and for a long chain
    *("", "export KEY ~/exported", "export KEY ~nobody/exported", "export KEY .", "export KEY text.txt"),
    *("export '' exported", "run ./tiny LONG", "run LONG dense", "run '' dense", "run /dev/zero dense"),
    *("run ./tiny dense --perplexity /dev/zero@32", "run ./tiny dense --save ~/saved", "compare dense dense"),
    *("sweep --models ./tiny --chain LONG", "sweep --models ./tiny --methods magnitude --ratios 0:1:1e-9"),
    *("sweep --models ./tiny --methods magnitude --ratios 0.5 --out ~/out.jsonl", "results --csv --json"),
    *("compare KEY", "compare LONG", "delete ''", "delete 00000000", "laws \udcff", "import ~/x.csv"),
    *("fetch ../../x", "fetch ~/x", "run ./tiny wanda@0.5 --calibration text.txt:999999999x999999999"),
    *("run ./tiny wanda@0.5 --calibration text.txt:²x4", "run ./tiny dense --perplexity text.txt@999999999:999999999"),
    *("run ./tiny dense --tasks piqa:9223372036854775808", "run ./tiny magnitude@0.5 --layers (a+)+$"),
    *("run ./tiny dense --tasks piqa --fewshot 999999999", "run ./tiny magnitude@0.5 --layers 0:999999999"),
    "sweep --models ./tiny --methods magnitude --ratios 0:1e308:0.1",
)


def check(words):
    printed = expect(*words, seconds=180)
    assert not [word for word in words if len(word) > 1_000 and word in printed]


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_command_ends_in_a_sentence(case, place, machine):
    known = {"KEY": machine.key, "LONG": LONG}
    check([known.get(word, word) for word in shlex.split(case)])
    assert not (place / "~").exists()


@examples(600)
@given(st.data())
def test_a_damaged_command_ends_in_a_sentence(machine, data):
    with machine.place() as place:
        (place / "mine.csv").write_text(f"{HEADER}\n{PERPLEXITY}\n")
        for file in FILES:
            (place / file.name).symlink_to(file)
        check(data.draw(damaged_commands([machine.key, *machine.bundled_keys()])))
