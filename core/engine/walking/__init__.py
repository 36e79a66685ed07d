"""The walk through a model's blocks, and the statistics that it collects."""
