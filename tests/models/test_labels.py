"""Labels of conditional networks: how they are written, which one a seed takes, what is refused."""
from types import SimpleNamespace

import pytest
import torch

from genlib.models import labels

TEN = SimpleNamespace(c_dim=10, device="cpu", info=SimpleNamespace(name="cifar10"))
NONE = SimpleNamespace(c_dim=0, device="cpu", info=SimpleNamespace(name="faces"))


@pytest.mark.parametrize("text, chosen", [
    ("3", [3]), ("0,3,5", [0, 3, 5]), ("0-4, 7", [0, 1, 2, 3, 4, 7]), ("9,0", [9, 0]), ("all", list(range(10))), ("", list(range(10)))])
def test_one_several_or_all_labels_are_chosen(text, chosen):
    assert labels.choose(TEN, text) == chosen


@pytest.mark.parametrize("text", ["x", "-1", "1,,2", "1,", "5-2", "0-", "1.5", "٣", "999999999999", "0-99999999", "ALL"])
def test_what_is_no_label_is_refused_with_the_ways_to_write_them(text):
    with pytest.raises(ValueError, match=r"labels are '.*': write one from 0 up \(3\), several \(0,3,5 or 0-4\) or all"):
        labels.choose(TEN, text)


def test_a_label_that_the_network_does_not_have_is_refused():
    with pytest.raises(ValueError, match="label 10 is none of cifar10's, which are 0 to 9"):
        labels.choose(TEN, "0-10")


def test_a_network_without_labels_takes_none():
    assert labels.choose(NONE) == [] and labels.one_hot(NONE, [], range(3)) is None
    with pytest.raises(ValueError, match="labels are '0', but faces was trained without any: leave them out"):
        labels.choose(NONE, "0")


def test_seeds_take_the_labels_in_turn_wherever_they_begin():
    c = labels.one_hot(TEN, [7, 0, 2], range(4, 8))
    assert c.dtype == torch.float32 and c.shape == (4, 10) and c.sum(1).tolist() == [1] * 4
    assert c.argmax(1).tolist() == [0, 2, 7, 0]
