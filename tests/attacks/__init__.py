"""Attacks on the whole program: fuzzers and fault injectors, run by hand and outside `make test`.

`python -m tests.attacks` runs every family and prints how many of its tries failed. A failed try names its seed, and
`--only FAMILY --seed SEED` repeats it.
"""
