"""Execution of a run: create the variant stage by stage, measure it, store each number."""
