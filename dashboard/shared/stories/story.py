"""A story: steps with sentences on stored results, each with the address of its chart on Explore."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from core.amount import Ratio
from core.data.texts import called
from core.findings.rows import choices, points
from core.notation.chain import DENSE
from dashboard.shared import links

HALF = 0.5
FEWEST = 3  # steps of a story
# Parameters of Explore's address that stories add to those of `links`.
AT, MODE, OTHERS = "explore_at", "explore_mode", "explore_others"
STORY, STEP = "explore_story", "explore_step"

OpenPoints = Callable[[str, Sequence[str]], None]  # opens points, by the name of the table where they are ticked


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
