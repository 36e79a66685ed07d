"""The uncompressed model, the baseline that every other variant is compared with."""

from core.methods.base import Method


class Dense(Method):
    name = "dense"
    label = "Dense"
    family = "dense"
    summary = "The model as it is: nothing removed."
