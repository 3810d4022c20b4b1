"""accelsim: a cycle- and energy-level simulator of spiking-neural-network accelerators."""

__version__ = "0.1.0"
