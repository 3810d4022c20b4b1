"""Crossbars in PEs, PEs in tiles, tiles on a mesh around a neuronal module.

The way of one run, file by file: `description` (the machine), `mapping` (rows and columns of each layer onto
crossbars), `packets` and `placement` (what travels, tiles on the mesh), `zero_skipping` (what is read),
`timing` (cycles of each stage of a tile), `peripherals` and `counts` (the ledger, but for time), `network` (delays on
the mesh), `pipeline` (the schedule). `model` leads through them, `analytical` and `cycle` find the time, `buffers` says
what overlap asks of memories. Beside it stand `prices`, `arithmetic` and `mitigations`.
"""
