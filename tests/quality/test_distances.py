"""Distances between sets of features, against closed forms, another library and a case made by hand."""
import numpy as np
import pytest
from scipy import linalg

from genlib.quality import distances

D = 8


def gaussian(seed, n, d=D):
    """A mean, a covariance, and n draws whose own mean and covariance are exactly these."""
    random = np.random.RandomState(seed)
    mean, root = random.randn(d), random.randn(d, d)
    x = random.randn(n, d)
    x = (x - x.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return mean, root @ root.T, mean + x @ root.T


def closed_form(a, b):
    return np.sum((a[0] - b[0]) ** 2) + np.trace(a[1] + b[1] - 2 * linalg.sqrtm(a[1] @ b[1]).real)


@pytest.mark.parametrize("n", [100, 1000])
def test_the_frechet_distance_is_that_of_the_closed_form(n):
    one, other = gaussian(0, n), gaussian(1, 300)
    assert distances.frechet(one[2], other[2]) == pytest.approx(closed_form(one, other), rel=1e-9)
    assert distances.frechet(one[2], one[2]) == pytest.approx(0, abs=1e-9)


def test_from_many_draws_of_known_gaussians_it_comes_within_1_percent():
    random, one, other = np.random.RandomState(2), gaussian(0, 100), gaussian(1, 100)
    drawn = [random.multivariate_normal(mean, covariance, 200_000) for mean, covariance, _ in (one, other)]
    assert distances.frechet(*drawn) == pytest.approx(closed_form(one, other), rel=0.01)


def test_a_shift_alone_is_its_square_and_a_scale_alone_the_square_of_the_difference_of_deviations():
    mean, covariance, x = gaussian(0, 50)
    assert distances.frechet(x + 2, x) == pytest.approx(4 * D)
    assert distances.frechet(3 * (x - mean), x - mean) == pytest.approx(4 * np.trace(covariance))


def test_with_fewer_pictures_than_features_it_is_still_a_number():
    assert np.isfinite(distances.frechet(gaussian(0, 30, 20)[2][:10], gaussian(1, 30, 20)[2][:5]))


def test_kid_is_that_of_torchmetrics_over_all_pictures():
    torch, kid = pytest.importorskip("torch"), pytest.importorskip("torchmetrics.image.kid")
    one, other = (np.random.RandomState(seed).randn(60, D) + seed for seed in (0, 1))
    expected = float(kid.poly_mmd(torch.from_numpy(other), torch.from_numpy(one)))
    assert distances.kid(one, other) == pytest.approx(expected, rel=1e-9)


def test_precision_and_recall_of_a_case_made_by_hand():
    """On a line: the real ones reach as far as 3, 2, 2 and 3, so from -3 to 6; each made one to the farthest
    other one, so that all are within reach."""
    real, made = (np.array(values, dtype=float)[:, None] for values in ([0, 1, 2, 3], [0, 5.5, 9, 50]))
    assert distances.precision(made, real) == 0.5 and distances.recall(made, real) == 1
    near = np.array([100.0, 100.1, 100.2, 100.3, 1.0])[:, None]
    assert distances.recall(near[:4], real) == 0 and distances.precision(near, real) == 0.2


def test_an_interval_holds_the_figure_and_narrows_with_the_pictures():
    random = np.random.RandomState(3)
    widths = {}
    for n in 100, 1600:
        made, real = random.randn(n, D) + 0.5, random.randn(n, D)
        for kind, figure in distances.of_kinds(distances.KINDS, made, real).items():
            assert figure.low <= figure.value <= figure.high and figure.n == n, kind
            widths.setdefault(kind, []).append(figure.high - figure.low)
    assert all(0 < late < 0.5 * early for early, late in widths.values()), widths


def test_a_share_of_all_or_none_has_wilsons_interval():
    made, real = np.random.RandomState(5).randn(120, 2), np.random.RandomState(6).randn(200, 2) + 1000
    found = distances.of_kinds(["precision", "recall"], made, real)
    assert [(figure.value, figure.low) for figure in found.values()] == [(0, 0), (0, 0)]
    assert [figure.high for figure in found.values()] == pytest.approx([3.84 / (n + 3.84) for n in (120, 200)], rel=1e-3)


@pytest.mark.parametrize("kind, expected", [("frechet", D * 0.25), ("kid", None)])
def test_intervals_are_as_wide_as_figures_of_new_draws_differ(kind, expected):
    """95 % of the figures of fresh draws lie within 1.96 of their deviations: as wide are the intervals."""
    random = np.random.RandomState(4)
    figures = [distances.of_kinds([kind], random.randn(150, D) + 0.5, random.randn(150, D))[kind] for _ in range(25)]
    deviation = np.std([figure.value for figure in figures], ddof=1)
    said = np.mean([figure.high - figure.low for figure in figures]) / 2 / 1.96
    assert 0.6 < said / deviation < 1.6
    assert expected is None or np.mean([figure.value for figure in figures]) == pytest.approx(expected, rel=0.25)


def test_more_pictures_than_pairs_can_be_formed_of_are_a_sample(monkeypatch):
    monkeypatch.setattr(distances, "PAIRED", 60)
    found = distances.of_kinds(["kid", "frechet"], np.random.randn(100, D), np.random.randn(200, D))
    assert {kind: figure.n for kind, figure in found.items()} == {"kid": 60, "frechet": 100}


def test_the_frechet_distance_needs_more_pictures_than_there_are_features():
    assert distances.least("frechet", 128) == 129 and distances.least("kid", 128) == 50
