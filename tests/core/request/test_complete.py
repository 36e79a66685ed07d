"""A request is refused for each fault that is seen before a model is loaded, with the value that is wrong."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.base.errors import UserError
from core.request.complete import check_save_folder, complete, default_perplexity
from core.request.settings import RunSettings
from core.specs import Fewshot, Perplexity, Task, TextWindows

pytestmark = pytest.mark.usefixtures("machine")
LONG = "9" * 5000  # more digits than Python reads


def text(written):
    return {"calibration": TextWindows.parse(written)}


def read(written):
    return {"perplexity": [Perplexity.parse(written)]}


BAD = {
    "pattern that divides no layer": ("wanda@3:5", {}, "3:5 does not divide the 32 inputs"),
    "ratio that would be rounded to 1": ("wanda@0.9999999", {}, "0.9999999 is too close to 1"),
    "chain of many stages": ("magnitude@0.5+" * 400 + "dense", {}, "401 stages; give at most 20"),
    "calibration on a test split": ("wanda", text("wikitext2:4x32"), "wikitext2 is held out"),
    "training on a test split": ("lora", {"train": TextWindows.parse("ptb:4x32")}, "ptb is held out"),
    "calibration window too long": ("wanda", text("text.txt:4x256"), "the model has only 128"),
    "perplexity on a calibration text": ("dense", read("c4-sample@32"), "c4-sample is only for calibration"),
    "perplexity window too long": ("dense", read("text.txt@4096"), "the model has only 128"),
    "text of nobody": ("dense", read("~nouser/x@32"), "no text file '~nouser/x'"),
    "unknown device": ("wanda", {"device": "gpu"}, "Unknown device 'gpu'"),
    "negative seed": ("wanda", {"seed": -1}, "Seed -1 is negative"),
    "seed beyond the last": ("wanda", {"seed": int("9" * 30)}, "is larger than 2147483648"),
    "broken expression for layers": ("wanda,layers='(up'", {}, "neither FIRST:LAST nor a regular expression"),
    "deeply nested expression for layers": (f"wanda,layers='{'(' * 5000}'", {}, "too many nested groups"),
    "layers beyond the last": ("wanda,layers='7:9'", {}, "'7:9' selects none of blocks 0 to 1"),
    "layers of thousands of digits": (f"wanda,layers='{LONG}:'", {}, "selects none"),
    "layers of no linear": ("wanda,layers=no_such_proj", {}, "selects none"),
    "unknown teacher": ("magnitude+distill-black,teacher=no-such", {}, "Unknown model 'no-such'"),
    "experts of a model without": ("reap@0.2", {}, "tiny has none"),
    "convolutions of a language model": ("conv-lowrank@0.5", {}, "a language model has none"),
    "few-shot examples of a task that is scored as a whole": (
        "dense",
        {"tasks": [Task(task="piqa", fewshot=Fewshot.parse("6"))]},
        "all documents of PIQA leaves none",
    ),
    "a scan of the dense model": ("dense", {"scan": "block"}, "dense cannot be scanned"),
    "a scan of a reconstruction": ("wanda@0.5+adaprune", {"scan": "block"}, "cannot be scanned"),
    "a scan of a training": ("wanda@0.5,allocation=global+lora", {"scan": "block"}, "cannot be scanned"),
    "a scan of a removal of units": ("flap@0.5", {"scan": "block"}, "cannot be scanned"),
    "a scan on one sequence": ("magnitude@0.5", {"scan": "block", **text("text.txt:1x32")}, "has one sequence"),
}


def test_a_model_of_one_token_has_no_perplexity():
    with pytest.raises(UserError, match="reads one token at most"):
        default_perplexity(SimpleNamespace(max_window=1))


@pytest.mark.parametrize("kind", BAD)
def test_a_fault_is_refused_in_one_sentence(kind):
    chain, options, words = BAD[kind]
    texts = {"train": TextWindows.parse("text.txt:24x32")} if "lora" in chain or "distill" in chain else {}
    given = {"calibration": TextWindows.parse("text.txt:8x32"), **read("text.txt@32"), **texts, **options}
    with pytest.raises(UserError, match=re.escape(words)) as error:
        complete("./tiny", chain.replace("'", '"'), RunSettings(**given))
    assert "\n" not in str(error.value) and len(str(error.value)) < 700


@pytest.mark.parametrize(
    ("target", "words"),
    [("n" * 300, "File name too long"), ("full", "full is not empty"), ("~nouser/x", "~nouser/x starts with")],
)
def test_a_folder_to_save_in_is_new_or_empty(target, words):
    with pytest.raises(UserError, match=words):
        check_save_folder(Path(target))
