"""Few-shot prompts: those of the harness if it has them, with selected examples that are never scored."""

import pytest
import torch
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

from core.base.errors import UserError
from core.data.cards import TASKS
from core.data.harness import _DEFINITIONS, _UNUSED
from core.data.tasks import open_tasks
from core.evaluation.fewshot import build
from core.evaluation.fewshot import prompts as words
from core.evaluation.fewshot.dense import DenseModel
from core.evaluation.fewshot.prompts import Prompt, chat_of, requests, right
from core.evaluation.fewshot.read import load_scored_task, reading
from core.evaluation.scorer import SharedPrefixLM
from core.evaluation.zeroshot import evaluate
from core.request.complete import identified_task
from core.specs import Fewshot, Task
from tests.core.byte_tokenizer import byte_tokenizer
from tests.core.data.task_rows import write
from tests.core.evaluation.documents import LAMBADA, PIQA, WINOGRANDE, WORDS
from tests.core.tiny import tiny

ARC = [
    {
        "id": str(i),
        "question": f"What does the {w} eat?",
        "choices": {"text": [f"{w} food", "stones", "paint"], "label": ["A", "B", "C"]},
        "answerKey": "ABC"[i % 3],
    }
    for i, w in enumerate(WORDS)
]
BOOLQ = [{"question": f"does the {w} eat", "passage": f"The {w} eats.", "label": i % 2} for i, w in enumerate(WORDS)]
TABLES = {
    "arc_easy_test": ARC[:4],
    "arc_easy_validation": [ARC[1], *ARC[4:]],  # the first is scored, too
    "piqa_validation": PIQA,
    "winogrande_xl_validation": WINOGRANDE,
    "boolq_validation": BOOLQ,
    "lambada_openai_test": LAMBADA,
}
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(autouse=True)
def local(tmp_path, monkeypatch):
    for name, rows in TABLES.items():
        write(tmp_path / "data" / "tasks" / f"{name}.parquet", rows)
    monkeypatch.setenv("SLIMSCOPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))


def model(seed=0, window=2048):
    return tiny(vocab_size=257, max_position_embeddings=window, seed=seed)


def dense_of(other, tokenizer=None):
    return DenseModel("0" * 64, lambda: other, tokenizer or byte_tokenizer())


def run(task, how, lm=None, dense=None, tokenizer=None, **more):
    """Return the outcome of a task with the few-shot examples of `how`."""
    lm, tokenizer = lm or model(), tokenizer or byte_tokenizer()
    wanted = Task.parse(task).model_copy(update={"fewshot": Fewshot.parse(how)})
    (outcome,) = evaluate(
        lm, tokenizer, open_tasks([wanted]), "float32", dense=dense or dense_of(lm, tokenizer), **more
    )
    return outcome


def prompts(monkeypatch, *arguments, **more):
    """Return the requests in text that a run scores, a list a document, and its samples."""
    found = []
    monkeypatch.setattr(build, "requests", lambda *given: found.append(requests(*given)) or found[-1])
    samples = run(*arguments, **more).samples
    return found[-len(samples) :], samples


class Theirs(ConfigurableTask):
    """The harness' task with both of its splits."""

    def __init__(self, card, scored, pool):
        self.given = {"scored": scored, "pool": pool}
        config = {key: value for key, value in load_yaml(_DEFINITIONS / card.yaml).items() if key not in _UNUSED}
        config |= {"test_split": "scored", "fewshot_split": "pool", "fewshot_config": {"sampler": "first_n"}}
        super().__init__(config=config)

    def download(self, dataset_kwargs=None, **kwargs):
        import datasets

        self.dataset = {name: datasets.Dataset.from_list(rows) for name, rows in self.given.items()}


@pytest.mark.parametrize(
    ("name", "rows"),
    [("arc_easy", ARC), ("piqa", PIQA), ("winogrande", WINOGRANDE), ("boolq", BOOLQ), ("lambada_openai", LAMBADA)],
)
def test_first_selector_gives_the_prompts_of_the_harness(name, rows, monkeypatch):
    found, samples = prompts(monkeypatch, f"{name}:4", "3,selector=first")
    theirs = Theirs(TASKS[name], rows[:4], rows[4:])
    for ours, document in zip(found, theirs.test_docs(), strict=True):
        made = theirs.construct_requests(doc=document, ctx=theirs.fewshot_context(document, 3), metadata=("", 0, 1))
        assert ours == [one.args for one in (made if isinstance(made, list) else [made])]
        assert ours[0][0].count(WORDS[5]) >= 1
    assert samples["shots"].tolist() == [(0, 1, 2)] * 4


def test_scored_documents_are_never_few_shot_examples(monkeypatch):
    found, _ = prompts(monkeypatch, "arc_easy:4", "6,selector=random")
    for pairs, document in zip(found, ARC, strict=False):
        before = pairs[0][0].rsplit("Question:", 1)[0]
        assert before.count("Question:") == 6 and not any(f"the {word} eat" in before for word in WORDS[:4])
        assert pairs[0][0].endswith(f"Question: {document['question']}\nAnswer:")


def test_random_examples_depend_on_the_question_and_not_the_limit():
    few, more = run("piqa:3", "2"), run("piqa:3", "2,order=similar-last")
    assert len(set(few.samples["shots"])) > 1
    assert [set(one) for one in few.samples["shots"]] == [set(one) for one in more.samples["shots"]]
    assert run("arc_easy:2", "2").samples["shots"].tolist() == run("arc_easy:4", "2").samples["shots"].tolist()[:2]


def states(lm, text):
    """Return the mean of the last hidden states of one text, run alone."""
    ids = torch.tensor([byte_tokenizer().encode(text)])
    with torch.no_grad():
        return lm(input_ids=ids, output_hidden_states=True).hidden_states[-1][0].mean(0)


@pytest.mark.parametrize("order", ["drawn", "similar-last"])
def test_nearest_examples_are_those_most_similar_to_the_dense_model(order):
    dense = model(seed=3)
    shots = run("piqa:4", f"3,selector=nearest,order={order}", dense=dense_of(dense)).samples["shots"]
    asked = [f"Question: Feed the {word}\nAnswer:" for word in WORDS]
    means = [states(dense, text) for text in asked]
    for place, found in enumerate(shots):
        alike = [torch.cosine_similarity(means[place], other, dim=0).item() for other in means[4:]]
        best = sorted(range(6), key=alike.__getitem__, reverse=True)[:3]
        assert list(found) == (best if order == "drawn" else best[::-1])


def test_likely_examples_have_the_lowest_perplexity():
    dense = model(seed=3)
    shots = run("piqa:4", "3,selector=likely", dense=dense_of(dense)).samples["shots"]
    losses = []
    for row in PIQA[4:]:
        text = f"Question: {row['goal']}\nAnswer: {row[('sol1', 'sol2')[row['label']]]}"
        ids = torch.tensor([[256, *byte_tokenizer().encode(text)]])
        with torch.no_grad():
            losses.append(dense(input_ids=ids, labels=ids).loss.item())
    assert shots.tolist() == [tuple(sorted(range(6), key=losses.__getitem__)[:3])] * 4


def test_long_prompts_drop_their_oldest_examples(monkeypatch):
    whole = run("piqa:4", "4,selector=first")
    assert "dropped" not in whole.measurements[0].details
    found, samples = prompts(monkeypatch, "piqa:4", "4,selector=first", lm=model(window=170))
    lengths = [len(context + answer) - 1 for pairs in found for context, answer in pairs]
    assert max(lengths) <= 170 < max(lengths) + 50
    dropped = [4 - len(shots) for shots in samples["shots"]]
    assert all(dropped) and samples["shots"].tolist() == [tuple(range(lost, 4)) for lost in dropped]
    outcome = run("piqa:4", "4,selector=first", lm=model(window=170))
    assert outcome.measurements[0].details["dropped"] == sum(dropped)


def test_dense_model_selects_the_prompts_of_all_variants_once(tmp_path):
    dense, cache = model(seed=3), tmp_path / "kept"
    first = run("piqa:4", "2,selector=nearest", dense=dense_of(dense), cache=cache)
    asked = DenseModel("0" * 64, lambda: pytest.fail("asked again"), byte_tokenizer())
    second = run("piqa:4", "2,selector=nearest", lm=model(seed=1), dense=asked, cache=cache)
    assert second.samples["shots"].tolist() == first.samples["shots"].tolist()
    assert second.samples["loglikelihoods"].tolist() != first.samples["loglikelihoods"].tolist()
    with pytest.raises(pytest.fail.Exception):
        run("piqa:4", "3,selector=nearest", dense=asked, cache=cache)


def test_chat_turns_use_the_template_of_the_tokenizer(monkeypatch):
    with pytest.raises(UserError, match="no chat template"):
        run("piqa:4", "1,template=chat")
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = TEMPLATE
    found, _ = prompts(monkeypatch, "piqa:4", "1,selector=first,template=chat", tokenizer=tokenizer)
    before = "<user>Question: Feed the elk\nAnswer:<assistant>Give the elk food."
    asked = "<user>Question: Feed the ant\nAnswer:<assistant>"
    assert found[0] == [(before + asked, "Give the ant food."), (before + asked, "Give ant paint")]


def test_an_instruction_is_first(monkeypatch):
    (pairs, *_), samples = prompts(monkeypatch, "piqa:4", "1,selector=first,template=instruction")
    instruction = TASKS["piqa"].instruction
    assert pairs[0][0].startswith(
        f"{instruction}\n\nQuestion: Feed the elk\nAnswer: Give the elk food.\n\nQuestion: Feed the ant"
    )
    assert set(samples["instruction"]) == {instruction}
    (pairs, *_), _ = prompts(monkeypatch, "piqa:4", "0,template=instruction")
    assert pairs[0][0] == f"{instruction}\n\nQuestion: Feed the ant\nAnswer:"


def test_best_proposed_instruction_has_the_likeliest_answers(monkeypatch):
    lm, asked = model(), []
    proposed = ["Say what helps.", "Give the elk paint.", "Eat", "", "Eat", "Sing now."]
    monkeypatch.setattr(words, "HELD_OUT", 3)
    monkeypatch.setattr(DenseModel, "generate", lambda self, texts, tokens, progress: asked.extend(texts) or proposed)
    stays = set(run("piqa:4", "0,template=generated", lm=lm).samples["instruction"])
    assert len(set(asked)) > 1 and all(text.count("Question:") == 3 for text in asked)
    held_out = [row for row in PIQA[4:] if not any(row["goal"] in text for text in asked)]
    assert len(held_out) == 3
    scores = {}
    for instruction in {one for one in proposed if one}:
        scorer = SharedPrefixLM(lm, byte_tokenizer())
        pairs = [
            (f"{instruction}\n\nQuestion: {row['goal']}\nAnswer:", f" {row[('sol1', 'sol2')[row['label']]]}")
            for row in held_out
        ]
        scores[instruction] = sum(score for score, _ in scorer.score([scorer.encode(*pair) for pair in pairs]))
    assert stays == {max(scores, key=scores.get)}
    proposed[:] = [""] * 6
    with pytest.raises(UserError, match="proposes no instruction"):
        run("piqa:4", "0,template=generated", lm=lm)


def test_reasoning_is_generated_by_the_dense_model(monkeypatch):
    dense = model(seed=3)
    found, samples = prompts(
        monkeypatch, "piqa:3", "1,selector=first,template=reasoning", dense=dense_of(dense), lm=model()
    )
    for pairs, reasoning in zip(found, samples["reasoning"], strict=True):
        context, answer = pairs[0]
        before, _, _ = context.rpartition(f" {reasoning}")
        assert context.endswith(f" {reasoning}") and reasoning.startswith(words.CUE) and reasoning.endswith(words.THEN)
        assert answer.startswith(" Give")
        ids = torch.tensor([byte_tokenizer().encode(f"{before} {words.CUE}")])
        made = dense.generate(input_ids=ids, max_new_tokens=words.REASONING_TOKENS, do_sample=False, pad_token_id=256)
        alone = byte_tokenizer().decode(made[0, ids.shape[1] :], skip_special_tokens=True)
        first_line = alone.strip().split("\n", 1)[0].strip()
        assert reasoning == " ".join(filter(None, (words.CUE, first_line, words.THEN)))


@pytest.mark.parametrize(
    ("task", "how", "message"),
    [
        ("piqa", "4", "Scoring all documents of PIQA leaves none"),
        ("piqa:1836", "4", "PIQA has 2 unscored documents for few-shot examples"),
        ("mmlu:2", "6", "MMLU has 5 unscored documents for few-shot examples"),
        ("hellaswag:10", "0,template=reasoning", "asks no question to reason about"),
        ("piqa", "0,template=generated", "Scoring all documents of PIQA leaves none"),
    ],
)
def test_impossible_settings_are_rejected_before_data_are_read(task, how, message):
    with pytest.raises(UserError, match=message):
        identified_task(Task.parse(task).model_copy(update={"fewshot": Fewshot.parse(how)}))


def test_missing_documents_are_reported():
    with pytest.raises(UserError, match="ARC-e has 6 few-shot examples here, fewer than the requested 7"):
        run("arc_easy:4", "7")
    with pytest.raises(UserError, match="fewer documents on this machine"):
        reading(load_scored_task(Task.parse("piqa:4")), 4, Prompt())


def parts_of(task, how, place=0, tokenizer=None):
    """Return the parts of a prompt and the request that was scored."""
    wanted = Task.parse(task).model_copy(update={"fewshot": Fewshot.parse(how)})
    kept = run(task, how, tokenizer=tokenizer).samples.iloc[place]
    prompt = Prompt(shots=tuple(kept["shots"]), instruction=kept["instruction"], reasoning=kept["reasoning"])
    parts = load_scored_task(wanted)
    read = reading(parts, place, prompt, tokenizer)
    one, chat = parts[0], chat_of(tokenizer) if tokenizer else None
    asked = requests(one.task, one.documents[place], prompt, one.pool, chat)
    return read, asked[right(one.task, one.documents[place])]


@pytest.mark.parametrize(
    ("task", "how", "kinds"),
    [
        ("piqa:4", "2,selector=nearest", ["example", "example", "question"]),
        ("winogrande:4", "2", ["example", "example", "question"]),
        ("lambada_openai:4", "1", ["example", "question"]),
        ("arc_easy:4", "1,template=instruction", ["instruction", "example", "question"]),
        ("boolq:4", "1,template=reasoning", ["example", "question", "reasoning"]),
    ],
)
def test_parts_of_a_prompt_add_up_to_it(task, how, kinds):
    for place in (0, 3):
        read, (context, answer) = parts_of(task, how, place)
        assert "".join(text for _, text in read.parts) == context
        assert [kind for kind, _ in read.parts if kind] == kinds
        assert read.choices[read.right] in (context, answer)
        assert all(text.strip() == "" for kind, text in read.parts if not kind)


def test_chat_parts_separate_turns_from_content():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = TEMPLATE
    read, (context, _) = parts_of("piqa:4", "1,selector=first,template=chat", tokenizer=tokenizer)
    assert "".join(text for _, text in read.parts) == context
    assert [kind for kind, _ in read.parts] == ["", "example", "", "question", ""]
    assert read.parts[0] == ("", "<user>") and read.parts[-1] == ("", "<assistant>")
