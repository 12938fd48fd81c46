"""Mixed seeds are spread."""

import numpy as np

from nda_mm.seeds import mix


def test_mix_spreads_neighbours_over_all_bits() -> None:
    values = [mix(seed, place) for seed in range(64) for place in range(64)]
    assert len(set(values)) == len(values)
    bits = np.array([[value >> bit & 1 for bit in range(64)] for value in values])
    # Each bit is a fair coin over 4096 values: five standard deviations are 0.039.
    assert np.abs(bits.mean(0) - 0.5).max() < 0.04
