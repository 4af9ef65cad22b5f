"""Smaller cards imitated on a larger one: how much torch is left, and until when."""
import pytest
import torch

from genlib.measure import card

GB = 1024**3


@pytest.fixture
def limits(monkeypatch, cuda):
    """The shares that torch is allowed of a GPU of 14.7 GB, where CUDA and others take 0.5 GB."""
    said = []
    cuda.update(free=int(12.2 * GB), total=int(14.7 * GB))
    monkeypatch.setattr(torch, "zeros", lambda *shape, device: None)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 2 * GB)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", said.append)
    return said


@pytest.mark.parametrize("size, share", [(4, 3.5 / 14.7), (8, 7.5 / 14.7), (15, 14.5 / 14.7), (16, 1), (0.25, 0)])
def test_torch_gets_of_a_card_what_is_left_beside_the_context_but_no_more_than_there_is(limits, size, share):
    with card.limited_to(size):
        assert limits == [pytest.approx(share, abs=1e-6)]
    assert limits[1:] == [1.0]


def test_the_limit_is_lifted_whatever_happens(limits):
    with pytest.raises(KeyboardInterrupt), card.limited_to(4):
        raise KeyboardInterrupt
    assert limits[-1] == 1.0


def test_a_gpu_counts_as_the_card_that_it_is_sold_as(limits):
    assert card.largest_gb() == 15


def test_where_models_run_on_the_processor_no_card_is_imitated(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="smaller cards are imitated on an NVIDIA GPU only: use a machine that has one"):
        card.largest_gb()


@pytest.mark.gpu
def test_a_tensor_that_the_smaller_card_would_not_hold_is_out_of_memory_and_afterwards_fits():
    def take(gigabytes):
        return torch.empty(int(gigabytes * GB), dtype=torch.uint8, device="cuda").numel()

    with card.limited_to(4):
        assert take(2) == 2 * GB
        with pytest.raises(torch.OutOfMemoryError):
            take(4)
    torch.cuda.empty_cache()
    assert take(4) == 4 * GB
