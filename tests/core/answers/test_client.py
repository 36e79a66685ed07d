"""The process of the answers: tokens of cached variants, one text per seed, Stop, and its end."""

import logging
import subprocess
import sys
import time

import psutil
import pytest
from pydantic import ValidationError

from core.amount import Ratio
from core.answers import client
from core.answers.client import MOST_OPEN, Answerer
from core.answers.question import MOST_TOKENS, Question
from core.base.errors import UserError
from core.base.paths import cached_variant
from core.engine.runs import run
from core.evaluation.generation.sampling import Sampling
from core.request.complete import complete
from core.request.stages import build_stage
from core.store.store import Store
from tests.core.answers.specs import question

pytestmark = pytest.mark.timeout(300)
LONGEST = 120  # seconds
SECRET = "the a"  # words of the tiny model, in no sentence of the program


@pytest.fixture(scope="module")
def variants(folder, tmp_path_factory):
    """The dense tiny model, a variant in the cache, and one that is not there."""
    place = tmp_path_factory.mktemp("answers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIMSCOPE_RESULTS", str(place / "results"))
        patch.setenv("SLIMSCOPE_CACHE", str(place / "cache"))
        patch.delenv("SLIMSCOPE_DATA", raising=False)
        patch.delenv("SLIMSCOPE_DB", raising=False)
        spec = complete(str(folder / "tiny"), "magnitude@0.5")
        run(spec.model_copy(update={"perplexity": (), "force": True}), Store())
        assert cached_variant(spec.variant.key).is_dir()
        dense = spec.variant.model_copy(update={"stages": (build_stage("dense"),)})
        absent = spec.variant.model_copy(update={"stages": (build_stage("magnitude", Ratio(0.7)),)})
        yield dense, spec.variant, absent


def end(answerer):
    answerer._process.stdin.close()
    answerer._process.wait()


@pytest.fixture(scope="module")
def answerer(variants):
    started = Answerer()
    yield started
    end(started)


def wait(condition):
    until = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def ask(answerer, *variants, prompt=SECRET, tokens=8, **sampling):
    return answerer.ask(Question(prompt=prompt, variants=variants, sampling=Sampling(tokens=tokens, **sampling)))


def asked(*args, **kwargs):
    answers = ask(*args, **kwargs)
    wait(lambda: not answers.active)
    return answers


def ids(answer):
    return [token.id for token in answer.tokens]


def test_the_dense_model_and_a_cached_variant_answer_and_an_absent_one_says_so(answerer, variants):
    answers = asked(answerer, *variants)
    dense, pruned, absent = answers.answers
    assert answers.state == "done" and answers.error is None
    assert [one.state for one in answers.answers] == ["done", "done", "failed"]
    assert 0 < len(dense.tokens) <= 8 and 0 < len(pruned.tokens) <= 8
    assert absent.error == "magnitude@0.7 is not in the cache any more; make it again by its job."
    assert ids(asked(answerer, variants[1]).answers[0]) == ids(pruned)  # alone as well


def test_the_same_seed_gives_the_same_text_and_another_seed_another(answerer, variants):
    texts = [
        [ids(one) for one in asked(answerer, *variants[:2], tokens=16, temperature=3.0, seed=seed).answers]
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_answers_whose_page_is_closed_stop(answerer, variants, monkeypatch):
    monkeypatch.setattr(client, "LONGEST_UNWATCHED", 0.0)
    answers = asked(answerer, variants[0], tokens=MOST_TOKENS, temperature=3.0)
    assert answers.stopped and answers.state == "done" and len(answers.answers[0].tokens) < MOST_TOKENS


@pytest.mark.full  # as other kills
def test_a_killed_process_is_one_sentence_and_the_next_question_starts_another(answerer, variants):
    asked(answerer, variants[0])
    process = psutil.Process(answerer._process.pid)
    process.suspend()
    answers = ask(answerer, variants[0])
    process.kill()
    wait(lambda: not answers.active)
    assert answers.state == "failed"
    reason = "The process of the answers was killed (SIGKILL); most likely the memory ran out."
    assert answers.error == f"{reason} Generate the answers again to restart it."
    assert asked(answerer, variants[0]).state == "done" and answerer._process.pid != process.pid


def test_no_file_of_the_machine_and_no_log_has_the_prompt(answerer, variants, caplog):
    folder = cached_variant(variants[1].key).parents[2]
    with caplog.at_level(logging.DEBUG):
        assert asked(answerer, *variants, prompt=f"{SECRET} xyzzyplugh").state == "done"
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 5 and not [file for file in files if b"xyzzyplugh" in file.read_bytes()]
    assert "xyzzyplugh" not in caplog.text + repr(question(0, prompt="xyzzyplugh"))


def test_questions_beyond_the_bounds_are_rejected(variants):
    for prompt, count in (("", 1), ("Hi", 5)):
        with pytest.raises(ValidationError):
            Question(prompt=prompt, variants=variants[:1] * count, sampling=Sampling(tokens=MOST_TOKENS))
    silent = Answerer((sys.executable, "-c", "import sys; sys.stdin.read()"))
    for _ in range(MOST_OPEN):
        ask(silent, variants[0])
    with pytest.raises(UserError, match="already wait"):
        ask(silent, variants[0])
    end(silent)


def test_a_process_that_cannot_start_is_one_sentence(variants):
    with pytest.raises(UserError, match="cannot start: No such file"):
        ask(Answerer(("/no/such/program",)), variants[0])


@pytest.mark.full
def test_the_process_ends_with_its_parent():
    code = "from core.answers.client import Answerer; import time; one = Answerer(); "
    code += "print(one._started().pid, flush=True); time.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    assert child.is_running()
    parent.kill()
    parent.wait()
    child.wait(LONGEST)
