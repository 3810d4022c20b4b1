"""The tiled machine made of crossbars: mapping, placement, PE timing, H-tree, mesh, neuronal module."""
