"""Means of sessions with their intervals, whether two are told apart, and how many would tell them apart.

A row is a list of its sessions, oldest first, each an array with a value for each iteration. Sessions without
values are passed over.
"""
from functools import cache
from typing import NamedTuple

import numpy as np

LEVEL, ALPHA, POWER = 0.95, 0.05, 0.8
FOR_P95 = 20  # values that it takes to tell the time that 95 of 100 stay below: of fewer it is the slowest
MOST = 1000  # iterations or sessions: a difference that takes more is too small to matter
NEGLIGIBLE = 1e-6  # share of a spread


class Estimate(NamedTuple):
    """A row's mean, the ends of its 95 % interval, the standard deviations within and between sessions."""
    mean: float
    low: float
    high: float
    within: float
    between: float


def estimate(row: list[np.ndarray]) -> Estimate:
    """The mean over the sessions' means, its 95 % interval and both spreads; NaN for what is not known.

    The interval is Student's (1908; scipy.stats.t): of several sessions over their means, which is exact for
    sessions of equal sizes (Hartung & Knapp 2001) and too wide where sizes differ much and days little (98 %
    for 1 and 30); of one session over its iterations, which know of no other day. `within` is pooled over the
    sessions. `between` is the random-effects estimate by the method of moments (DerSimonian & Laird 1986;
    statsmodels' combine_effects with "chi2"), here the same as by a one-way analysis of variance: 0 where
    `within` explains how far the means differ.
    """
    row = _with_values(row)
    if not row:
        return Estimate(*[np.nan] * 5)
    values, within = _independent(row), _within(row)
    mean, half = _mean(values), _half_width(values)
    return Estimate(mean, mean - half, mean + half, within, _between(values, within, row) if len(row) > 1 else np.nan)


def waits(row: list[np.ndarray]) -> tuple[float, float]:
    """The median and the 95th percentile of all iterations (scipy.stats.quantile); NaN of too few."""
    from scipy.stats import quantile

    values = np.concatenate([[], *row])
    return tuple(float(quantile(values, p)) if len(values) >= least else np.nan for p, least in ((0.5, 1), (0.95, FOR_P95)))


def p_equal(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    """The chance that rows with equal means differ as much as these or more; NaN where it is not known.

    Of sessions' means, or of the iterations of a row's only session. Beside a row of several sessions, that
    one may lie as far from its row's mean as theirs do; of two single sessions no other day is known. The
    statistic is Welch's (1947), for unequal variances. Its degrees of freedom are those of the smaller
    sample, so that equal rows are told apart in at most 5 % of cases, whatever their variances and sizes
    (Mickey & Brown 1966; scipy.stats.t); by Welch's own number it is up to 11 %, for 2 sessions against 10.
    Means without any spread are equal (1) or not (0).
    """
    a, b = _with_values(a), _with_values(b)
    first, second = _independent(a), _independent(b)
    if (fewer := min(len(first), len(second))) < 2:
        return np.nan
    errors = [_deviation(values) / np.sqrt(len(values)) for values in (first, second)] + [_of_other_days(a, b) or 0]
    difference, error = abs(_mean(first) - _mean(second)), np.hypot.reduce(errors)
    if not error:
        return float(difference == 0)
    from scipy.stats import t

    return float(2 * t.sf(difference / error, fewer - 1))


def is_less(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    """Whether `p_equal` tells the mean of `a` to be below that of `b`."""
    return p_equal(a, b) < ALPHA and estimate(a).mean < estimate(b).mean


def enough(a: list[np.ndarray], b: list[np.ndarray]) -> int | None:
    """How many tell two rows apart by `p_equal` in about 80 % of cases, if their means differ as it seems.

    Where a row has several sessions, so many sessions of as many iterations as now, for which the variance of
    a session's mean, between² + within² / n, of both rows counts; else so many iterations of one session
    (statsmodels' TTestPower; Cohen 1988). None where more than MOST would be needed, or no spread is known.
    """
    a, b = _with_values(a), _with_values(b)
    days = _of_other_days(a, b)
    difference, deviation = abs(estimate(a).mean - estimate(b).mean), np.hypot(_of_a_value(a, days), _of_a_value(b, days))
    if not difference or np.isnan(deviation):
        return None
    from statsmodels.stats.power import TTestPower

    numbers = np.arange(2, MOST + 1)
    power = TTestPower().power(difference / max(deviation, NEGLIGIBLE * difference), numbers, ALPHA)
    found = numbers[power >= POWER]  # NaN is not: scipy's noncentral t fails at some of the largest differences
    return int(found[0]) if len(found) else None


def _with_values(row: list[np.ndarray]) -> list[np.ndarray]:
    return [np.asarray(session, dtype=float) for session in row if len(session)]


def _independent(row: list[np.ndarray]) -> np.ndarray:
    """The values that a row's mean rests on: its sessions' means, or the iterations of a single one."""
    return np.array([_mean(session) for session in row]) if len(row) != 1 else row[0]


def _of_other_days(a, b) -> float | None:
    """Of two rows of which one has a single session, how far the means of the other's sessions lie apart."""
    return _deviation(_independent(max(a, b, key=len))) if min(len(a), len(b)) == 1 < max(len(a), len(b)) else None


def _of_a_value(row: list[np.ndarray], of_other_days: float | None) -> float:
    """The standard deviation of one of those values of which `enough` tells the number."""
    found = estimate(row)
    if len(row) == 1 and of_other_days is not None:
        return np.hypot(of_other_days, found.within / np.sqrt(len(row[0])))
    if np.isnan(found.within) or np.isnan(found.between):
        return _deviation(_independent(row))
    return np.hypot(found.between, found.within * np.sqrt(np.mean([1 / len(session) for session in row])))


def _mean(values: np.ndarray) -> float:
    """The mean; of equal values exactly that value."""
    return float(values[0] + (values - values[0]).mean()) if len(values) else np.nan


def _deviation(values: np.ndarray) -> float:
    """The sample standard deviation (ddof=1); of equal values exactly 0, of a single one NaN."""
    return float((values - values[0]).std(ddof=1)) if len(values) > 1 else np.nan


def _within(row: list[np.ndarray]) -> float:
    freedom = [len(session) - 1 for session in row]
    squares = sum(n * _deviation(session) ** 2 for n, session in zip(freedom, row, strict=True) if n)
    return float(np.sqrt(squares / sum(freedom))) if sum(freedom) else np.nan


def _between(means: np.ndarray, within: float, row: list[np.ndarray]) -> float:
    spread = _deviation(means)
    if np.isnan(within) or not spread:
        return 0.0 * within
    from statsmodels.stats.meta_analysis import combine_effects

    # In units of the spread, so that no square is too small; no variance of 0, which would weigh infinitely.
    variances = max(within / spread, NEGLIGIBLE) ** 2 / np.array([len(session) for session in row])
    with np.errstate(divide="ignore", invalid="ignore"):  # of a negative estimate, which is 0
        found = combine_effects((means - means[0]) / spread, variances, method_re="chi2").tau2
    return float(spread * np.sqrt(max(found, 0.0)))


def _half_width(values: np.ndarray) -> float:
    return _student(len(values)) * _deviation(values) / np.sqrt(len(values)) if len(values) > 1 else np.nan


@cache
def _student(n: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + LEVEL) / 2, n - 1))
