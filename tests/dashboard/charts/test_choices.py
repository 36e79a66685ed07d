"""What there is to choose, and the rows of it."""

from core.analysis.differences import differences
from core.analysis.frame import tidy
from dashboard.charts import choices, points
from tests.dashboard.synthetic import result

UNPAIRED = differences([], result("dense", 20.1), lambda key, number: None)


def test_what_is_pruned_while_training_stands_beside_every_calibration():
    trained = result("loraprune-trained", 30.0, 0.3)
    frame = tidy([result("wanda", 24.0, 0.3), trained])
    frame = frame[frame["metric"] == "perplexity"]
    assert choices.calibrations(frame) == ["passages-calibration:16x2048"]
    chosen = ("passages-calibration:16x2048", "passages-calibration:512x256")
    assert list(choices.made_with(frame, *chosen)["value"]) == [24.0, 30.0]


def test_two_training_texts_never_become_two_seeds():
    texts = ("c4-sample:512x256", "passages-calibration:512x256")
    pruned = [result("loraprune-trained", 30.0 + 10 * seen, 0.3, training=text) for seen, text in enumerate(texts)]
    tuned = [result("wanda", 22.0 + seen, 0.3, recovery="lora", training=text) for seen, text in enumerate(texts)]
    frame = tidy([*pruned, *tuned, result("wanda", 24.0, 0.3)])
    frame = frame[frame["metric"] == "perplexity"]
    assert choices.trainings(frame) == list(texts)
    for text, values in zip(texts, ([24.0, 22.0, 30.0], [24.0, 23.0, 40.0]), strict=True):
        shown = points.collapse(choices.made_with(frame, "passages-calibration:16x2048", text))
        assert list(shown["value"]) == values and set(shown["seeds"]) == {1}


def test_what_is_pruned_while_training_stands_in_colour_where_the_others_leave_room():
    trained = result("magnitude-trained", 30.0, 0.3)
    plain = [result(name, 24.0, 0.3) for name in ("magnitude", "wanda", "sparsegpt", "ria")]
    tuned = [result(name, 22.0, 0.3, recovery="lora") for name in ("wanda", "sparsegpt")]
    for there, shown in (([], True), (plain, True), (plain + tuned, False)):
        frame = tidy([*there, trained])
        found = points.collapse(frame[frame["metric"] == "perplexity"])
        lit = choices.lit_at_first(found)
        assert ("Magnitude while training" in lit) == shown and len(lit) == len(there) + shown
