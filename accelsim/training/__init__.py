"""PyTorch side: spiking neurons, encoders, data, a small model zoo, training recipes, export to bundles.

A recipe is a file and a command: ``accelsim train digits_resnet --out digits_resnet``; see docs/training.md. Recipes
can be read without PyTorch (`accelsim.training.recipe`), all else needs ``pip install 'accelsim[torch]'``.
"""
