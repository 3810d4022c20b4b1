"""Figures that may not change while the package is rearranged.

`ledgers.json.gz` holds what 600 random networks cost on random designs, on every machine and fidelity. It was written
out by `python -m tests.unchanged.write` at commit b589cae, before modules moved and models were rewritten. When figures
are meant to change, this folder is removed.
"""
