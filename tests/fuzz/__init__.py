"""Fuzzing: random damage to everything that accelsim reads, and what must hold whatever the damage is.

`seeds` are valid inputs, `texts`, `trees`, `arrays`, `journals`, `graphs` and `arguments` damage them, `targets` says
which command reads what, `run` feeds one input and judges the outcome, `crew` feeds many in processes of their own.
Every input follows from (kind, seed, number) alone, so that any one can be made again:

    python -m tests.fuzz --kind hardware --seed 0 --number 17
"""
