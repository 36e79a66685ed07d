"""Sentences on the flips of tasks, as Markdown."""

from __future__ import annotations

from core.findings.inside.documents import BY_LENGTH
from core.findings.inside.flips import TaskFlips, exact_p
from core.findings.numbers.paired import Difference
from core.findings.numbers.reporting import in_points, listed, p_words
from dashboard.inside.documents.compared import ALL, Compared
from dashboard.shared.literal import literal

SPACE = "\N{NO-BREAK SPACE}"
NOTES = (
    "Brackets: 95 % interval of the paired difference. p: paired test on the same documents, of each number alone, "
    "as in a comparison on Explore. McNemar's exact test has no interval; it asks whether flips to wrong and to right "
    "are equally likely."
)


def flip_sentence(name: str, found: Difference, accuracy: str = "accuracy") -> str:
    """Write the flips of a task and the paired difference of its accuracy, variant minus baseline."""
    p = p_words(found.p).replace(" ", SPACE)
    return (
        f"**{literal(name)}**: {found.lost:,} of {found.n:,} documents flip to wrong and {found.gained:,} to right: "
        f"{in_points(found.difference, found.low, found.high)} points of {accuracy}"
        f"{f', p{SPACE}{p}' if p else ''}."
    )


def task_sentences(compared: Compared) -> dict[str, str]:
    """Return the sentence of each task, by label."""
    return {name: flip_sentence(name, task.difference) + _exact(task) for name, task in compared.tasks.items()}


def _exact(task: TaskFlips) -> str:
    p = p_words(exact_p(task.difference)).replace(" ", SPACE)
    return f" McNemar's exact test: p{SPACE}{p}." if p else ""


def overall_sentence(compared: Compared) -> str:
    """Return the sentence on all tasks together; empty for a single one."""
    if compared.overall is None or len(compared.tasks) < 2:
        return ""
    return flip_sentence(ALL, compared.overall, "mean accuracy")


def chart_notes(names: tuple[str, str]) -> str:
    """Explain the chart; `names` are those of the baseline and of the variant."""
    return (
        f"Each point is a document. Right of the vertical line, {names[0]} gives the right choice the highest "
        f"log-likelihood; above the horizontal line, {names[1]} does. Below the dashed line, the margin of {names[1]} "
        "is the lower one."
    )


def margin_notes(compared: Compared, task: str) -> str:
    """Explain the margins of a task that counts acc_norm, or of all tasks if some do; empty for others."""
    by_length = [name for name, one in compared.tasks.items() if one.measurement.metric == BY_LENGTH]
    names = [name for name in by_length if task in (name, ALL)]
    if not names:
        return ""
    return (
        f" {listed(names)}: right and wrong follow acc_norm, which divides log-likelihoods by the choice's length. "
        "Margins do not, so points may lie across the lines at 0. "
        "Wrong choices among three or more are not stored, so their cells are empty."
    )
