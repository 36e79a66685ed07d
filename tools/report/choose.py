"""The tables "Choose" of `results.md`, and their advice, as on the pages of the dashboard."""

from __future__ import annotations

from collections.abc import Sequence

from core.analysis.differences import Samples, differences, over_seeds
from core.analysis.frame import tidy
from core.analysis.reporting import TableRow
from core.findings.best import choose
from core.findings.best.choose import Measured
from core.findings.rows import choices
from core.findings.seeds import averaged
from core.results import Result
from tools.report.points import MODEL, SECOND, SEEDS


class Choosing:
    """The choices of each model of the page."""

    def __init__(self, results: Sequence[Result], samples: Samples):
        """Find the variants of both models."""
        self._models = {model: measured(results, samples, model) for model in (MODEL, SECOND)}

    def sizes(self, model: str) -> list[float]:
        """Return the packed sizes of a model's table."""
        return choose.sizes_of(self._models[model], self._models[MODEL])

    def table(self, model: str) -> str:
        """Return a model's table in Markdown."""
        others = [one for one in self._models.values() if one.model != model]
        found = choose.choose([self._models[model], *others], self.sizes(model))
        shown = choose.table(found, chains=True)
        return str(shown.to_markdown(index=False, tablefmt="github", disable_numparse=True))

    def machines(self, model: str) -> str:
        """Return on which machines the times of a model's table were measured; empty if none was measured alone."""
        others = [one for one in self._models.values() if one.model != model]
        return choose.machines(choose.choose([self._models[model], *others], self.sizes(model)))

    def advice(self, model: str) -> str:
        """Return the advice on a model."""
        return choose.advice(self._models[model], self.sizes(model))


def measured(results: Sequence[Result], samples: Samples, model: str) -> Measured:
    """Return the variants of a model on its first text."""
    known = {one.variant.key: one for one in results if one.variant.model == model}
    frame = tidy(list(known.values()))
    corpus, protocol = next(iter(choices.texts(frame).values()))

    def compare(keys: tuple[str, ...], reference: tuple[str, ...]) -> TableRow | None:
        groups = [[known[key] for key in of] for of in (keys, reference)]
        pairs = differences([groups[0][0]], groups[1][0], over_seeds(groups, samples), seeds=averaged(SEEDS, groups))
        pairs = pairs[(pairs["protocol_id"] == protocol) & pairs["verdict"].notna()]
        return None if pairs.empty else pairs.iloc[0].to_dict()

    return Measured(model, choose.variants(frame, corpus, protocol), compare, known.get)
