"""The scorer against lm-evaluation-harness' HFLM, on tiny models of many architectures."""

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoConfig, AutoModelForCausalLM

from core.base.errors import UserError
from core.evaluation import scorer, states
from core.evaluation.scorer import SharedPrefixLM
from core.evaluation.trees import Row, batches, grow, pack
from tests.core.byte_tokenizer import byte_tokenizer
from tests.core.tiny import ARCHITECTURES, layout_of, tiny

LONG = "All work and no play makes a dull sentence. " * 4  # does not fit a window of 128
PAIRS = [
    ("The sky is", " blue"),
    ("The sky is", " green and it is"),
    ("The sky is", " b"),
    ("The sky is", " c"),
    ("The sky is ", "blue"),  # trailing space
    ("The sky is blue", " today"),  # begins with another request's whole text
    ("", "An empty context"),
    ("", "A"),
    ("", "<s>begins with the prefix token"),
    ("<s>The sky", " is here"),
    ("The trophy is here because Ann", " is too big"),
    ("The trophy is here because Bob", " is too big"),
    ("The trophy is here because Bob", " is too big"),  # twice
    ("A", "B"),
    (LONG, "Yes"),
    (LONG, "No, not so"),
    (LONG[:120], "Maybe, or maybe not at all"),
    ("Question: which of them?\nAnswer:", " this one"),
    ("Question: which of them?\nAnswer:", " that one, of course"),
    ("Question: which of them?\nAnswer:", " neither"),
]
REQUESTS = [
    Instance("loglikelihood", doc={}, arguments=pair, idx=i, metadata=("task", i, 1)) for i, pair in enumerate(PAIRS)
]


def assert_equal(ours, theirs, tolerance=1e-4):
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]
    assert [score for score, _ in ours] == pytest.approx([score for score, _ in theirs], abs=tolerance)


def reference(model, tokenizer, requests=REQUESTS):
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=3).loglikelihood(requests, disable_tqdm=True)


@pytest.mark.matrix(name=layout_of)
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("begin", [False, True], ids=["no-bos", "bos"])
def test_scores_match_hflm(name, begin):
    model, tokenizer = tiny(name, vocab_size=257), byte_tokenizer(begin)
    assert_equal(SharedPrefixLM(model, tokenizer).loglikelihood(REQUESTS), reference(model, tokenizer))


@pytest.mark.matrix(name=layout_of)
@pytest.mark.parametrize("held", [1, 2**29])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_scores_block_by_block_equal_those_of_the_whole_model(name, held, monkeypatch):
    monkeypatch.setattr(states, "HELD_BYTES", held)
    model, tokenizer, updates = tiny(name, vocab_size=257), byte_tokenizer(), []
    whole, streamed = (SharedPrefixLM(model, tokenizer, 64, by_block=by_block) for by_block in (None, "key"))
    pairs = [whole.encode(*pair) for pair in PAIRS]
    assert streamed.score(pairs, updates.append) == whole.score(pairs)
    assert sum(updates) == len(PAIRS) and 0 in updates


def test_soft_cap_after_the_head_is_applied():
    model, tokenizer = tiny("gemma2", vocab_size=257, final_logit_softcapping=2.0), byte_tokenizer()
    capped = SharedPrefixLM(model, tokenizer).loglikelihood(REQUESTS)
    assert_equal(capped, reference(model, tokenizer))
    model.config.final_logit_softcapping = None
    uncapped = SharedPrefixLM(model, tokenizer).loglikelihood(REQUESTS)
    assert max(abs(a - b) for (a, _), (b, _) in zip(capped, uncapped, strict=True)) > 0.1


@pytest.mark.parametrize("kind", ["mamba", "bloom"])
def test_models_without_tree_support_get_plain_sequences(kind, caplog):
    caplog.set_level("INFO", scorer.__name__)
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind, vocab_size=257, hidden_size=32, num_hidden_layers=2, n_head=4, initializer_range=0.3
    )
    model, tokenizer = AutoModelForCausalLM.from_config(config).eval(), byte_tokenizer()
    assert_equal(SharedPrefixLM(model, tokenizer).loglikelihood(REQUESTS), reference(model, tokenizer))
    assert "tree" in caplog.text


@pytest.mark.parametrize("length", [16, 128])
def test_scores_do_not_depend_on_the_batch(length, monkeypatch):
    monkeypatch.setattr(scorer, "LENGTH", length)
    model, tokenizer = tiny(vocab_size=257), byte_tokenizer()
    alone = [SharedPrefixLM(model, tokenizer).loglikelihood([request])[0] for request in REQUESTS]
    for budget in (1, 100, 4096):
        assert_equal(SharedPrefixLM(model, tokenizer, budget).loglikelihood(REQUESTS), alone, 2e-5)
    assert_equal(SharedPrefixLM(model, tokenizer).loglikelihood(REQUESTS[::-1]), alone[::-1], 2e-5)


def test_losses_of_16_bits_are_summed_in_32():
    model, tokenizer = tiny(vocab_size=257), byte_tokenizer()
    exact = SharedPrefixLM(model, tokenizer).loglikelihood(REQUESTS)
    half = SharedPrefixLM(model.bfloat16(), tokenizer)
    coarse = half.loglikelihood(REQUESTS)
    assert half._trees_hold
    assert [a for a, _ in coarse] == pytest.approx([a for a, _ in exact], rel=0.02, abs=0.1)


def test_head_of_16_bits_runs_in_32():
    model = tiny(vocab_size=257, tie_word_embeddings=True).bfloat16()
    lm, own = SharedPrefixLM(model, byte_tokenizer()), model.get_output_embeddings()
    ((found, _),) = lm.score([([1, 2, 3], [4])])
    with torch.inference_mode():
        hidden = model.base_model(torch.tensor([[1, 2, 3]])).last_hidden_state[0, -1]  # (hidden,)
        expected = (own.weight.float() @ hidden.float()).log_softmax(0)[4].item()
        coarse = own(hidden).float().log_softmax(0)[4].item()
    assert found == pytest.approx(expected, abs=1e-5) and abs(coarse - expected) > 1e-4
    assert model.get_output_embeddings() is own and own.weight is model.get_input_embeddings().weight


def test_invalid_requests_are_rejected():
    lm = SharedPrefixLM(tiny(vocab_size=257), byte_tokenizer())
    with pytest.raises(UserError, match="maximum length, 128"):
        lm.score([([1], [2] * 129)])
    with pytest.raises(UserError, match="adds no token to its context"):
        lm.encode("A context", "")
    with pytest.raises(UserError, match="whole documents"):
        lm.loglikelihood_rolling([])
    with pytest.raises(UserError, match="generate"):
        lm.generate_until([])


def test_requests_at_the_window_limit_do_not_branch():
    requests = [([1, 2, 3, 4], [5]), ([1, 2, 3, 6], [5]), ([1, 2, 3, 6, 7], [5])]
    rows = grow(requests, 3)
    assert [row.tokens for row in rows] == [[1, 2, 3, 4], [1, 2, 3, 6, 7]]
    assert all(row.plain for row in rows)


def test_packing_and_batches_respect_their_limits():
    rows = []
    for index, length in enumerate([50, 9, 9, 9, 30, 2, 1, 17]):
        rows.append(Row())
        rows[-1].add(index, (list(range(length)), [0]))
    packed = pack(rows, 32)
    assert sorted(scored.request for row in packed for scored in row.scored) == list(range(8))
    assert all(len(row) <= 32 or row.plain for row in packed)
    assert len(packed) == 4
    for batch in batches(packed, 64):
        assert len(batch) == 1 or len(batch) * max(map(len, batch)) <= 64
    assert sum(map(len, batches(packed, 64))) == 4
