"""Distances between two sets of features, float [N, D] and [M, D], with intervals by bootstrap.

A bootstrapped set holds pictures twice, by which these distances lean to one side. So the interval is the
figure ± 1.96 times the standard deviation over 100 resamplings of both sets, cut to the figure's range.
It says how far chance moves the figure, not by how much few pictures enlarge a Fréchet distance.
"""
import numpy as np
from scipy import linalg, stats
from scipy.spatial.distance import cdist
from statsmodels.stats.proportion import proportion_confint

from genlib.scores import RANGES, Figure

RESAMPLINGS = 100
Z = stats.norm.ppf(0.975)
PAIRED = 5000  # pictures of a set, of which all pairs are formed: any of them, drawn at random
NEIGHBOURS = 3  # the k of precision and recall
LEAST = {"kid": 50, "precision": 100, "recall": 100}  # pictures in each set; "frechet" needs more than there are features


def least(kind: str, features: int) -> int:
    """How many pictures each set needs for a figure: with fewer, a covariance lacks directions."""
    return LEAST.get(kind, features + 1)


def of_kinds(kinds, made: np.ndarray, real: np.ndarray, progress=lambda: None) -> dict[str, Figure]:
    """The figures of these kinds (see KINDS) by kind; `progress` is called behind each."""
    found = {}
    for kind in kinds:
        some = (made, real) if kind == "frechet" else (_some(made), _some(real))
        found[kind] = _with_interval(kind, KINDS[kind](*some), *map(len, some), least(kind, made.shape[1]))
        progress()
    return found


def frechet(made: np.ndarray, real: np.ndarray) -> float:
    """|μ1 - μ2|² + tr(Σ1 + Σ2 - 2 (Σ1 Σ2)^½), of two normal distributions.

    Heusel et al. 2017, arXiv:1706.08500.
    """
    return _frechet(made, real)()


def _frechet(made, real):
    """As a function of the rows that are taken.

    With Σ = RᵀR, the trace of (Σ1 Σ2)^½ is the sum of the singular values of R1 R2ᵀ: no root of a matrix, and
    no numbers that turn complex where a covariance lacks directions.
    """
    def value(i=slice(None), j=slice(None)):
        means, roots = zip(*(_moments(features[rows]) for features, rows in ((made, i), (real, j))), strict=True)
        both = linalg.svdvals(roots[0] @ roots[1].T).sum()
        return max(0.0, np.sum((means[0] - means[1]) ** 2) + sum(np.sum(root**2) for root in roots) - 2 * both)
    return value


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean, and an R of at most D rows with RᵀR = the covariance (ddof 1)."""
    mean = features.mean(axis=0, dtype=np.float64)
    return mean, linalg.qr((features - mean) / np.sqrt(len(features) - 1), mode="r")[0][:features.shape[1]]


def kid(made: np.ndarray, real: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy by the kernel (x·y / D + 1)³; it may fall below 0 by chance.

    Binkowski et al. 2018, arXiv:1801.01401; of all pictures at once, not of subsets.
    """
    return _kid(made, real)()


def _kid(made, real):
    """As a function of the rows that are taken: a pair of a picture with its own copy counts for nothing."""
    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3
    within, across = [kernel(x, x) for x in (made, real)], kernel(made, real)

    def value(i=None, j=None):
        shares = [np.ones(len(x)) if rows is None else np.bincount(rows, minlength=len(x)) for x, rows in ((made, i), (real, j))]
        means = [(w @ k @ w - w**2 @ k.diagonal()) / (w.sum() ** 2 - (w**2).sum()) for w, k in zip(shares, within, strict=True)]
        return float(sum(means) - 2 * (shares[0] @ across @ shares[1]) / (shares[0].sum() * shares[1].sum()))
    return value


def precision(made: np.ndarray, real: np.ndarray) -> float:
    """The share of made pictures that a real one reaches: as far as it has its third nearest real neighbour.

    Kynkäänniemi et al. 2019, arXiv:1904.06991. Compare sets of one size: it depends on that.
    """
    return _precision(made, real)()


def recall(made: np.ndarray, real: np.ndarray) -> float:
    """The share of real pictures that a made one reaches: precision with the sets exchanged."""
    return _precision(real, made)()


def _precision(made, real):
    """As a function of the rows that are taken; how far a picture reaches is kept from the whole set."""
    reach = np.partition(cdist(real, real), NEIGHBOURS, axis=1)[:, NEIGHBOURS]  # at 0 stands the picture itself
    within = cdist(made, real) <= reach  # [N, M]

    def value(i=slice(None), j=slice(None)):
        return float(within[i][:, j].any(axis=1).mean())
    return value


KINDS = {"frechet": _frechet, "kid": _kid, "precision": _precision, "recall": lambda made, real: _exchanged(_precision(real, made))}


def _exchanged(value):
    return lambda i=slice(None), j=slice(None): value(j, i)


def _some(features: np.ndarray) -> np.ndarray:
    return features[np.random.RandomState(0).permutation(len(features))[:PAIRED]]


def _with_interval(kind: str, figure, n: int, m: int, needed: int) -> Figure:
    """figure: a function of the rows of both sets."""
    spread = stats.bootstrap((np.arange(n), np.arange(m)), figure, n_resamples=RESAMPLINGS, vectorized=False, method="percentile",
                             rng=np.random.default_rng(0)).standard_error
    value = float(figure())
    low, high = RANGES.get(kind, (0, np.inf))
    interval = np.clip([value - Z * spread, value + Z * spread], low, high)
    if not spread and high == 1:  # all or none: resampling finds no doubt, Wilson does
        of = m if kind == "recall" else n
        interval = proportion_confint(round(value * of), of, method="wilson")
    return Figure(value, *map(float, interval), n, needed)
