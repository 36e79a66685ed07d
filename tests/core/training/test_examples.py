"""Training data: sequences of a text, instructions with their answers, and the answers of a teacher."""

import json
import re
from types import SimpleNamespace

import pytest
import torch

from core.base.errors import UserError
from core.base.progress import silent
from core.data.corpus import PROMPT, PROMPT_WITH_INPUT, read_pairs
from core.data.windows import read_data
from core.specs import TextWindows
from core.training.answers import answers
from core.training.examples import Batch, Example, Examples, collate, encode, read_examples
from tests.core.tiny import tiny


class Letters:
    """Build a tokenizer of the letters a to z, for a model of 97 tokens."""

    pad_token_id, eos_token_id = 0, 96

    def __call__(self, text):
        return {"input_ids": [ord(letter) - ord("a") + 1 for letter in text]}

    def decode(self, ids, skip_special_tokens=False, clean_up_tokenization_spaces=True):
        return "".join(chr(ord("a") + int(i) - 1) if int(i) < 27 else "z" for i in ids if int(i))


def test_each_epoch_has_every_example_once_and_no_held_out_one():
    data, again = (
        Examples([Example(torch.full((2 + i % 5,), i)) for i in range(23)], batch=4, held_out=3, seed=1)
        for _ in range(2)
    )
    held = {int(batch.ids[0, 0]) for batch in data.held_out}
    orders = []
    for epoch in range(2):
        batches = [data.batch(epoch * data.steps_an_epoch + step) for step in range(data.steps_an_epoch)]
        firsts = [int(row[0]) for batch in batches for row in batch.ids]
        assert sorted(firsts) == sorted(set(range(23)) - held)
        orders.append(firsts)
    assert orders[0] != orders[1]
    assert torch.equal(again.batch(7).ids, data.batch(7).ids)


def test_padding_does_not_count():
    batch = collate([Example(torch.tensor([5, 6, 7, 8]), 2), Example(torch.tensor([9, 9]))])
    assert batch.ids.tolist() == [[5, 6, 7, 8], [9, 9, 0, 0]]
    assert batch.counts.tolist() == [[False, True, True], [True, False, False]]
    assert [part.ids.shape for part in Batch(batch.ids, batch.counts).split(4)] == [(1, 4), (1, 4)]


def test_instructions_are_read_with_or_without_input_or_as_prompts():
    rows = [
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        {"instruction": "Hi", "input": "", "output": "Hello"},
        {"prompt": "Q", "response": "A"},
    ]
    expected = [
        (PROMPT_WITH_INPUT.format(instruction="Add.", input="1 2"), "3"),
        (PROMPT.format(instruction="Hi"), "Hello"),
        ("Q", "A"),
    ]
    assert read_pairs(json.dumps(rows), "x") == expected
    assert read_pairs("\n".join(json.dumps(row) for row in rows), "x") == expected
    with pytest.raises(UserError, match="Row 2 of x is no instruction"):
        read_pairs('[{"prompt": "Q", "response": "A"}, {"text": "T"}]', "x")
    with pytest.raises(UserError, match="neither a JSON list nor JSON lines"):
        read_pairs("{", "x")
    for deep in ("[" * 100_000, '{"prompt": ' + "[" * 100_000):
        with pytest.raises(UserError, match="neither a JSON list nor JSON lines"):
            read_pairs(deep, "x")


def test_instruction_examples_train_the_answer_and_its_end(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "mine.jsonl"
    file.write_text("\n".join(json.dumps({"prompt": "ask" * n, "response": "yes"}) for n in (1, 2, 9)))
    found = read_examples(read_data(TextWindows(corpus=str(file), windows=2, window=8)), Letters(), 0)
    assert sorted((len(example.ids), example.prompt) for example in found) == [(7, 3), (8, 6)]
    assert next(example for example in found if example.prompt == 3).ids[-1] == Letters.eos_token_id
    with file.open("a") as lines:
        lines.write('\n{"prompt": "a\u2028b", "response": " "}')  # an empty answer
    with pytest.raises(UserError, match="it has 2 instructions whose prompts fit 8 tokens, not 3"):
        read_examples(read_data(TextWindows(corpus=str(file), windows=3, window=8)), Letters(), 0)


def test_a_token_spanning_prompt_and_answer_has_a_loss():
    class Tokenizer:
        """Attach each space to the word after it, as byte-level BPE does."""

        eos_token_id = 0

        def __call__(self, text):
            return {"input_ids": [1 + len(word) for word in re.findall(r" ?\w+| ", text)]}

    assert Tokenizer()("to be ")["input_ids"] == [3, 4, 2]
    example = encode("to be ", "seen", Tokenizer(), 10)
    assert (example.ids.tolist(), example.prompt) == ([3, 4, 6, 0], 2)


def test_answers_of_a_teacher_are_generated_and_cached(tmp_path):
    model, file, calls = tiny(), tmp_path / "answers.jsonl", []
    teacher = SimpleNamespace(model=model, tokenizer=Letters())
    prompts = ["hello", "a", "wonder"]

    def ask(wanted):
        return answers(teacher, wanted, 5, 0.0, 0, file, lambda *call: calls.append(call))

    generated = ask(prompts)
    assert [prompt for prompt, _ in generated] == prompts
    for prompt, answer in generated:  # the same as for this prompt alone, without padding
        ids = torch.tensor([Letters()(prompt)["input_ids"]])
        alone = model.generate(ids, max_new_tokens=5, do_sample=False, pad_token_id=0)
        assert answer == Letters().decode(alone[0, ids.shape[1] :])
    file.write_text(file.read_text() + '["cut o')
    calls.clear()
    assert ask(prompts) == generated
    assert not calls
    assert len(ask([*prompts, "new"])) == 4
    assert len(calls) == 1
    file.write_text(file.read_text().replace(generated[0][1], "other words"))
    assert ask([*prompts, "new"])[:3] == generated
    del teacher.model  # cached answers need no teacher
    assert ask(prompts) == generated


def test_sampled_answers_do_not_depend_on_the_cache(tmp_path):
    teacher = SimpleNamespace(model=tiny(), tokenizer=Letters())

    def ask(prompts, name):
        return dict(answers(teacher, prompts, 5, 1.0, 0, tmp_path / name, silent))

    prompts = [chr(ord("a") + i) * (1 + i) for i in range(20)]
    expected = ask(prompts, "whole")
    assert len(expected) == 20 and ask(prompts[::-1], "turned") == expected
    lines = (tmp_path / "whole").read_text().splitlines(keepends=True)
    (tmp_path / "cut").write_text("".join(lines[:18]) + lines[18][:4])
    assert ask(prompts, "cut") == expected


def test_an_answer_keeps_its_first_space(tmp_path):
    class Words(Letters):
        """Decode each token to a word with a space before it, except for the first one, as Llama's tokenizer does."""

        def decode(self, ids, skip_special_tokens=False, clean_up_tokenization_spaces=True):
            return " ".join(f"w{int(i)}" for i in ids)

    teacher = SimpleNamespace(model=tiny(), tokenizer=Words())
    ((_, answer),) = answers(teacher, ["hello"], 3, 0.0, 0, tmp_path / "answers", silent)
    assert answer.startswith(" w")
