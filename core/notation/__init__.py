"""Chains as text, and the labels of variants."""
