"""Published tables and figures: what was printed, what the public tools' own arithmetic gives, what machines need.

`sata_sim` and `spikesim_ela` restate the public tools; `experiments` holds one module per table or figure.
"""
