"""Stories on pruning: what it costs without data, how much fine-tuning recovers, and the costs of a second model.

A story has steps with sentences on stored results, each with the address of its chart on Explore.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from core.amount import Ratio
from core.data.texts import called
from core.findings import axes
from core.findings.numbers.reporting import ratio_words
from core.findings.rows import choices, points
from core.notation.chain import DENSE
from core.notation.formatting import format_number
from core.request.stages import DEFAULT_MODEL
from dashboard.charts import multiples
from dashboard.shared import links
from dashboard.shared.links import Address
from dashboard.shared.pickers import MODELS

HALF = 0.5
FEWEST = 3  # steps of a story
# Parameters of Explore's address that stories add to those of `links`.
AT, MODE, OTHERS = "explore_at", "explore_mode", "explore_others"
STORY, STEP = "explore_story", "explore_step"

OpenPoints = Callable[[str, Sequence[str]], None]  # opens points, by the name of the table where they are ticked
BROKEN = 5  # times the others' perplexity that magnitude's has at least, for its story
USUAL = 2  # times dense, up to which the first step counts a loss as small
HIGH = 0.7
SERIES = "explore_multiples_shown"  # key of the view's field
NAMES = "sparsegpt", "magnitude"


class Step(NamedTuple):
    """A step: `write` returns two sentences in Markdown, and `address` shows the series that they name.

    `show` adds more than sentences, such as a table. It gets the function that opens points which are ticked there.
    """

    write: Callable[[], str]  # called when the step is shown
    address: links.Address
    show: Callable[[OpenPoints], None] | None = None


@dataclass(frozen=True)
class Story:
    """A title and three to five steps; `name` is the value in addresses."""

    name: str
    title: str
    steps: Sequence[Step]

    def address(self, place: int) -> links.Address:
        """Return the address of Explore with a step, counted from 0, and its series."""
        return self.steps[place].address | {STORY: self.name, STEP: str(place + 1)}


@dataclass(frozen=True)
class StoryData:
    """The results of one model on one text."""

    text: str  # value of Explore's text field
    corpus: str  # display name
    rows: pd.DataFrame  # compressed variants with the most frequent calibration and training data
    dense: pd.Series

    def series(self, parts: str) -> str:
        """Return the series of a chain's parts with the shortest name, the one without options."""
        return str(min(self.rows.loc[self.rows["parts"] == parts, "series_label"].unique(), key=len, default=""))

    def ratios(self, parts: str) -> dict[float, float]:
        """Return the perplexity of a series at each pruning ratio, as a mean over seeds, in ascending order."""
        mine = self.rows[(self.rows["series_label"] == self.series(parts)) & self.rows["pattern"].isna()]
        means = mine.groupby("ratio", as_index=False)["value"].mean()  # in ascending order
        return dict(zip(means["ratio"], means["value"], strict=True))

    def at(self, ratio: float, *parts: str) -> list[float]:
        """Return the perplexity of each series at a ratio; empty if one has no result."""
        found = [self.ratios(one).get(ratio) for one in parts]
        return [value for value in found if value is not None] if None not in found else []

    def shown(self, *parts: str) -> links.Address:
        """Return the address of Explore with these series alone."""
        names = [self.series(one) for one in parts]
        return links.shown(self.rows[self.rows["series_label"].isin(names)], self.text) | {OTHERS: "false"}

    def curves(self, ratio: float, *parts: str) -> links.Address:
        """Return the address of the curves of these series alone, at a ratio."""
        return self.shown(*parts) | {AT: Ratio(ratio).label}


def story_data(rows: pd.DataFrame, text: str) -> StoryData | None:
    """Return the data of stories from the perplexities on one text; None without the dense model."""
    mine = choices.by_share(choices.filter_by_main_text(rows))
    dense = mine[points.is_dense(mine)]
    if dense.empty:
        return None
    return StoryData(text, called(rows["dataset"].iloc[0]), mine[mine["method"] != DENSE], dense.iloc[0])


def cliff(results: StoryData) -> Story | None:
    """Write that magnitude pruning breaks a model where methods with calibration data do not."""
    names = "magnitude", "wanda", "sparsegpt"
    values, dense = results.at(HALF, *names), float(results.dense["value"])
    if not values or values[0] < BROKEN * max(values[1:]):
        return None
    steps = [_gentle(results, dense), _broken(results, dense, values[0])]
    text = f"Wanda ({format_number(values[1])}) and SparseGPT ({format_number(values[2])}) choose the weights with"
    text += f" calibration data. At 50 % they have {ratio_words(values[1] / dense)} and"
    text += f" {ratio_words(values[2] / dense)} times the dense perplexity, compared with"
    text += f" {ratio_words(values[0] / dense)} for magnitude."
    steps.append(_step(text, results.curves(HALF, *names)))
    high = results.at(HIGH, *names[1:])
    if high and min(high) > USUAL * dense:
        text = f"Their cliff is later, not absent. At 70 % Wanda has {ratio_words(high[0] / dense)} times the dense"
        text += f" perplexity and SparseGPT {ratio_words(high[1] / dense)} times."
        steps.append(_step(text, results.curves(HIGH, *names[1:])))
    known = [step for step in steps if step]
    return Story("cliff", "The cliff at 50 %", known) if len(known) >= FEWEST else None


def _gentle(results: StoryData, dense: float) -> Step | None:
    """Return the step on the highest ratio below 50 % at which magnitude pruning costs little."""
    small = {ratio: value for ratio, value in results.ratios("magnitude").items() if value < USUAL * dense}
    ratio = max((ratio for ratio in small if ratio < HALF), default=None)
    if ratio is None:
        return None
    text = "Magnitude pruning removes the smallest weights and needs no data. "
    text += f"At a pruning ratio of {Ratio(ratio).label}, perplexity on {results.corpus} rises from "
    text += f"{format_number(dense)} to {format_number(small[ratio])}, {ratio_words(small[ratio] / dense)} times dense."
    return _step(text, results.curves(ratio, "magnitude"))


def _broken(results: StoryData, dense: float, value: float) -> Step:
    """Return the step on magnitude pruning at 50 %, with its next ratios below and above."""
    curve = results.ratios("magnitude")
    text = f"At 50 % magnitude pruning has a perplexity of {format_number(value)}, {ratio_words(value / dense)} times "
    near = [*[one for one in curve if one < HALF][-1:], *[one for one in curve if one > HALF][:1]]  # in ascending order
    around = [f"{format_number(curve[ratio])} at {Ratio(ratio).label}" for ratio in near]
    text += f"dense. The perplexity is {' and '.join(around)}." if around else "dense."
    return _step(text, results.curves(HALF, "magnitude"))


def recovery(results: StoryData) -> Story | None:
    """Write how much perplexity fine-tuning recovers after pruning."""
    pruned, lora, white = names = "sparsegpt", "sparsegpt+lora", "sparsegpt+distill-white"
    values, dense = results.at(HALF, *names), float(results.dense["value"])
    if not values or max(values[1:]) >= values[0]:
        return None
    before = format_number(values[0])
    text = f"SparseGPT, 50 % raises perplexity on {results.corpus} from {format_number(dense)} to {before}. "
    text += f"That is {ratio_words(values[0] / dense)} times dense, without any training."
    steps = [_step(text, results.curves(HALF, pruned))]
    text = f"LoRA trains a few additional weights and lowers it from {before} to {format_number(values[1])}. "
    text += f"This closes {_closed(dense, values[0], values[1])} of the gap to dense in log-perplexity."
    steps.append(_step(text, results.curves(HALF, pruned, lora)))
    text = "White-box distillation learns from the dense model's predictions and lowers it to "
    text += f"{format_number(values[2])}. This closes {_closed(dense, values[0], values[2])} of the gap."
    steps.append(_step(text, results.curves(HALF, pruned, white)))
    if high := results.at(HIGH, *names):
        text = f"At 70 % LoRA takes SparseGPT from {format_number(high[0])} to {format_number(high[1])}, and"
        text += (
            f" distillation to {format_number(high[2])}. The better of them has {ratio_words(min(high[1:]) / dense)}"
        )
        text += " times the dense perplexity."
        steps.append(_step(text, results.curves(HIGH, *names)))
    return Story("recovery", "Recovery by fine-tuning", steps)


def _closed(dense: float, before: float, after: float) -> str:
    """Return the share of the gap in log-perplexity to dense that fine-tuning closes: `38 %`."""
    return f"{100 * math.log(before / after) / math.log(before / dense):.0f} %"


def _step(text: str, address: Address) -> Step:
    return Step(lambda: text, address)


def on_another(results: StoryData, others: Sequence[str], frame: Callable[[str], pd.DataFrame]) -> Story | None:
    """Write what two methods cost two models."""
    first, values = results.dense, results.at(HALF, *NAMES)
    for model in others if values else ():
        rows = multiples.comparable_rows(frame(model), first["dataset"], int(first["window"]), axes.RATIO)
        other = story_data(rows, results.text) if len(rows) else None
        if other is None or not (theirs := other.at(HALF, *NAMES)):
            continue
        mine = [value / first["value"] for value in values]
        return _story(results, model, mine, [value / other.dense["value"] for value in theirs])
    return None


def _story(results: StoryData, model: str, mine: Sequence[float], theirs: Sequence[float]) -> Story:
    """Write the steps from both models' multiples of dense, of each of `NAMES`."""
    labels = [results.series(name) for name in NAMES]
    texts = [
        f"{label}, 50 % raises perplexity on {results.corpus} to {ratio_words(one)} times dense on {DEFAULT_MODEL} and"
        f" to {ratio_words(two)} times on {model}. Multiples of each model's own dense perplexity can share an axis."
        for label, one, two in zip(labels, mine, theirs, strict=True)
    ]
    texts[1] = texts[1].partition(" Multiples")[0] + f" That is {_more(mine)} and {_more(theirs)} times {labels[0]}'s."
    same = (mine[0] < mine[1]) == (theirs[0] < theirs[1])
    order = "the same on both models" if same else "not the same on both models"
    low = [labels[0] if one < two else labels[1] for one, two in (mine, theirs)]
    who = f"{low[0]} has the lower perplexity" if same else f"{low[0]} has the lower one here, {low[1]} there"
    texts.append(f"The order of the two methods is {order}. At 50 % {who}.")
    where: Address = {MODE: "Several models", MODELS: [DEFAULT_MODEL, model]}
    steps = []
    for text, names in zip(texts, (NAMES[:1], NAMES[1:], NAMES), strict=True):
        series: Address = {SERIES: [results.series(name) for name in names]}
        steps.append(_step(text, results.shown(*names) | where | series))
    return Story("models", "On another model", steps)


def _more(values: Sequence[float]) -> str:
    return ratio_words(values[1] / values[0])
