"""The tab of answers: its question, what is in links, the sentences, variants without a model, and the states."""

import json
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest

from core.answers.client import Answers
from core.answers.question import Event
from core.answers.shipped import LINE, PROMPTS, ShippedAnswer, shipped_answers
from core.base import paths
from core.base.errors import UserError
from core.evaluation.generation.sampling import Candidate, Token
from core.notation.chain import format_chain
from dashboard import data
from dashboard.inside.answers.view import PREPARED, difference
from tests.dashboard.opened import control, open_app, read
from tests.synthetic import chained

PAGE, VARIANTS, TEXT = "inside/view.py", "inside_answers_variants", "inside_answers_text"
CHAINS = ["dense", "magnitude@0.3", "magnitude@0.5", "magnitude@0.7", "wanda@0.5"]
BUNDLED = ["gptq@3bit", "sparsegpt@0.5", "gptq@4bit", "magnitude@0.5"]
CACHED = ["magnitude@0.3", "magnitude@0.5", "magnitude@0.7"]


def token(text, id=None, logprob=-0.5, ends=False):
    return Token(sum(text.encode()) if id is None else id, text, logprob, (Candidate(text, logprob),), ends)


def tokens(*texts):
    return [token(text) for text in texts]


class Process:
    """Answers that a test writes, in place of those of a process."""

    def __init__(self):
        self.questions, self.given, self.stopped = [], [], []
        self.texts = [["It", " is", " Paris"], ["It", " is", " Rome"]]
        self.ends = True

    def ask(self, question):
        self.questions.append(question)
        answers = Answers(len(self.questions), question)
        answers.apply(Event(number=1, state="running"))
        for place, text in zip(range(len(question.variants)), self.texts, strict=False):
            for one in tokens(*text):
                answers.apply(Event(number=1, state="running", place=place, token=one))
        if self.ends:
            answers.apply(Event(number=1, state="done"))
        self.given.append(answers)
        return answers

    def stop(self, answers):
        self.stopped.append(answers)
        answers.stopped = True
        answers.apply(Event(number=1, state="done"))


@pytest.fixture
def asked(monkeypatch):
    made = Process()
    monkeypatch.setattr("dashboard.inside.answers.view.answerer", lambda: made)
    return made


@pytest.fixture
def keys(store, asked, tmp_path, monkeypatch):
    """The keys of made-up variants by chain; those of `CACHED` are in the cache."""
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(paths, "SHIPPED_ANSWERS", tmp_path / "answers.jsonl")
    results = {chain: chained(chain, 30.0) for chain in CHAINS}
    for chain, result in results.items():
        store.put(result)
        if chain in CACHED:
            paths.cached_variant(result.variant.key).mkdir(parents=True)
    return {chain: result.variant.key for chain, result in results.items()}


def opened(**query):
    return open_app(PAGE, inside_tab="Answers", **query)


def generate(app):
    app.button(key="inside_answers_start").click().run()
    assert not app.exception
    return app


def components(app):
    """Return the data of the shown answers."""
    return [json.loads(one.proto.json) for one in app.get("bidi_component")]


def test_a_question_goes_to_the_dense_model_and_the_chosen_variants(keys, asked):
    app = opened(**{VARIANTS: ["magnitude@0.5", "magnitude@0.7"], "inside_answers_tokens": "5"})
    generate(app)
    (question,) = asked.questions
    assert [one.key for one in question.variants] == [
        keys[chain] for chain in ("dense", "magnitude@0.5", "magnitude@0.7")
    ]
    assert question.prompt == PROMPTS["A fact"] and question.chat and question.sampling.greedy
    assert question.sampling.tokens == 5
    sentence = "Magnitude 50 % equals dense at the start (2 of 3 greedy tokens, 67 %), then has “Rome”"
    assert f"{sentence} instead of “Paris”." in read(app)
    dense, half, most = components(app)
    assert [one["text"] for one in dense["tokens"]] == ["It", " is", " Paris"]
    assert (dense["differs"], half["differs"], most["tokens"]) == (None, 2, [])
    assert dense["tokens"][0]["likeliest"] == [["It", -0.5]]


def test_a_typed_prompt_is_in_no_link_and_replaces_a_prepared_one(keys, asked):
    app = opened(inside_answers_prompt="A sum")
    assert app.text_area(key=TEXT).value == PROMPTS["A sum"]
    app.text_area(key=TEXT).set_value("  xyzzy plugh ").run()
    assert control(app, "inside_answers_prompt").value is None
    assert not [value for values in app.query_params.values() for value in values if "xyzzy" in value]
    generate(app)
    assert asked.questions[0].prompt == "xyzzy plugh"
    control(app, "inside_answers_prompt").set_value("Code").run()
    assert app.text_area(key=TEXT).value == PROMPTS["Code"]
    app.text_area(key=TEXT).set_value("").run()
    assert app.button(key="inside_answers_start").disabled


def test_settings_of_a_link_reach_the_question(keys, asked):
    asked.texts = [["<b>", "x"], ["<i>**", "x"]]
    settings = {"temperature": "0.8", "top_p": "0.9", "seed": "7", "chat": "false"}
    app = generate(opened(**{f"inside_answers_{name}": value for name, value in settings.items()}))
    question = asked.questions[0]
    assert (question.sampling.temperature, question.sampling.top_p, question.sampling.seed) == (0.8, 0.9, 7)
    assert not question.chat and "drawn tokens" in read(app)
    (found,) = (one.value for one in app.markdown if "differs from dense" in one.value)
    assert "\\<i\\>\\*\\*" in found and "\\<b\\>" in found
    assert components(app)[1]["tokens"][0]["text"] == "<i>**"  # which the script writes as text


def test_the_slider_moves_along_the_cached_amounts_and_asks_again(keys, asked):
    app = opened()
    assert app.multiselect(key=VARIANTS).value == [keys["magnitude@0.5"]]  # cached, at the usual amount
    (slider,) = app.select_slider
    assert slider.options == ["30 %", "50 %", "70 %"] and slider.value == "50 %"
    slider.set_value("70 %").run()
    assert app.multiselect(key=VARIANTS).value == [keys["magnitude@0.7"]] and not asked.questions
    generate(app)
    app.select_slider[0].set_value("30 %").run()
    assert not app.exception
    assert [question.variants[1].key for question in asked.questions] == [keys["magnitude@0.7"], keys["magnitude@0.3"]]
    assert asked.stopped == asked.given[:1]


def test_a_variant_that_is_not_in_the_cache_is_offered_as_a_job(keys, asked):
    app = opened(**{VARIANTS: ["magnitude@0.5", "wanda@0.5"]})
    assert "Wanda 50 %, passages is not in the cache, so a job creates it first." in app.info[0].value.replace("\\", "")
    app.button(key="inside_create").click().run()
    (job,) = data.queue().active()
    assert job.spec.variant.key == keys["wanda@0.5"] and job.spec.cached
    assert not (job.spec.perplexity or job.spec.tasks)
    assert "Queued or running" in " ".join(one.value for one in app.caption)
    generate(app)
    assert [one.key for one in asked.questions[0].variants] == [keys["dense"], keys["magnitude@0.5"]]


def test_answers_that_grow_have_stop_and_no_sentence_yet(keys, asked, monkeypatch):
    asked.ends = False
    app = generate(opened())
    assert "Generating." in read(app) and "equals dense" not in read(app)
    with monkeypatch.context() as patch:
        patch.setattr(data, "active_jobs", lambda: [SimpleNamespace(state="running")])
        assert "Generating beside a running job, which slows both down." in read(app.run())
    app.button(key="inside_answers_stop").click().run()
    assert len(asked.stopped) == 1 and "Stopped." in read(app)
    assert "equals dense at the start" in read(app)
    assert not [button for button in app.button if button.key == "inside_answers_stop"]


def test_each_failure_is_its_sentence(keys, asked, monkeypatch):
    asked.ends = False
    app = opened()
    for place in (None, 1):
        generate(app)
        asked.given[-1].apply(Event(number=1, state="failed", place=place, error="It has *no* memory."))
        app.run()
        assert [error.value.replace("\\", "") for error in app.error] == ["It has *no* memory."]

    def ask(question):
        raise UserError("Too many questions.")

    monkeypatch.setattr(asked, "ask", ask)
    assert [error.value for error in generate(opened()).error] == ["Too many questions\\."]


def test_a_link_from_explore_leads_to_answers_and_a_link_chooses_prompt_and_variant(store, keys):
    explore = open_app()
    (link,) = (one for one in explore.get("page_link") if one.proto.label.startswith("Read answers of dense"))
    app = open_app(PAGE, **parse_qs(link.proto.query_string) | {VARIANTS: ["magnitude@0.5"], PREPARED: "A sum"})
    assert app.text_area(key=TEXT).value == PROMPTS["A sum"]
    assert app.multiselect(key=VARIANTS).value == [keys["magnitude@0.5"]]


def test_bundled_answers_are_shown_at_once_and_other_prompts_and_settings_ask_the_models(keys, asked):
    texts = {"dense": "It is Paris", "wanda@0.5": "It is Rome", "magnitude@0.7": "None"}
    lines = [
        LINE.dump_json(ShippedAnswer(key=keys[chain], prompt=PROMPTS["A fact"], tokens=tokens(*text.split())))
        for chain, text in texts.items()
    ]
    paths.SHIPPED_ANSWERS.write_bytes(b"\n".join(lines))
    app = opened()
    assert app.multiselect(key=VARIANTS).value == [keys["wanda@0.5"], keys["magnitude@0.7"]]
    shown = ["".join(f" {one['text']}" for one in answer["tokens"])[1:] for answer in components(app)]
    assert shown == [*texts.values()] and [one["differs"] for one in components(app)] == [None, 2, 0]
    assert "Bundled with Slimscope." in read(app) and "instead of “Paris”" in read(app)
    assert app.button(key="inside_answers_start").disabled and not app.info and not asked.questions
    control(app, "inside_answers_prompt").set_value("A sum").run()
    assert not components(app) and "is not in the cache" in app.info[0].value
    generate(app)
    assert [one.key for one in asked.questions[0].variants] == [keys["dense"], keys["magnitude@0.7"]]
    control(app, "inside_answers_prompt").set_value("A fact").run()
    assert "Bundled with Slimscope." in read(app)
    app.number_input(key="inside_answers_tokens").set_value(5).run()
    assert "Generated." in read(app)  # of the last question


def test_six_variants_of_the_default_model_ship_answers_to_every_prompt():
    every = shipped_answers()
    chains = {key: format_chain(data.result(key).variant.stages) for key, _ in every}
    assert [one for one in chains.values() if len(one) < 20] == ["dense", *BUNDLED] and len(chains) == 6
    assert set(every) == {(key, prompt) for key in chains for prompt in PROMPTS.values()}
    for one in every.values():
        assert 1 <= len(one.tokens) <= 48 and all(len(each.likeliest) == 5 for each in one.tokens)
        greedy = [each for each in one.tokens if not each.ends]
        assert all(each.logprob == max(other.logprob for other in each.likeliest) for each in greedy)


@pytest.mark.parametrize(
    ("dense", "other", "greedy", "expected"),
    [
        ("ab", "ab", True, "equals dense for the whole answer (2 of 2 greedy tokens, 100 %)."),
        ("abc", "ab", True, "equals dense as far as it goes (2 of 3 greedy tokens, 67 %)."),
        ("ab", "xb", True, "at the first token: it has “x” instead of “a” (0 of 2 greedy tokens, 0 %)."),
        ("a\n", "a\N{NO-BREAK SPACE}", True, "then has white space instead of a line break."),
        ("a\n", "a ", False, "(1 of 2 drawn tokens, 50 %), then has a space instead of a line break."),
    ],
)
def test_sentences_on_differences(dense, other, greedy, expected):
    found = difference("A", tokens(*dense), tokens(*other), greedy).replace("\\", "")
    assert found.startswith("A ") and found.endswith(expected)


def test_the_end_of_an_answer_has_a_name():
    dense = [*tokens("a"), token("<end>", ends=True)]
    assert difference("A", dense, tokens("a", "b"), True).endswith("then has “b” instead of its end.")
