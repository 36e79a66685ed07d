"""Attacks on the whole program: fuzzers, fault injectors and races. `make full PART=attacks` runs them.

Hypothesis draws the input and shrinks what fails. In the profile `attacks` each run draws other input, and
`--hypothesis-seed N` repeats it; in `attacks-long` each test draws ten times as many examples. The fixture `draw` of
tests without Hypothesis depends on the same seed.
"""
