"""The one loop of the SATA tool that has no closed form: which input elements its buffer has to fetch again."""

from __future__ import annotations

import numpy as np

from accelsim.core.compiled import njit


@njit()
def flushed_fetches(  # type: ignore[no-untyped-def]  # pragma: no cover (compiled)
    height, width, kernel_height, kernel_width, channels, stride, rows, column_folds, capacity
):
    """Fetches into a buffer of `capacity` elements that forgets everything the moment it is full.

    Replays the element addresses in the order in which an output-stationary array of `rows` rows asks for them:
    column fold, row fold, skewed cycle, row. Elements outside the image are not asked for.
    """
    out_height = (height - kernel_height + stride + stride - 1) // stride
    out_width = (width - kernel_width + stride + stride - 1) // stride
    pixels, window = out_height * out_width, kernel_height * kernel_width * channels
    row_folds = (pixels + rows - 1) // rows
    # An element is held if its stamp is that of the present filling.
    stamp = np.zeros(height * width * channels, dtype=np.int64)
    tap_y = np.empty(window, dtype=np.int64)
    tap_x = np.empty(window, dtype=np.int64)
    tap = np.empty(window, dtype=np.int64)
    for t in range(window):
        position, channel = t // channels, t % channels
        tap_y[t], tap_x[t] = position // kernel_width, position % kernel_width
        tap[t] = (tap_y[t] * width + tap_x[t]) * channels + channel
    filling, held, fetches = 1, 0, 0
    for _ in range(column_folds):
        for fold in range(row_folds):
            first = fold * rows
            used = min(rows, pixels - first)
            for cycle in range(window + used - 1):
                for row in range(max(0, cycle - window + 1), min(used, cycle + 1)):
                    t, pixel = cycle - row, first + row
                    y, x = pixel // out_width * stride, pixel % out_width * stride
                    if y + tap_y[t] >= height or x + tap_x[t] >= width:
                        continue
                    address = (y * width + x) * channels + tap[t]
                    if stamp[address] != filling:
                        stamp[address] = filling
                        fetches += 1
                        held += 1
                        if held == capacity:
                            filling += 1
                            held = 0
    return fetches
