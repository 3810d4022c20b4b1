"""The physics of one crossbar array: device, wires, noise, converters, weights, products.

from accelsim.crossbar.devices import Device
from accelsim.crossbar.solution import solve_transfer

g = Device.preset("neurosim_default").conductance_s(codes, cell_bits=2)        # [rows, columns]
array = solve_transfer(g, wordline_ohm=1.0, bitline_ohm=1.0)
currents = array.currents_a(voltages)              # exact, one matrix product per batch
"""
