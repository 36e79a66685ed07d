"""Chains that are estimated but not measured."""
