"""FLAP's, LoRAP's and LoRAPrune's scores against the same sums over stored activations and real adapters."""

import pytest
import torch

from core.context import Context
from core.engine.walking.observe import gather_gradients
from core.methods.linear import Statistics
from core.methods.structured.base import StructuredBlockView
from core.methods.structured.flap import FLAP
from core.methods.structured.lorap import LoRAP, channel_scores
from core.methods.structured.loraprune import DECAY, LoRAPrune
from core.models.parts.blocks import find_blocks
from core.models.removal.units import find_units
from tests.core.tiny import tiny, windows


@pytest.fixture
def inputs():
    """What went into each kind of linear, by role, (tokens, in), with means and scales of their own."""
    generator = torch.Generator().manual_seed(7)
    widths = {"up": 32, "o": 32, "down": 48}
    return {
        role: torch.randn(200, width, generator=generator) * torch.rand(width, generator=generator)
        + torch.randn(width, generator=generator)
        for role, width in widths.items()
    }


def view_of(inputs, **config):
    view = StructuredBlockView(find_units(find_blocks(tiny(**config)), 0))
    for role, tokens in inputs.items():
        view.inputs[role] = Statistics(len(tokens), {"sqnorm": tokens.square().sum(0), "mean": tokens.mean(0)})
    return view


def fluctuation(view, inputs, role, column):
    return inputs[role][:, column].var(correction=0) * view.weight(role)[:, column].square().sum()


def test_flap_keeps_fluctuating_channels_and_adds_the_mean_of_others(inputs):
    view = view_of(inputs)
    score = torch.stack([fluctuation(view, inputs, "down", column) for column in range(48)])
    choice = FLAP().channels(view, 20)
    assert choice.channels.tolist() == sorted(score.argsort()[20:].tolist())
    weight = view.weight("down")
    kept = inputs["down"][:, choice.channels] @ weight[:, choice.channels].T
    torch.testing.assert_close(choice.bias, (inputs["down"] @ weight.T - kept).mean(0), rtol=1e-4, atol=1e-5)


def test_flap_keeps_the_heads_with_the_largest_standardised_columns(inputs):
    view = view_of(inputs)  # 4 query heads in 2 groups
    score = torch.stack([fluctuation(view, inputs, "o", column) for column in range(32)]) ** 2
    score = (score - score.mean()) / score.std()
    heads = [score[8 * head : 8 * head + 8].mean().item() for head in range(4)]
    choice = FLAP().heads(view, 1)
    assert choice.query_heads.tolist() == [max((0, 1), key=heads.__getitem__), max((2, 3), key=heads.__getitem__)]
    weight = view.weight("o")
    columns = [8 * head + i for head in choice.query_heads.tolist() for i in range(8)]
    lost = inputs["o"] @ weight.T - inputs["o"][:, columns] @ weight[:, columns].T
    torch.testing.assert_close(choice.bias, lost.mean(0), rtol=1e-4, atol=1e-5)


def test_flap_removes_the_lowest_standardised_scores_of_all_blocks(inputs):
    quiet = {role: tokens * (0.1 if role == "down" else 1.0) for role, tokens in inputs.items()}
    views = [view_of(inputs, seed=1), view_of(quiet, seed=2)]
    for removed in FLAP().allocate(views, 0.3):
        assert removed.channels  # a block whose activations are ten times smaller loses no more for that
    scores = [
        torch.stack([fluctuation(view, own, "down", column) for column in range(48)])
        for view, own in zip(views, (inputs, quiet), strict=True)
    ]
    z = [(score - score.mean()) / score.std() for score in scores]
    counts = [removal.channels for removal in FLAP().allocate(views, 0.3)]
    lowest = [own.sort().values[:count] for own, count in zip(z, counts, strict=True)]
    stay = [own.sort().values[count:] for own, count in zip(z, counts, strict=True)]
    assert torch.cat(lowest).max() <= torch.cat(stay).min()


def test_lorap_scores_channels_by_weighted_row_and_column_norms(inputs):
    view = view_of(inputs)
    before, after = inputs["up"].norm(dim=0), inputs["down"].norm(dim=0)
    for channel, score in enumerate(channel_scores(view)):
        rows = sum((view.weight(role)[channel] * before).norm() for role in ("gate", "up"))
        torch.testing.assert_close(score, rows + (view.weight("down")[:, channel] * after[channel]).norm())


def test_lorap_always_keeps_1_percent_of_the_channels(inputs):
    generator = torch.Generator().manual_seed(1)
    wide = inputs | {"down": torch.randn(200, 300, generator=generator)}
    view = view_of(wide, intermediate_size=300)
    order = channel_scores(view).argsort().tolist()
    assert LoRAP().channels(view, 100).channels.tolist() == sorted(order[:3] + order[103:])


def test_loraprune_scores_match_the_gradients_of_an_adapter():
    model, tokens = tiny(), windows(3)
    view, method = StructuredBlockView(find_units(find_blocks(model), 1)), LoRAPrune(seed=4)
    watched = {linear: method.accumulator(view, role) for role, linear in view.units.linears.items()}
    gather_gradients(model, watched, tokens, Context(torch.device("cpu")))
    for linear, accumulator in watched.items():
        down = accumulator.down  # A (8, in), as drawn
        assert down.shape == (8, linear.weight.shape[1]) and down.abs().max() <= linear.weight.shape[1] ** -0.5
        up = torch.zeros(linear.weight.shape[0], 8, requires_grad=True)  # B (out, 8)
        hook = linear.module.register_forward_hook(
            lambda _, args, output, down=down, up=up: output + args[0] @ down.T @ up.T
        )
        average = 0
        for window in tokens:
            loss = model(input_ids=window[None], labels=window[None]).loss
            estimate = torch.autograd.grad(loss, up)[0] @ down  # (out, in)
            score = (estimate * linear.weight).abs().sum(0 if linear.role in ("o", "down") else 1)
            if linear.role in ("q", "k", "v", "o"):
                score = torch.stack([head.sum() for head in score.split(8)])
            average = DECAY * average + (1 - DECAY) * score / score.norm()
        hook.remove()
        torch.testing.assert_close(accumulator.tensors()["score"], average.detach(), rtol=1e-4, atol=1e-6)
