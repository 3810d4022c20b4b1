# Numba infers the types of compiled functions.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,assignment"
"""Compiled loops of an inference run: neurons, packed channels, reassembly of column codes, early exit.

The tests have each in plain numpy (`tests/oracles/inference.py`); the neurons' rule (`tests/neuron_rule.py`) is written
from the neuron record's definition alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange

from accelsim.core.compiled import njit

RESET_NONE, RESET_SOFT, RESET_HARD = 0, 1, 2


class NeuronRule(NamedTuple):
    """One neuron layer in the units of its currents; all numbers, so that compiled code can take it."""

    leak: float
    threshold: float
    reset: int
    """RESET_NONE, RESET_SOFT or RESET_HARD."""
    late: bool
    """The reset takes effect one update later."""
    strict: bool
    """Fires above the threshold only, not at it."""
    max_spikes: int
    once: bool
    step: float
    """Step of the stored membrane; 0: stored as it is."""
    low: float
    high: float
    """Range of the stored membrane, both multiples of `step`."""
    whole: bool
    """The leak's product is rounded down to a whole number, as a shifter does."""


# --- neurons ------------------------------------------------------------------------------------------


@njit(error_model="numpy")
def update_neurons(current, membrane, last, done, rule, potential, spikes):
    """The neuron rule: one timestep, u = leak v + I; as many spikes as u says; reset; v = u rounded into its memory.

    Spikes are the multiples of the threshold, up to `max_spikes`, that u has reached (`strict`: passed). The reset acts
    on u after the comparison, a late one before it and with the spikes of the update before: a soft reset subtracts the
    threshold for each of those spikes, a hard one zeroes u where there are any.

    All arrays are flat and of one length. Written are `membrane` (v), `last` (spikes of the update before), `done` (has
    fired, for `once`), `spikes` and, where it has a length, `potential` (u before the reset, after a late one).
    """
    # The membrane's own type, so that single precision stays single precision.
    kind = membrane.dtype.type
    leak, threshold = kind(rule.leak), kind(rule.threshold)
    step, low, high, zero, half = kind(rule.step), kind(rule.low), kind(rule.high), kind(0.0), kind(0.5)
    keep = potential.size > 0
    for i in range(current.size):
        kept = leak * membrane[i]
        if rule.whole:
            kept = np.floor(kept)
        u = kept + current[i]
        if rule.late and last[i] > 0:
            if rule.reset == RESET_HARD:
                u = zero
            elif rule.reset == RESET_SOFT:
                u = u - threshold * kind(last[i])
        if keep:
            potential[i] = u
        if rule.max_spikes > 1:
            count = np.int64(min(max(np.floor(u / threshold), zero), kind(rule.max_spikes)))
            if rule.strict and count > 0 and u <= threshold * kind(count):
                count -= 1  # exactly at a multiple of the threshold is not past it
        else:
            count = np.int64(u > threshold if rule.strict else u >= threshold)
        if rule.once:
            if done[i]:
                count = 0
            elif count > 0:
                done[i] = True
                count = 1
        spikes[i] = count
        last[i] = count
        if not rule.late and count > 0:
            if rule.reset == RESET_HARD:
                u = zero
            elif rule.reset == RESET_SOFT:
                u = u - threshold * kind(count)
        if step > zero:
            u = min(max(np.floor(u / step + half) * step, low), high)
        membrane[i] = u


# --- spikes into words --------------------------------------------------------------------------------


@njit(error_model="numpy")
def pack_channels(codes, bit, rows, words):
    """words [P, blocks, W] of bit `bit` of codes [P, C]: channel c in row c % rows of block c // rows."""
    for p in range(codes.shape[0]):
        for c in range(codes.shape[1]):
            if codes[p, c] >> bit & 1:
                row = c % rows
                words[p, c // rows, row >> 6] |= np.uint64(1) << np.uint64(row & 63)


# --- column codes into outputs ------------------------------------------------------------------------


@njit(error_model="numpy", parallel=True)
def reassemble(columns, index, factor, scale, outputs):
    """outputs [B, M] += scale * sum_s factor [M, S] * columns [B, index [M, S]]."""
    n_outputs, terms = index.shape
    # Mostly the columns of a term lie side by side: then whole rows are worked on at once.
    side_by_side = True
    for s in range(terms):
        for m in range(1, n_outputs):
            side_by_side &= index[m, s] == index[0, s] + m
    for b in prange(columns.shape[0]):
        if side_by_side:
            total = np.zeros(n_outputs)
            for s in range(terms):
                row = columns[b, index[0, s] : index[0, s] + n_outputs]
                for m in range(n_outputs):
                    total[m] += factor[m, s] * row[m]
            for m in range(n_outputs):
                outputs[b, m] += scale * total[m]
        else:
            for m in range(n_outputs):
                found = 0.0
                for s in range(terms):
                    found += factor[m, s] * columns[b, index[m, s]]
                outputs[b, m] += scale * found


# --- early exit ---------------------------------------------------------------------------------------


@njit(error_model="numpy", parallel=True)
def running_entropy(logits, entropy):
    """entropy [T, N] in nats of softmax(mean of logits [T, N, C] over the timesteps so far)."""
    steps, images, classes = logits.shape
    for n in prange(images):
        total = np.zeros(classes)
        for t in range(steps):
            largest = -np.inf
            for c in range(classes):
                total[c] += logits[t, n, c]
                largest = max(largest, total[c])
            mass, moment = 0.0, 0.0
            for c in range(classes):
                z = (total[c] - largest) / (t + 1)
                e = np.exp(z)
                mass += e
                moment += e * z
            entropy[t, n] = max(np.log(mass) - moment / mass, 0.0)
