"""Figures of agreement between scores and truth, each with its confidence interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
LEVEL = 0.95
_Z = float(stats.norm.ppf(0.5 + LEVEL / 2))


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    @property
    def interval(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high


def auc(scores: Floats, positive: Flags) -> Estimate | None:
    """Area under the ROC curve, ties counting half, with DeLong's interval (1988).

    By mid-ranks (Sun and Xu 2014). None without both classes; clipped to [0, 1]. An area of 0 or 1
    has no variance by DeLong: its interval is the exact one of a proportion of the smaller class.
    """
    wins, losses = scores[positive], scores[~positive]
    m, n = wins.size, losses.size
    if m == 0 or n == 0:
        return None
    together = stats.rankdata(np.concatenate([wins, losses]))
    v_positive = (together[:m] - stats.rankdata(wins)) / n
    v_negative = 1 - (together[m:] - stats.rankdata(losses)) / m
    area = float(v_positive.mean())
    if area in {0.0, 1.0}:
        bound = _exact_bound(min(m, n))
        return Estimate(area, 0.0 if area == 0 else 1 - bound, bound if area == 0 else 1.0)
    variance = sum(v.var(ddof=1) / v.size if v.size > 1 else 0.0 for v in (v_positive, v_negative))
    half = _Z * float(np.sqrt(variance))
    return Estimate(area, max(area - half, 0.0), min(area + half, 1.0))


def _exact_bound(n: int) -> float:
    """Upper 95 % bound of a proportion of which none was seen in n (Clopper and Pearson 1934)."""
    return float(1 - ((1 - LEVEL) / 2) ** (1 / n))


def proportion(hits: int, n: int) -> Estimate | None:
    """A share with Wilson's interval (1927); None of nothing."""
    if n == 0:
        return None
    interval = stats.binomtest(hits, n).proportion_ci(LEVEL, method="wilson")
    return Estimate(hits / n, float(interval.low), float(interval.high))


def bootstrap(
    values: Floats,
    groups: Sequence[str],
    figure: Callable[[Floats], float] = lambda v: float(np.mean(v)),
    *,
    rounds: int = 2000,
    seed: int = 0,
) -> Estimate:
    """``figure`` of values, with a percentile interval over resampled ``groups`` (patients)."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(index == number) for number in range(names.size)]
    rng = np.random.default_rng(seed)
    drawn = [
        figure(
            values[np.concatenate([members[i] for i in rng.integers(names.size, size=names.size)])]
        )
        for _ in range(rounds)
    ]
    low, high = np.percentile(drawn, (100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2))
    return Estimate(figure(values), float(low), float(high))


def brier(p: Floats, positive: Flags) -> float:
    """Mean squared distance of the probability from what happened (Brier 1950)."""
    return float(np.mean((p - positive) ** 2))


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram."""

    n: int
    mean_p: float
    share: float  # of positives


def reliability(p: Floats, positive: Flags, bins: int = 10) -> tuple[Bin, ...]:
    """Bins of equal width over [0, 1]; empty ones are left out."""
    place = np.minimum((p * bins).astype(int), bins - 1)
    return tuple(
        Bin(int(inside.sum()), float(p[inside].mean()), float(positive[inside].mean()))
        for number in range(bins)
        if (inside := place == number).any()
    )


def ece(p: Floats, positive: Flags, bins: int = 10) -> float:
    """Expected calibration error (Naeini 2015): gaps of the reliability diagram by bin size."""
    return float(
        sum(b.n * abs(b.mean_p - b.share) for b in reliability(p, positive, bins)) / p.size
    )


def calibration_line(p: Floats, positive: Flags) -> tuple[float, float] | None:
    """Intercept and slope of a logistic regression on logit(p) (Cox 1958); None if separable."""
    z = _logit(p)
    if not positive.any() or positive.all() or z[positive].min() > z[~positive].max():
        return None
    sign = np.where(positive, 1.0, -1.0)

    def loss(theta: Floats) -> float:
        return float(np.logaddexp(0, -(theta[0] + theta[1] * z) * sign).mean())

    fitted = optimize.minimize(loss, np.array([0.0, 1.0]), method="BFGS").x
    return float(fitted[0]), float(fitted[1])


def net_benefit(p: Floats, positive: Flags, thresholds: Floats) -> Floats:
    """Net benefit of acting from each threshold on (Vickers and Elkin 2006)."""
    odds = thresholds / (1 - thresholds)
    act = p[None] >= thresholds[:, None]
    true = (act & positive).mean(axis=1)
    false = (act & ~positive).mean(axis=1)
    return np.asarray(true - false * odds, dtype=np.float64)


def youden(scores: Floats, positive: Flags) -> float:
    """Threshold with the largest sensitivity + specificity (Youden 1950)."""
    candidates = np.unique(scores)
    gains = [(scores[positive] >= t).mean() + (scores[~positive] < t).mean() for t in candidates]
    return float(candidates[int(np.argmax(gains))])


def _logit(p: Floats) -> Floats:
    clipped = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped / (1 - clipped)), dtype=np.float64)
