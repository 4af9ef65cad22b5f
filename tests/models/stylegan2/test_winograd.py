"""Winograd's convolution against the plain one, in double precision."""
import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from genlib.models.stylegan2 import winograd


@pytest.mark.parametrize("N, C, K, H, W", [(1, 3, 5, 4, 4), (1, 16, 8, 64, 64), (2, 7, 9, 12, 20), (3, 8, 8, 4, 2048), (1, 4, 4, 2048, 4)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_is_the_plain_convolution_at_any_shape(N, C, K, H, W, layout):
    torch.manual_seed(0)
    x, kernel = torch.randn(N, C, H, W).contiguous(memory_format=layout), torch.randn(K, C, 3, 3) / (9 * C) ** 0.5
    expected = F.conv2d(x.double(), kernel.double(), padding=1)
    y = winograd.convolve(x, kernel)
    assert y.shape == expected.shape and y.is_contiguous(memory_format=torch.channels_last)
    assert (y - expected).abs().max() < 2e-5, "results have standard deviation 1"


def test_its_error_is_less_than_half_of_that_with_the_usual_points(monkeypatch):
    torch.manual_seed(0)
    x, kernel = torch.randn(1, 128, 64, 64), torch.randn(128, 128, 3, 3) / (9 * 128) ** 0.5
    expected = F.conv2d(x.double(), kernel.double(), padding=1)

    def error():
        winograd.transformations.cache_clear()
        return (winograd.convolve(x, kernel) - expected).square().mean().sqrt().item()

    ours = error()
    monkeypatch.setattr(winograd, "POINTS", [0, 1, -1, 2, -2])
    usual = error()
    winograd.transformations.cache_clear()
    assert ours < 1.5e-6 and usual > 2 * ours


def test_it_is_used_where_it_pays_and_no_gradient_is_needed():
    x, kernel = torch.empty(1, 128, 64, 64), torch.empty(128, 128, 3, 3)
    assert winograd.pays(x, kernel)
    for other in (x.half(), x.bfloat16(), x.to("meta"), x[:, :, :63], x[:, :, :, 2:], x[:, :, :32], x.clone().requires_grad_()):
        assert not winograd.pays(other, kernel), (other.shape, other.dtype, other.device)
    for other in (kernel[:, :64], kernel[:64], kernel[:, :, :1, :1], kernel.clone().requires_grad_()):
        assert not winograd.pays(x[:, : other.shape[1]], other), other.shape
    with torch.no_grad():
        assert winograd.pays(x, kernel.clone().requires_grad_())


def test_it_is_not_used_on_tensors_without_numbers_which_would_be_kept_for_later_calls():
    x, kernel = torch.ones(1, 128, 64, 64), torch.ones(128, 128, 3, 3)
    with FakeTensorMode() as mode:
        assert not winograd.pays(mode.from_tensor(x), mode.from_tensor(kernel))
    asked = []
    torch.vmap(lambda x: asked.append(winograd.pays(x, kernel)) or x)(x[None])
    assert asked == [False]


def test_torchs_default_for_new_tensors_changes_nothing():
    x, kernel, usual = torch.randn(1, 8, 8, 8), torch.randn(8, 8, 3, 3), torch.get_default_dtype()
    expected = winograd.convolve(x, kernel)
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert torch.equal(winograd.convolve(x, kernel), expected)
    finally:
        torch.set_default_dtype(usual)
