"""Generated answers: transformers' own tokens, true log-probabilities, one text per seed, and whole characters."""

import pytest
import torch

from core.base.errors import UserError
from core.base.window_start import begin_windows
from core.evaluation.generation.generate import Pieces, end_ids, generate, prompt_ids
from core.evaluation.generation.sampling import LIKELIEST, Sampling
from core.findings.inside.documents import agreement
from tests.core.byte_tokenizer import byte_tokenizer
from tests.core.tiny import ARCHITECTURES, layout_of, tiny

PROMPT = [5, 17, 60, 33, 2]
LENGTH = 12
TEMPLATE = "{% for one in messages %}[{{ one['role'] }}]{{ one['content'] }}{% endfor %}"
TEMPLATE += "{% if add_generation_prompt %}>{% endif %}"


@pytest.fixture(scope="module")
def tokenizer():
    return byte_tokenizer()


def answer(model, tokenizer, **sampling):
    return list(generate(model, tokenizer, PROMPT, Sampling(**{"tokens": LENGTH, **sampling})))


def ids(tokens):
    return [token.id for token in tokens]


def endless(name="llama-gqa"):
    """A tiny model that no token ends."""
    model = tiny(name)
    model.generation_config.eos_token_id = None
    return model


@pytest.mark.matrix(name=layout_of)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_greedy_answer_has_the_tokens_of_transformers_own_loop(name, tokenizer):
    model = endless(name)
    expected = model.generate(
        torch.tensor([PROMPT]), attention_mask=torch.ones(1, len(PROMPT)), do_sample=False, max_new_tokens=LENGTH
    )
    assert ids(answer(model, tokenizer)) == expected[0, len(PROMPT) :].tolist()


def test_log_probabilities_and_likeliest_tokens_are_those_of_one_pass_over_the_whole_text(tokenizer):
    model = endless()
    tokens = answer(model, tokenizer, temperature=1.5)
    with torch.inference_mode():
        logits = model(torch.tensor([PROMPT + ids(tokens)])).logits[0, len(PROMPT) - 1 : -1]
    expected = logits.float().log_softmax(-1)
    for token, row in zip(tokens, expected, strict=True):
        assert token.logprob == pytest.approx(float(row[token.id]), abs=1e-4)
        values, places = row.topk(LIKELIEST)
        assert [one.logprob for one in token.likeliest] == pytest.approx(values.tolist(), abs=1e-4)
        context = Pieces(tokenizer, PROMPT)
        before = ids(tokens)[: tokens.index(token)]
        for one in before:
            context.add(one)
        assert [one.text for one in token.likeliest] == [context.preview(place) for place in places.tolist()]


def test_the_same_seed_gives_the_same_text_and_another_seed_another(tokenizer):
    model = endless()
    texts = [
        "".join(token.text for token in answer(model, tokenizer, temperature=2.0, seed=seed)) for seed in (3, 3, 4)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_top_p_draws_only_among_the_likeliest_tokens(tokenizer):
    model = endless()
    assert ids(answer(model, tokenizer, temperature=5.0, top_p=1e-6)) == ids(answer(model, tokenizer))
    assert ids(answer(model, tokenizer, temperature=5.0)) != ids(answer(model, tokenizer))


def test_a_token_that_ends_the_text_is_the_last(tokenizer):
    model = endless()
    greedy = ids(answer(model, tokenizer))
    model.generation_config.eos_token_id = [greedy[3], 96]
    tokens = answer(model, tokenizer)
    assert ids(tokens) == greedy[: greedy.index(greedy[3]) + 1]
    assert [token.ends for token in tokens] == [False] * (len(tokens) - 1) + [True]
    assert end_ids(model, tokenizer) == {greedy[3], 96, tokenizer.eos_token_id}


@pytest.mark.parametrize("prompt", [[], [1] * 120])
def test_a_prompt_that_does_not_fit_is_rejected(tokenizer, prompt):
    with pytest.raises(UserError, match="empty" if not prompt else "context has only 128"):
        next(generate(endless(), tokenizer, prompt, Sampling(tokens=LENGTH)))


def test_a_model_without_finite_logits_has_no_answer(tokenizer):
    model = endless()
    model.lm_head.weight.data[:] = torch.nan
    with pytest.raises(UserError, match="not finite"):
        answer(model, tokenizer)


def test_the_texts_of_tokens_join_to_the_answer_with_whole_characters(tokenizer):
    text = "Zürich 🙂 é"
    tokens = tokenizer(text)["input_ids"]
    pieces = Pieces(tokenizer, tokenizer("In")["input_ids"])
    texts = [pieces.add(token) for token in tokens]
    assert len(tokens) == len(text.encode()) and "".join(texts) == text
    assert texts[1:3] == ["", "ü"] and texts[8:12] == ["", "", "", "🙂"]
    cut = Pieces(tokenizer, [])  # an answer that ends inside a character
    first, second, *_ = tokenizer("🙂")["input_ids"]
    assert cut.add(first) == "" and cut.add(second, last=True) == "�"


def test_a_prompt_is_inside_the_chat_template_only_if_wanted_and_known(tokenizer):
    def text(chat):
        return tokenizer.decode(prompt_ids(tokenizer, "Hi <s>", chat))

    assert text(chat=True) == text(chat=False) == "Hi <s>"
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = TEMPLATE
    assert text(chat=True) == "[user]Hi <s>>" and text(chat=False) == "Hi <s>"


def test_a_prompt_begins_with_the_begin_token_once():
    for tokenizer in (byte_tokenizer(), byte_tokenizer(begin=True)):
        begin_windows(tokenizer)
        begun = prompt_ids(tokenizer, "Hi", chat=False)
        assert begun.count(tokenizer.bos_token_id) == 1 and begun[0] == tokenizer.bos_token_id


@pytest.mark.parametrize(
    ("dense", "other", "share", "place"),
    [
        ([1, 2, 3, 4], [1, 2, 5, 4], 0.5, 2),
        ([1, 2, 3, 4], [1, 2, 3, 4], 1.0, None),
        ([1, 2, 3, 4], [1, 2], 0.5, None),
        ([1, 2], [7], 0.0, 0),
        ([], [], 1.0, None),
    ],
)
def test_the_share_before_the_first_difference(dense, other, share, place):
    found = agreement(dense, other)
    assert (found.share, found.place) == (share, place)
