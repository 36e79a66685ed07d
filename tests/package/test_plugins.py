"""The plug-ins of the guide work on the command line, and those that cannot be used break no other."""

import json
import os
import subprocess
import sys

import pytest
import torch

from core.base.errors import UserError
from core.base.paths import PROJECT
from core.engine import stages
from core.methods.unstructured.base import ScoreMethod
from core.specs import Stage
from tests.core.engine.applied import compress
from tests.core.tiny import tiny, windows
from tests.package.plugin import with_public_modules, write_plugin

SKIPPED = (
    "The method broken of my-package is skipped: ModuleNotFoundError: No module named 'my_package.absent'.",
    "The method kindless of my-package is skipped: Kindless derives from no base class that the engine runs, "
    "such as ScoreMethod.",
    "The method nameless of my-package is skipped: the name None is invalid; give lower-case letters, digits and signs "
    "of - _, such as my-method.",
    "The method chained of my-package is skipped: the name 'a+b@c,d=' is invalid; give lower-case letters, digits and "
    "signs of - _, such as my-method.",
    "The method taken of my-package is skipped: the name wanda is already in use.",
    "The text no-text of my-package is skipped: 'absent.txt' is not the path of a text file.",
    "The metric no-metric of my-package is skipped: 'absent.txt' is not a Metric of core.metrics.",
)
NO_FORMAT = "The format no-format of my-package is skipped: "


@pytest.fixture
def slimscope(machine, folder, tmp_path):
    """Return a function that runs a command with the plug-ins of the guide in the folder of the model."""
    plugin = with_public_modules(write_plugin(tmp_path))
    known = os.environ | {"PYTHONPATH": f"{plugin}{os.pathsep}{PROJECT}"}

    def run(*arguments):
        command = [sys.executable, "-m", "core", *arguments]
        return subprocess.run(command, env=known, cwd=folder, capture_output=True, text=True, timeout=200)

    return run


def test_plugins_are_listed_and_each_unusable_one_is_named(slimscope):
    done = slimscope("methods", "random")
    assert done.stdout.startswith("random: Zeroes weights at random. Amount: ratio or N:M."), done.stderr
    words = " ".join(done.stderr.split())
    assert all(sentence in words for sentence in SKIPPED) and NO_FORMAT in words and "Traceback" not in words


class Leaving(ScoreMethod):
    name = "leaving"

    def score(self, weight, statistics):
        raise SystemExit(3)


class Undefined(ScoreMethod):
    name = "undefined"

    def score(self, weight, statistics):
        return torch.full_like(weight, torch.nan)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (Leaving, "leaving ended the program by sys.exit(3); let it raise an error."),
        (Undefined, "undefined scores some weights as NaN and cannot rank them; correct the method"),
    ],
)
def test_a_score_that_ends_the_program_or_is_no_number_is_one_sentence(method, words, monkeypatch):
    monkeypatch.setattr(stages, "build_method", lambda stage: method())
    with pytest.raises(UserError) as error:
        compress(tiny(), Stage(method=method.name, ratio=0.5), windows())
    assert str(error.value).startswith(words)


@pytest.mark.full
def test_the_commands_of_the_guide_run(slimscope, tmp_path):
    text = ("--perplexity", "my-notes@32:4")
    done = slimscope("run", "./tiny", "random@0.5", "--seed", "3", *text, "--json")
    assert done.returncode == 0, done.stderr
    variant = json.loads(done.stdout)["variant"]
    assert (variant["method"], variant["stages"][0]["seed"]) == ("random", 3)
    assert slimscope("run", "./tiny", "input-squares@0.5", "--calibration", "my-notes:4x32", *text).returncode == 0
    place = tmp_path / "saved"
    saved = slimscope("run", "./tiny", "random@0.5", *text, "--save", str(place), "--format", "with-notice")
    assert saved.returncode == 0 and (place / "NOTICE").read_text() == "Compressed from tiny.\n", saved.stderr
    words = " ".join(slimscope("doctor").stdout.split())  # cells wrap
    for row in (
        "random yes Random, from my_package.methods",
        "with-notice yes With a notice",
        "my-notes yes a text",
        "js yes a metric",
    ):
        assert f"plug-in {row}" in words
    assert "the name wanda is already in use" in words
