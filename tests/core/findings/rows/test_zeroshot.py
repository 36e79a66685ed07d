"""Accuracies of tasks and their mean."""

from core.findings.rows import zeroshot


def test_the_mean_needs_all_seven_tasks_and_an_axis_has_one_protocol(frame):
    rows = zeroshot.headline(frame)
    assert zeroshot.means_above_chance(rows[rows["dataset"] != "boolq"]).empty
    other = rows["key"] == rows[rows["method"] == "wanda"]["key"].iloc[0]
    mixed = rows.assign(protocol_id=rows["protocol_id"].mask(other, "another"))
    kept = zeroshot.one_protocol(mixed)
    assert set(kept["protocol_id"]) == set(rows["protocol_id"]) and len(kept) == len(rows) - other.sum()
