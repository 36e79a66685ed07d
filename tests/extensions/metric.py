"""A new metric: the Jensen-Shannon divergence from the dense model."""

import math

from core.metrics import Metric

JS = Metric(
    "js",
    "Jensen-Shannon divergence",
    "windows",
    "nats",
    ends=(0.0, math.log(2)),
    relation="from dense",
    imported=True,
    help="Mean Jensen-Shannon divergence from the dense model's next-token distribution.",
)
