"""Layers of UNets and autoencoders on a CPU: the same results, wherever Winograd is taken; who gets it."""
import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from architectures import PIPELINES
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.activations import GEGLU
from drawing import draw
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from genlib import quality
from genlib.models import convolutions, images, native, stable_diffusion, vae
from genlib.record import SAME_DB

BLOCKS = dict(block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=8, sample_size=16)
V1 = BLOCKS | dict(cross_attention_dim=32, attention_head_dim=4, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                   up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
SDXL = V1 | dict(use_linear_projection=True, attention_head_dim=(2, 4), transformer_layers_per_block=(1, 2), addition_time_embed_dim=8,
                 addition_embed_type="text_time", projection_class_embeddings_input_dim=6 * 8 + 16)
VAE = BLOCKS | dict(down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)
NETWORKS = {"v1": (UNet2DConditionModel, V1), "sdxl": (UNet2DConditionModel, SDXL), "vae": (AutoencoderKL, VAE)}


@pytest.fixture(params=["native", "torch"])
def kernels(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(native, "available", lambda: False)
    elif not native.available():
        pytest.skip("needs a C compiler")


@pytest.fixture
def convolved(monkeypatch):
    """Winograd for all that it can compute; the shapes that it did."""
    shapes, convolve = [], convolutions.convolve
    monkeypatch.setattr(convolutions, "wins", lambda *shape: True)
    monkeypatch.setattr(convolutions, "convolve", lambda x, *rest: shapes.append(tuple(x.shape)) or convolve(x, *rest))
    return shapes


def build(name: str) -> nn.Module:
    cls, config = NETWORKS[name]
    torch.manual_seed(0)
    return cls(**config).eval().requires_grad_(False)


def compute(network: nn.Module, side: int = 16, batch: int = 2, text_length: int = 7) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(batch, 4, side, side, generator=random)
    if isinstance(network, AutoencoderKL):
        return vae.decode(network, x)
    added = dict(text_embeds=torch.randn(batch, 16, generator=random), time_ids=torch.ones(batch, 6))
    return network(x, 500, torch.randn(batch, text_length, 32, generator=random), added_cond_kwargs=added).sample


def error(result: torch.Tensor, expected: torch.Tensor) -> float:
    """In standard deviations of what is expected."""
    return ((result - expected).square().mean().sqrt() / expected.std()).item()


def replaced(network: nn.Module) -> list:
    return [layer for layer in network.modules() if "forward" in vars(layer)]


# --- the same results

@pytest.mark.parametrize("name", NETWORKS)
def test_a_quick_network_computes_the_same_at_its_size_and_at_others(name, kernels, convolved):
    plain, quick = build(name), build(name)
    assert convolutions.quicken(quick) and not convolved
    for options in {}, dict(side=8, batch=1), dict(side=10, batch=3, text_length=1):
        convolved.clear()
        assert error(compute(quick, **options), compute(plain, **options)) < 1e-5
        assert len(convolved) >= 10


def test_images_are_encoded_to_the_same_latents(kernels, convolved):
    plain, quick = build("vae"), build("vae")
    convolutions.quicken(quick)
    image = torch.rand(1, 3, 24, 24) * 2 - 1
    assert error(vae.encode(quick, image), vae.encode(plain, image)) < 1e-5 and convolved


def test_the_tuned_pipeline_draws_the_same_picture_by_winograd(kernels, convolved):
    plain, quick = stable_diffusion.load("demo"), stable_diffusion.load("demo", profile="tuned")
    assert quick.info.switches["winograd"]
    for prompt in "", "a smiling man with red hair":
        convolved.clear()
        assert quality.psnr(draw(plain, prompt)[0], draw(quick, prompt)[0]) >= SAME_DB
        assert {shape[0] for shape in convolved} == {1, 2} - ({2} if not prompt else set()), "with a prompt, the UNet draws two"


def test_all_maps_of_a_quick_network_are_in_channels_last(convolved):
    for name in NETWORKS:
        network, seen = build(name), []
        convolutions.quicken(network)
        for layer in network.modules():
            if type(layer) in (nn.Conv2d, nn.GroupNorm):
                layer.register_forward_hook(lambda layer, inputs, y, seen=seen: seen.append(y))
        compute(network)
        maps = [y for y in seen if y.ndim == 4 and len(y[0]) > 4]
        assert len(maps) >= 12
        assert all(y.is_contiguous(memory_format=torch.channels_last) for y in maps)


def test_changed_weights_change_the_result_as_they_do_in_the_library(convolved):
    plain, quick = build("v1"), build("v1")
    convolutions.quicken(quick)
    compute(quick)
    for network in plain, quick:
        for parameter in network.parameters():
            parameter.mul_(1.25)
    assert error(compute(quick), compute(plain)) < 1e-5


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_copy_of_a_quick_network_has_its_own_weights(copied, convolved):
    quick = build("v1")
    convolutions.quicken(quick)
    expected, other = compute(quick), copied(quick)
    for parameter in quick.parameters():
        parameter.zero_()
    convolved.clear()
    assert torch.equal(compute(other), expected) and convolved


def test_work_is_counted_as_in_the_library(convolved):
    counts = []
    for network in build("v1"), build("v1"):
        if counts:
            convolutions.quicken(network)
        with FlopCounterMode(display=False) as counter:
            compute(network)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 1e6 and not convolved


# --- what stays plain

LAYERS = {
    "stride 2": dict(stride=2), "no padding": dict(padding=0), "another padding": dict(padding_mode="reflect"),
    "dilation": dict(dilation=2), "groups": dict(groups=2), "1x1": dict(kernel_size=1, padding=0),
    "24 channels": dict(in_channels=24), "33 results": dict(out_channels=33)}


def layer_and_input(dtype=torch.float32, **changes) -> tuple[nn.Conv2d, torch.Tensor]:
    options = dict(in_channels=32, out_channels=32, kernel_size=3, padding=1) | changes
    layer = nn.Conv2d(**options).eval().requires_grad_(False).to(dtype)
    layer.forward = partial(convolutions._conv2d, layer)
    return layer, torch.randn(2, options["in_channels"], 8, 8, dtype=dtype)


def test_the_same_layer_without_changes_is_computed_by_winograd(convolved):
    layer, x = layer_and_input()
    assert torch.allclose(layer(x), nn.Conv2d.forward(layer, x), atol=1e-5) and len(convolved) == 1


@pytest.mark.parametrize("changes", LAYERS.values(), ids=LAYERS)
def test_other_convolutions_stay_plain(changes, convolved):
    layer, x = layer_and_input(**changes)
    assert torch.allclose(layer(x), nn.Conv2d.forward(layer, x), atol=1e-5) and not convolved


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_stay_plain(dtype, convolved):
    layer, x = layer_and_input(dtype)
    assert torch.equal(layer(x), nn.Conv2d.forward(layer, x)) and not convolved


def test_under_autocast_a_layer_stays_plain(convolved):
    layer, x = layer_and_input()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16 and not convolved


def test_gradients_are_those_of_the_library(convolved):
    plain, quick = build("v1").requires_grad_(True), build("v1")
    convolutions.quicken(quick)
    quick.requires_grad_(True)
    for network in plain, quick:
        compute(network).square().sum().backward()
    assert not convolved
    for expected, gradient in zip(*([p.grad for p in network.parameters()] for network in (plain, quick)), strict=True):
        assert (expected is None) == (gradient is None) and (expected is None or torch.equal(gradient, expected))
    assert quick.requires_grad_(False)(torch.ones(1, 4, 16, 16, requires_grad=True), 1, torch.ones(1, 2, 32)).sample.requires_grad


class Lora(nn.Module):
    """A layer with an addition of low rank, wrapped as PEFT does it."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.base_layer = layer
        self.down, self.up = ((nn.Conv2d(layer.in_channels, 2, 3, padding=1, bias=False), nn.Conv2d(2, layer.out_channels, 1, bias=False))
                              if isinstance(layer, nn.Conv2d) else
                              (nn.Linear(layer.in_features, 2, bias=False), nn.Linear(2, layer.out_features, bias=False)))

    def forward(self, x):
        return self.base_layer(x) + self.up(self.down(x))


def test_layers_that_are_given_loras_after_loading_give_the_librarys_result(convolved):
    plain, quick = build("v1"), build("v1")
    convolutions.quicken(quick)
    for network in plain, quick:
        torch.manual_seed(2)
        for parent in list(network.modules()):
            for name, layer in list(parent.named_children()):
                if name in ("conv1", "conv2", "proj", "proj_in", "conv_shortcut", "time_emb_proj"):
                    setattr(parent, name, Lora(layer).eval().requires_grad_(False))
    assert error(compute(quick), compute(plain)) < 1e-5
    assert error(compute(quick), compute(build("v1"))) > 1e-2


def by_forward(layer: nn.Module) -> None:
    """As LoRAs are added by Kohya's scripts: called with the layer's input alone."""
    forward = layer.forward
    layer.forward = lambda x: 1.25 * forward(x)


def by_hook(layer: nn.Module) -> None:
    layer.register_forward_hook(lambda layer, inputs, y: 1.25 * y)


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.GroupNorm, nn.Linear, nn.SiLU, nn.Dropout])
@pytest.mark.parametrize("change", [by_forward, by_hook])
def test_what_others_do_to_a_layer_has_its_effect(kind, change, convolved):
    plain, quick = build("v1"), build("v1")
    convolutions.quicken(quick)
    for network in plain, quick:
        for layer in [layer for layer in network.modules() if type(layer) is kind]:
            change(layer)
    assert error(compute(quick), compute(plain)) < 1e-5
    assert error(compute(quick), compute(build("v1"))) > 1e-2


def test_what_a_hook_keeps_of_a_layer_is_the_librarys(convolved):
    plain, quick, kept = build("v1"), build("v1"), {}
    convolutions.quicken(quick)
    for network in plain, quick:
        for layer in network.modules():
            layer.register_forward_hook(lambda layer, inputs, y, network=network: kept.setdefault(network, []).append(y))
        compute(network)
    pairs = [pair for pair in zip(kept[plain], kept[quick], strict=True) if isinstance(pair[0], torch.Tensor)]
    assert len(pairs) > 50 and all(error(found, expected) < 1e-4 for expected, found in pairs)


def test_a_convolution_made_seamless_is_left_to_whoever_made_it_so(convolved):
    layer, x = layer_and_input()
    layer._conv_forward = lambda x, kernel, bias: nn.functional.conv2d(nn.functional.pad(x, [1] * 4, mode="circular"), kernel, bias)
    assert torch.equal(layer(x), nn.Conv2d.forward(layer, x)) and not convolved


def test_a_kernel_cut_down_to_channels_that_do_not_fit_stays_plain(convolved):
    layer, x = layer_and_input(out_channels=64)
    layer.weight, layer.bias = (nn.Parameter(parameter[:40], requires_grad=False) for parameter in (layer.weight, layer.bias))
    assert torch.allclose(layer(x), nn.Conv2d.forward(layer, x), atol=1e-5) and not convolved


def test_a_map_of_other_channels_is_the_librarys_error(convolved):
    norm, linear = (layer.eval().requires_grad_(False) for layer in (nn.GroupNorm(4, 32), nn.Linear(16, 24)))
    for layer, call in (layer_and_input()[0], convolutions._conv2d), (norm, convolutions._group_norm), (linear, convolutions._linear):
        said = []
        for forward in type(layer).forward, call:
            with pytest.raises((RuntimeError, ValueError)) as error:
                forward(layer, torch.randn(1, 16, 8, 8))
            said.append(str(error.value))
        assert said[0] == said[1]


def test_dropout_that_is_left_on_drops(convolved):
    network = UNet2DConditionModel(**V1, dropout=0.5).eval().requires_grad_(False)
    convolutions.quicken(network)
    block, x, step = network.mid_block.resnets[0], torch.randn(1, 64, 8, 8), torch.randn(1, 128)
    assert torch.equal(block(x, step), block(x, step))
    block.dropout.train()
    assert not torch.equal(block(x, step), block(x, step))


def test_torchs_default_for_new_tensors_changes_neither_choice_nor_picture(monkeypatch):
    asked = []
    monkeypatch.setattr(convolutions, "wins", lambda *shape: asked.append(shape) or True)
    convolutions.quicken(build("v1"))
    expected, usual, network = set(asked), torch.get_default_dtype(), build("v1")
    asked.clear()
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert convolutions.quicken(network) and set(asked) == expected
        assert isinstance(convolutions._is_quicker(32, 8, 8, 32), bool)
    finally:
        torch.set_default_dtype(usual)


def test_a_gate_of_another_kind_or_without_bias_gives_the_librarys_result():
    for layer in GEGLU(16, 32), GEGLU(16, 32, bias=False):
        layer.eval().requires_grad_(False)
        for x in torch.randn(2, 5, 16), torch.randn(2, 16, 5).mT:
            assert torch.allclose(convolutions._gated(layer, x), GEGLU.forward(layer, x), atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("onednn", [True, False])
def test_a_linear_layer_gives_the_librarys_result_for_inputs_of_any_kind(bias, onednn, monkeypatch):
    taken, product = [], convolutions.onednn_linear
    monkeypatch.setattr(convolutions, "onednn_linear", (lambda *inputs: taken.append(1) or product(*inputs)) if onednn else None)
    layer, x = nn.Linear(16, 24, bias=bias).eval().requires_grad_(False), torch.randn(3, 16, 5)
    for inputs in x.mT, x.mT[:, :1].expand(3, 5, 16), x.mT[0], x.mT[0, 0], x.mT[:0], torch.randn(2, 3, 4, 16)[:, :, ::2]:
        expected = nn.Linear.forward(layer, inputs)
        assert convolutions._linear(layer, inputs).shape == expected.shape
        assert torch.allclose(convolutions._linear(layer, inputs), expected, atol=1e-5)
    assert len(taken) == (2 * 4 if onednn else 0), "not for an input without rows, or with one dimension"


def test_a_bias_that_onednn_would_misread_gives_the_librarys_result():
    x = torch.randn(2, 5, 16)
    for bias in torch.randn(48, 3)[:, 1], torch.randn(1).expand(48):
        gate, layer = GEGLU(16, 24).eval().requires_grad_(False), nn.Linear(16, 48).eval().requires_grad_(False)
        gate.proj.bias = layer.bias = nn.Parameter(bias, requires_grad=False)
        assert torch.allclose(convolutions._linear(layer, x), nn.Linear.forward(layer, x), atol=1e-5)
        assert torch.allclose(convolutions._gated(gate, x), GEGLU.forward(gate, x), atol=1e-5)


def test_where_onednn_is_switched_off_it_is_not_used(monkeypatch):
    monkeypatch.setattr(convolutions, "onednn_linear", None if convolutions.onednn_linear is None else pytest.fail)
    layer, x = nn.Linear(16, 24).eval().requires_grad_(False), torch.randn(2, 16)
    with torch.backends.mkldnn.flags(enabled=False):
        assert torch.equal(convolutions._linear(layer, x), nn.Linear.forward(layer, x))


def test_layers_take_their_inputs_by_the_librarys_names(convolved):
    quick, x, temb = build("v1"), torch.randn(1, 32, 16, 16), torch.randn(1, 128)
    convolutions.quicken(quick)
    block, down = quick.down_blocks[0].resnets[0], quick.down_blocks[0].attentions[0]
    gate = down.transformer_blocks[0].ff.net[0]
    assert torch.equal(block(input_tensor=x, temb=temb), block(x, temb))
    for layer, inputs in (block.conv1, x), (block.norm1, x), (block.time_emb_proj, temb):
        assert torch.equal(layer(input=inputs), layer(inputs))
    assert torch.equal(gate(hidden_states=temb[:, :32]), gate(temb[:, :32]))


# --- which networks, and which shapes

@pytest.mark.parametrize("load", [stable_diffusion.load, vae.load])
def test_the_switch_is_on_only_where_a_shape_is_quicker_and_can_be_left_out(load, monkeypatch):
    for wins, without, expected in (True, [], True), (False, [], False), (True, ["winograd"], False):
        monkeypatch.setattr(convolutions, "wins", lambda *shape, wins=wins: wins)
        model = load("demo", profile="tuned", without=without)
        networks = [model] if load is vae.load else [model.unet, model.vae]
        assert model.info.switches["winograd"] is expected
        assert all(bool(replaced(network)) is expected for network in networks)
    assert not replaced(networks[0]) and not load("demo").info.switches["winograd"]
    assert not load("demo", profile="tuned", dtype="bfloat16").info.switches["winograd"]


def test_a_shape_is_timed_once_in_a_process_and_another_size_when_it_is_met(monkeypatch):
    timed = []
    monkeypatch.setattr(convolutions, "_decided", {})
    monkeypatch.setattr(convolutions, "_is_quicker", lambda *shape: timed.append(shape) or True)
    quick = build("v1")
    assert convolutions.quicken(quick)
    at_loading = len(timed)
    compute(quick)
    compute(quick, batch=1)
    assert len(timed) == len(set(timed)) == at_loading > 4
    compute(quick, side=32)
    assert len(timed) == len(set(timed)) > at_loading


def test_what_another_process_found_is_taken_over_without_timing(monkeypatch):
    monkeypatch.setattr(convolutions, "_decided", {})
    monkeypatch.setattr(convolutions, "_told", False)
    monkeypatch.setattr(convolutions, "_is_quicker", lambda C, *rest: C > 100)
    assert convolutions.wins(320, 64, 64, 256) and not convolutions.wins(32, 8, 8, 32) and convolutions.chosen() == [[320, 64, 64, 256]]
    convolutions.choose([[32, 8, 8, 32]])
    assert convolutions.wins(32, 8, 8, 32) and not convolutions.wins(320, 64, 64, 256)
    assert convolutions.chosen() == [[32, 8, 8, 32]]


def test_what_is_slower_is_left_to_torch(monkeypatch):
    monkeypatch.setattr(convolutions, "convolve", lambda x, kernel, bias: [torch.nn.functional.conv2d(x, kernel, bias) for _ in range(9)])
    assert not convolutions._is_quicker(32, 16, 16, 32)
    monkeypatch.setattr(convolutions, "convolve", lambda x, kernel, bias: None)
    assert convolutions._is_quicker(32, 16, 16, 32)


@pytest.mark.parametrize("name, part, widest", [("v1-5", "unet", (1, 2560, 16, 16, 1280)), ("sdxl", "unet", (1, 2560, 32, 32, 1280)),
                                                ("karlo", "decoder", (1, 2240, 8, 8, 1280)), ("v1-5", "vae", (1, 512, 256, 256, 512)),
                                                ("flux-schnell", "vae", (1, 512, 512, 512, 512))])
def test_the_shapes_of_the_published_networks_are_known_before_a_picture(name, part, widest):
    _, kind, config = PIPELINES[name][1][part]
    with torch.device("meta"):
        network = {"UNet2DConditionModel": UNet2DConditionModel, "AutoencoderKL": AutoencoderKL}[kind](**config)
    shapes, before = convolutions._shapes(network), set(vars(network))
    assert widest in shapes and len(shapes) >= 8
    assert not any(layer._forward_pre_hooks for layer in network.modules()) and set(vars(network)) == before


@pytest.mark.parametrize("name, changes", [("v1", dict(sample_size=None)), ("vae", dict(sample_size=None)),
                                           ("v1", dict(addition_embed_type="image_hint"))])
def test_a_network_without_a_size_or_of_another_kind_stays_as_it_is(name, changes, convolved):
    network = build(name)
    network.register_to_config(**changes)
    assert not convolutions.quicken(network) and not replaced(network)


def test_eight_bit_pictures_of_a_quick_decoder_differ_by_one_level_at_most(convolved):
    plain, quick = build("vae"), build("vae")
    convolutions.quicken(quick)
    first, second = (np.stack(images.to_pil(compute(network))).astype(int) for network in (plain, quick))
    assert first.std() > 10 and abs(first - second).max() <= 1


def test_without_the_kernels_in_c_nothing_is_to_be_repeated_elsewhere(monkeypatch):
    monkeypatch.setattr(convolutions, "_is_quicker", lambda *shape: True)
    assert convolutions.wins(320, 64, 64, 256)
    monkeypatch.setattr(native, "available", lambda: False)
    assert convolutions.chosen() == []
    convolutions.choose([[320, 64, 64, 256]])
    assert convolutions.chosen() == [] and not convolutions.wins(320, 64, 64, 256)
