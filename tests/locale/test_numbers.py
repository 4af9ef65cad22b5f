from math import inf, nan

import numpy as np
import pytest

from genlib.locale import Language
from genlib.locale.numbers import grouped, number, significant, span


@pytest.mark.parametrize("value, digits, text", [(29.613, 3, "29.6"), (0.0122, 3, "0.0122"), (0.00773, 2, "0.0077"), (361.2, 3, "361"),
                                                 (1234.5, 3, "1234"), (0.0998, 2, "0.10"), (9.96, 2, "10"), (99.9, 3, "99.9"),
                                                 (np.int64(7), 2, "7.0"), (0, 3, "0"), (None, 3, "—"), (float("nan"), 3, "—")])
def test_numbers_are_written_with_significant_digits(value, digits, text):
    assert significant(value, digits, "en") == text
    assert significant(value, digits, "uk") == text.replace(".", ",")


@pytest.mark.parametrize("value, decimals, text", [
    (2.675, 2, "2.67"),  # the float lies below it
    (0.5, 0, "0"), (1.5, 0, "2"),  # half to even, as Python formats
    (5619, 0, "5619"), (12345, 0, "12345"), (1234567.25, 1, "1234567.2"), (7.0, 2, "7.00"), (10**30, 0, "1" + "0" * 30),
    (-0.0305, 3, "−0.030"), (-0.0001, 2, "0.00"), (-12.0, 0, "−12"),
    (nan, 2, "—"), (None, 0, "—"), (inf, 1, "∞"), (-inf, 1, "−∞"), (np.float32(0.25), 2, "0.25"), (np.int64(3), 1, "3.0"),
])
def test_numbers_are_written_with_these_decimals_ungrouped_and_with_a_real_minus(value, decimals, text):
    assert number(value, decimals, "en") == text
    assert number(value, decimals, "uk") == text.replace(".", ",")


@pytest.mark.parametrize("value", [1.005, 2.675, 0.125, 1e-7, 123456.789, 8.1, 0.30000000000000004, 5e-324, 1e22])
@pytest.mark.parametrize("decimals", [0, 1, 3, 6])
def test_a_number_is_rounded_as_python_rounds_the_very_float(value, decimals):
    assert number(value, decimals, "en") == f"{value:.{decimals}f}"


def test_the_decimal_sign_is_the_languages():
    assert Language("en").decimal_sign == "." and Language("uk").decimal_sign == ","
    assert Language("uk").rounded(1.5, 2) == "1,50" and Language("uk").significant(1234.5, 2) == "1234"


def test_thousands_of_a_count_stand_apart_and_a_span_has_its_ends_once():
    assert grouped(10**6) == "1\N{NARROW NO-BREAK SPACE}000\N{NARROW NO-BREAK SPACE}000" and grouped(999) == "999"
    assert span([1, 2, 5]) == "1 … 5" and span([5, 5]) == span([5]) == "5"
