"""Attacks on the whole program: fuzzers and fault injectors, run by hand and outside `make test`.

`python -m tests.attacks` (or `make attack`) runs every family and prints a table of tries and faults; it ends with exit
code 1 where there is a fault. Each fault names the command that repeats it, such as
`python -m tests.attacks --only chains --seed 0 --try 17`.

Options: `--list` prints the families. `--only FAMILY` runs one and may be repeated. `--tries N` runs at most N tries of
each family, as a quick check. `--seed S` draws other tries. `--jobs N` runs N families at a time.

A family is a `tests.attacks.family.Family` in the `FAMILIES` of a module in `tests/attacks/families`. A try gets a
`random.Random` of its own, so it depends on nothing but family, seed and number, and an empty folder. A full run tries
every one of the family's `cases`. The generator chooses their details, and all input after the last case of a family
that fuzzes.

Four things count as a fault: a returned sentence, an exception, a hang, and a process that dies. The results and the
cache of the user are out of reach: `SLIMSCOPE_RESULTS` and `SLIMSCOPE_CACHE` name folders of the family.

A family without its program or package (`needs`) is listed as not run and does not change the exit code.
"""
