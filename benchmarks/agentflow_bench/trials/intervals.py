"""How sure a figure is: intervals of shares, of means, and of differences between the same cases."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import NormalDist, fmean

__all__ = ["Interval", "difference", "mean_interval", "sign_test", "wilson"]

Interval = tuple[float, float]

_SEED = 20_240_601  # the same figures give the same interval
_DRAWS = 2_000


def wilson(right: int, n: int, level: float = 0.95) -> Interval:
    """Return the Wilson score interval of a share; of nothing at all it is (0, 1).

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    if n == 0:
        return (0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, square = right / n, z * z / n
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / n + square / (4 * n))
    return (max(0.0, middle - half), min(1.0, middle + half))


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Return the interval of the mean of `values`, by drawing from them again and again.

    Source: the percentile bootstrap, B. Efron, Bootstrap methods: another look at the jackknife, 1979.
    """
    if not values:
        return (math.nan, math.nan)
    if min(values) == max(values):
        return (values[0], values[0])
    rng = random.Random(_SEED)
    size = len(values)
    draws = max(200, min(_DRAWS, 2_000_000 // size))
    means = sorted(math.fsum(rng.choices(values, k=size)) / size for _ in range(draws))
    cut = int(draws * (1 - level) / 2)
    return (means[cut], means[-1 - cut])


def difference(before: Sequence[float], after: Sequence[float]) -> tuple[float, Interval]:
    """Return the mean of after - before over the same cases, and its interval."""
    pairs = [b - a for a, b in zip(before, after, strict=True)]
    return (fmean(pairs) if pairs else math.nan, mean_interval(pairs))


def sign_test(better: int, worse: int) -> float:
    """Return how probable a split at least as uneven is when neither side is better (two-sided).

    Of cases that only one of two got right this is McNemar's exact test (Q. McNemar, 1947).
    """
    n = better + worse
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(min(better, worse) + 1)) / 2**n
    return min(1.0, 2.0 * float(tail))
