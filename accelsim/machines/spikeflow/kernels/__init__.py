"""Compiled loops of the crossbar machine: plain arrays in, plain arrays out."""
