"""Compiled loops of the crossbar room: arrays in, arrays out, one plain-numpy sibling each."""
