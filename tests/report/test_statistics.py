"""Intervals cover what they say, equal rows are told apart as seldom as said, and enough is enough."""
import numpy as np
import pytest
from scipy import stats

from genlib.report.statistics import MOST, enough, estimate, is_less, p_equal

MEAN = 10


def simulated(sizes, between=0.0, mean=MEAN, within=1.0, tries=1000, seed=0):
    """Rows of sessions of these sizes, each session with a deviation of its own from the mean."""
    random = np.random.default_rng([int(seed), *sizes])
    values = [mean + between * random.standard_normal((tries, 1)) + within * random.standard_normal((tries, n)) for n in sizes]
    return list(zip(*values, strict=True))


def told_apart(rows, others):
    return np.mean([p_equal(a, b) < 0.05 for a, b in zip(rows, others, strict=True)])


# --- intervals and spreads

@pytest.mark.parametrize("sizes, between", [
    ((5,), 0), *(((5, 5, 5), ratio) for ratio in (0, 0.3, 1, 3)), ((5,) * 5, 0.3), ((5,) * 5, 3), ((3, 5, 8), 0), ((3, 5, 8), 1)], ids=str)
def test_95_percent_of_the_intervals_cover_the_mean(sizes, between):
    covered = np.mean([found.low <= MEAN <= found.high for found in map(estimate, simulated(sizes, between))])
    assert covered == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("sizes, between", [((5, 5, 5), 2), ((2, 4, 9, 5), 3)], ids=str)
def test_the_spreads_are_those_that_were_put_in(sizes, between):
    found = [estimate(row) for row in simulated(sizes, between)]
    assert np.mean([one.within**2 for one in found]) == pytest.approx(1, rel=0.05)
    assert np.mean([one.between**2 for one in found]) == pytest.approx(between**2, rel=0.1)


def test_the_spread_between_sessions_is_that_of_a_one_way_analysis_of_variance():
    row = [np.array([1.0, 2.0, 4.0]), np.array([3.0, 5.0]), np.array([7.0, 8.0, 8.5, 9.0])]
    sizes, found = np.array([3, 2, 4]), estimate(row)
    f = stats.f_oneway(*row).statistic
    squares = (f - 1) * found.within**2 * (len(row) - 1) / (sizes.sum() - (sizes**2).sum() / sizes.sum())
    assert found.between == pytest.approx(np.sqrt(squares), rel=1e-9)
    assert found.mean == pytest.approx(np.mean([session.mean() for session in row])), "each session counts alike"


@pytest.mark.parametrize("scale", [1e-9, 1, 1e12])
def test_sessions_without_any_spread_within_differ_by_what_is_between_them(scale):
    found = estimate([np.full(5, value * scale) for value in (0.1, 0.3, 0.5)])
    assert found.within == 0 and found.between == pytest.approx(0.2 * scale, rel=1e-5) and found.mean == pytest.approx(0.3 * scale)
    assert estimate([np.full(n, 0.1 * scale) for n in (3, 5, 7)]) == (0.1 * scale, 0.1 * scale, 0.1 * scale, 0, 0)


def test_what_is_not_known_is_nan():
    def unknown(row):
        return {name for name, value in estimate(row)._asdict().items() if np.isnan(value)}

    one, two = np.array([1.0]), np.array([1.0, 2.0])
    assert unknown([]) == unknown([np.array([])]) == {"mean", "low", "high", "within", "between"}
    assert unknown([one]) == {"low", "high", "within", "between"}
    assert unknown([two]) == {"between"} and unknown([two, one]) == set()
    assert unknown([one, one + 1]) == {"within", "between"}, "of single iterations they cannot be parted"


# --- told apart

@pytest.mark.parametrize("sizes, others, within", [((5,), (5,), 1), ((2,), (2,), 10), ((3,), (20,), 1), ((5,) * 3, (5,) * 3, 1),
                                                  ((5,) * 2, (5,) * 10, 1), ((5,) * 2, (5,) * 2, 10)], ids=str)
def test_equal_rows_are_told_apart_in_at_most_5_percent_whatever_their_sizes_and_spreads(sizes, others, within):
    between = 0 if len(others) == 1 else 1
    rows = simulated(sizes, between), simulated(others, between * within, within=within, seed=1)
    assert told_apart(*rows) <= 0.055


def test_another_day_is_seen_only_with_several_sessions():
    """Rows whose sessions differ by the day: one session takes that for a difference of the models."""
    one, other = ([simulated((10,) * n, between=3, seed=seed) for seed in (0, 1)] for n in (1, 3))
    assert told_apart(*one) > 0.5 and told_apart(*other) < 0.055


@pytest.mark.parametrize("between", [0, 1, 3])
@pytest.mark.parametrize("within", [0.2, 1, 5])
def test_a_single_session_may_lie_as_far_off_as_those_of_the_row_beside_it(between, within):
    """Its other days are not known; those of the other row are."""
    assert told_apart(simulated((5,) * 3, between), simulated((5,), between, within=within, tries=1000, seed=1)) <= 0.055


def test_a_row_is_below_another_only_if_its_mean_over_all_sessions_is():
    """The newest session of `a`, by itself, lies above `b`."""
    a, b = [np.array([1.0, 1.01, 1.02]), np.array([1.1, 1.11, 1.12]), np.array([3.0, 3.01, 3.02])], [np.array([2.5, 2.51, 2.52])]
    assert not is_less(a, b) and not is_less(b, a) and enough(a, b) > 3
    assert is_less(a[:2], b) and not is_less(b, a[:2])
    assert not is_less(a[:1], [a[0] + 0.001]) and not is_less([a[0][:1]], b), "nor where nothing is known"


def test_equal_sizes_and_spreads_give_welchs_statistic():
    a, b = np.array([1.0, 2.0, 4.0]), np.array([3.0, 7.0, 8.0])
    assert p_equal([a], [b]) == pytest.approx(2 * stats.t.sf(abs(stats.ttest_ind(a, b, equal_var=False).statistic), 2))


@pytest.mark.parametrize("a, b, p", [([0.1] * 3, [0.1] * 7, 1), ([0.1] * 3, [0.2] * 3, 0), ([0.1], [0.2, 0.3], np.nan),
                                     ([], [0.2, 0.3], np.nan)])
def test_without_a_spread_means_are_equal_or_not_and_of_one_iteration_nothing_is_known(a, b, p):
    assert p_equal([np.array(a)], [np.array(b)]) == pytest.approx(p, nan_ok=True)


# --- how many are enough

def exact(sizes, mean, within, between):
    """A row with exactly these figures."""
    centre = np.arange(len(sizes)) - (len(sizes) - 1) / 2
    shifts = centre / centre.std(ddof=1) if len(sizes) > 1 else np.zeros(1)
    values = [np.arange(n) - (n - 1) / 2 for n in sizes]
    spread = np.sqrt(between**2 + within**2 / sizes[0])
    return [mean + shift * spread + within * value / value.std(ddof=1) for shift, value in zip(shifts, values, strict=True)]


@pytest.mark.parametrize("difference, between", [(0.8, 0.3), (0.8, 1), (1.5, 1)])
def test_so_many_sessions_tell_two_rows_apart_in_80_percent(difference, between):
    found = enough(exact((5,) * 3, MEAN, 1, between), exact((5,) * 3, MEAN + difference, 1, between))
    rows = [simulated((5,) * found, between, mean, tries=500, seed=mean > MEAN) for mean in (MEAN, MEAN + difference)]
    assert 0.76 <= told_apart(*rows) <= 0.9


@pytest.mark.parametrize("difference, spreads", [(1, (1, 1)), (1, (1, 2)), (2.5, (1, 1))])
def test_so_many_iterations_tell_two_sessions_apart_in_80_percent(difference, spreads):
    first, second = spreads
    found = enough(exact((4,), MEAN, first, 0), exact((4,), MEAN + difference, second, 0))
    rows = [simulated((found,), 0, mean, within, seed=mean > MEAN)
            for mean, within in zip((MEAN, MEAN + difference), spreads, strict=True)]
    assert 0.76 <= told_apart(*rows) <= 0.9


def test_a_difference_too_small_to_matter_is_none():
    near = exact((5,) * 3, MEAN, 1, 1)
    assert enough(near, exact((5,) * 3, MEAN + 0.01, 1, 1)) is None and enough(near, near) is None
    assert enough(near[:1], [near[0] + 0.2]) <= MOST and enough(near[:1], [near[0] + 0.1]) is None
    assert enough([np.array([1.0])], [np.array([2.0])]) is None, "no spread is known"


def test_without_any_spread_two_of_each_are_enough():
    assert enough([np.full(5, 1.0)], [np.full(5, 2.0)]) == 2
    assert enough([np.full(5, 1.0)] * 2, [np.full(5, 2.0)] * 2) == 2
