"""Running a trained network on an arithmetic, ideal or a machine's: executor, products, neurons.

from accelsim.inference.arithmetic import Arithmetic
from accelsim.inference.executor import Network

network = Network(bundle.workload, bundle.weights, hardware.machine.arithmetic(bundle.workload.precision))
network.calibrate(calibration_images)
run = network.run(images)                      # logits, spikes, trace of this very run
"""
