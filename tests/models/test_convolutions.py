"""Layers of diffusers' networks by the CPU's own kernels: the same outcome, and where they keep away."""
import copy

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

from genlib import quality
from genlib.models import convolutions, native, stable_diffusion, vae
from genlib.record import SAME_DB

BLOCKS = dict(layers_per_block=1, block_out_channels=(32, 64), norm_num_groups=8, sample_size=16)
V1 = dict(BLOCKS, in_channels=4, out_channels=4, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
          up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=24, attention_head_dim=4)
XL = dict(V1, use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
          projection_class_embeddings_input_dim=6 * 8 + 16, transformer_layers_per_block=(1, 2))


@pytest.fixture(params=[True, False], ids=["native", "torch"])
def everywhere(request, monkeypatch):
    """Every convolution is found quicker, with the kernels in C and without."""
    if not request.param:
        monkeypatch.setattr(native, "available", lambda: False)
    elif not native.available():
        pytest.skip("no C compiler here")
    monkeypatch.setattr(convolutions, "_decided", {})
    monkeypatch.setattr(convolutions, "_is_quicker", lambda *shape: True)


@pytest.fixture
def calls(monkeypatch):
    """The shapes of the maps that went through `convolve`."""
    seen, own = [], convolutions.convolve
    monkeypatch.setattr(convolutions, "convolve", lambda x, *others: seen.append(tuple(x.shape)) or own(x, *others))
    return seen


def built(kind: type, config: dict) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    plain = kind(**config).eval().requires_grad_(False)
    return plain, copy.deepcopy(plain)


def off(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found - expected).abs().max() / expected.std()).item()


@pytest.mark.parametrize("config", [V1, XL], ids=["v1", "xl"])
@pytest.mark.parametrize("size", [(16, 16), (10, 22)])
def test_a_unet_gives_the_same(everywhere, calls, config, size):
    plain, quick = built(UNet2DConditionModel, config)
    more = {} if config is V1 else dict(added_cond_kwargs=dict(text_embeds=torch.randn(2, 16), time_ids=torch.ones(2, 6)))
    given = torch.randn(2, 4, *size), torch.tensor(7), torch.randn(2, 5, 24)
    assert convolutions.quicken(quick)
    assert off(quick(*given, **more).sample, plain(*given, **more).sample) < 1e-4 and calls


def test_an_autoencoder_gives_the_same(everywhere, calls):
    config = dict(BLOCKS, latent_channels=4, down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)
    plain, quick = built(AutoencoderKL, config)
    assert convolutions.quicken(quick)
    z, x = torch.randn(1, 4, 9, 8), torch.randn(2, 3, 16, 24)
    assert off(quick.decode(z).sample, plain.decode(z).sample) < 1e-4 and calls
    assert off(quick.encode(x).latent_dist.mean, plain.encode(x).latent_dist.mean) < 1e-4


def test_training_other_numbers_and_changed_weights_go_the_librarys_way(everywhere, calls):
    plain, quick = built(UNet2DConditionModel, V1)
    convolutions.quicken(quick)
    given = torch.randn(1, 4, 16, 16), torch.tensor(7), torch.randn(1, 5, 24)
    calls.clear()
    x = given[0].clone().requires_grad_()
    quick(x, *given[1:]).sample.sum().backward()
    assert x.grad.abs().sum() > 0 and not calls
    twice = [network.to(torch.bfloat16)(*(t.to(torch.bfloat16) if t.is_floating_point() else t for t in given)).sample
             for network in (copy.deepcopy(plain), copy.deepcopy(quick))]
    assert torch.equal(*twice) and not calls
    for network in plain, quick:
        network.conv_in.weight.mul_(2)
        network.mid_block.resnets[0].conv1.weight.add_(0.1)
    assert off(quick(*given).sample, plain(*given).sample) < 1e-4 and calls


def test_what_is_no_plain_convolution_of_three_by_three_stays_torchs():
    usual = dict(in_channels=16, out_channels=32, kernel_size=3, padding=1)
    assert convolutions._is_3x3(nn.Conv2d(**usual))
    for other in [dict(kernel_size=1, padding=0), dict(padding=0), dict(stride=2), dict(dilation=2, padding=2), dict(groups=2),
                  dict(padding_mode="reflect"), dict(in_channels=8), dict(out_channels=40)]:
        assert not convolutions._is_3x3(nn.Conv2d(**usual | other))


def test_where_no_convolution_is_quicker_a_network_is_left_alone(monkeypatch):
    monkeypatch.setattr(convolutions, "_decided", {})
    monkeypatch.setattr(convolutions, "_is_quicker", lambda *shape: False)
    _, quick = built(UNet2DConditionModel, V1)
    assert not convolutions.quicken(quick) and not [layer for layer in quick.modules() if "forward" in vars(layer)]


def test_a_shape_is_timed_once_and_what_was_found_can_be_taken_over(monkeypatch):
    timed = []
    monkeypatch.setattr(convolutions, "_decided", {})
    monkeypatch.setattr(convolutions, "_told", False)
    monkeypatch.setattr(convolutions, "_is_quicker", lambda *shape: timed.append(shape) or shape[0] > 100)
    assert convolutions.wins(320, 64, 64, 256) and convolutions.wins(320, 64, 64, 256) and not convolutions.wins(32, 8, 8, 32)
    assert timed == [(320, 64, 64, 256), (32, 8, 8, 32)] and convolutions.chosen() == [[320, 64, 64, 256]]
    convolutions.choose([[32, 8, 8, 32], "odd", [1.5]])
    assert convolutions.wins(32, 8, 8, 32) and not convolutions.wins(320, 64, 64, 256) and len(timed) == 2
    assert convolutions.chosen() == [[32, 8, 8, 32]]


@pytest.mark.parametrize("prompt", ["", "a smiling man with red hair"])
def test_the_tuned_pipeline_draws_the_same_picture(everywhere, calls, prompt):
    plain, quick = stable_diffusion.load("demo"), stable_diffusion.load("demo", profile="tuned")
    assert quick.info.switches["winograd"] and not plain.info.switches["winograd"]
    pictures = [pipe(prompt, latents=stable_diffusion.random_latents(pipe), num_inference_steps=10).images[0] for pipe in (plain, quick)]
    assert quality.psnr(*pictures) >= SAME_DB and calls


def test_the_switch_can_be_left_out_and_is_for_float32_alone(everywhere, calls):
    assert vae.load("demo", profile="tuned").info.switches["winograd"]
    for options in dict(without=["winograd"]), dict(dtype="bfloat16"):
        autoencoder = vae.load("demo", profile="tuned", **options)
        assert not autoencoder.info.switches["winograd"]
        vae.decode(autoencoder, torch.zeros(1, 4, 8, 8, dtype=autoencoder.dtype))
    assert not calls
