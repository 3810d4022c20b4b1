"""Design-space exploration: sweep files, searches, a journal that loses nothing, fronts and pictures.

from accelsim import sweep

frame = sweep("sweeps/vgg9_arrays.yaml", out="out/arrays")
"""
