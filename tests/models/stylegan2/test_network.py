"""The generator against vectors of the original arithmetic (data/golden), and what those cannot show."""

import json
from math import sqrt
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file

from genlib.models import native
from genlib.models.stylegan2.layers import Dense, StyledConv, ToRGB, activate
from genlib.models.stylegan2.low_pass import TAPS, convolve_up, folding, upsample2
from genlib.models.stylegan2.network import SYNTHESIS_DEFAULTS, Generator, read_settings

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
NETWORKS = sorted(path.stem for path in GOLDEN.glob("*.safetensors") if path.stem != "ops")


def read_golden(name):
    """-> tensors, and the header as a dict, with JSON values parsed."""
    path = GOLDEN / f"{name}.safetensors"
    with safe_open(path, "pt") as file:
        header = file.metadata()
    return load_file(path), {k: json.loads(v) for k, v in header.items() if k in ("config", "outputs", "cases", "atol")}


def golden_generator(name):
    tensors, header = read_golden(name)
    G = Generator(**header["config"])
    G.load_state_dict({key[3:]: value for key, value in tensors.items() if key.startswith("sd.")}, strict=True)
    return G.eval().requires_grad_(False), tensors, header


def small(**synthesis_kwargs):
    """A generator of 32 px whose noise, biases and w_avg are not zero."""
    torch.manual_seed(0)
    G = Generator(16, 0, 16, 32, 3, {"num_layers": 2}, {"channel_base": 256, "channel_max": 16} | synthesis_kwargs)
    with torch.no_grad():
        G.mapping.w_avg.normal_()
        for name, parameter in G.named_parameters():
            if name.endswith(("noise_strength", "bias")):
                parameter.add_(0.3 * torch.randn_like(parameter))
    return G.eval().requires_grad_(False)


def watch_blocks(G):
    """-> a dict that each later call fills: by resolution, the (feature map, image) that leave the block."""
    seen = {}
    for r in G.synthesis.block_resolutions:
        getattr(G.synthesis, f"b{r}").register_forward_hook(lambda module, args, out, r=r: seen.__setitem__(r, out))
    return seen


def difference(a, b):
    return (a.float() - b.float()).abs().max().item()


# --- golden vectors


def golden_output(G, tensors, name, settings):
    z, c = tensors["in.z"], tensors.get("in.c")
    if settings["kind"] == "mapping":
        return G.mapping(z, c, settings["truncation_psi"], settings["truncation_cutoff"])
    if settings["kind"] == "uint8":
        source = tensors[f"out.{settings['source']}"]
        return (source * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    if "ws" not in settings:  # files of the TensorFlow code have psi instead
        return G(z, c, settings["truncation_psi"], noise_mode=settings["noise_mode"], force_fp32=settings["force_fp32"])
    ws = tensors[settings["ws"] if settings["ws"].startswith("in.") else f"out.{settings['ws']}"]
    seen = watch_blocks(G)
    image = G.synthesis(ws[slice(*settings.get("rows", [None]))], settings["noise_mode"], settings["force_fp32"])
    if settings["kind"] == "image":
        return image
    _, block, what = name.split("_")  # trace_b8_img
    return seen[int(block[1:])][what == "img"]


@pytest.mark.parametrize("grad", [False, True], ids=["overwriting", "as_autograd_needs_it"])
@pytest.mark.parametrize("fewer_passes", [False, True], ids=["", "fewer_passes"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_gives_the_golden_outputs(name, fewer_passes, grad):
    G, tensors, header = golden_generator(name)
    G.requires_grad_(grad)
    if fewer_passes:
        G.synthesis.save_passes()
    for output, settings in header["outputs"].items():
        with torch.set_grad_enabled(grad):
            ours = golden_output(G, tensors, output, settings).detach()
        expected = tensors[f"out.{output}"]
        assert ours.shape == expected.shape and ours.dtype == expected.dtype, output
        error = (ours.float() - expected.float()).abs()
        assert error.max() <= settings["atol"], (output, error.max())
        assert error.mean() <= settings.get("mean_atol", torch.inf), (output, error.mean())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_new_network_has_the_keys_and_filters_of_the_files(name):
    tensors, header = read_golden(name)
    ours = Generator(**header["config"]).state_dict()
    stored = {key[3:]: value for key, value in tensors.items() if key.startswith("sd.")}
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in stored.items()}
    for key, value in ours.items():
        if key.endswith("resample_filter"):
            assert difference(value, stored[key]) < 1e-7, key


def style_layer(layer, weight, style):
    """The layer with this weight, without bias, and with an affine part by which w itself is the style."""
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.zero_()
        layer.affine.weight.copy_(torch.eye(style.shape[1]) * sqrt(style.shape[1]))
        layer.affine.bias.zero_()
    return layer.requires_grad_(False)


OPS = read_golden("ops")[1]["cases"]


@pytest.mark.parametrize("case", [case for case in OPS if case.startswith("modconv")])
def test_modulated_convolution_gives_the_golden_outputs_for_a_batch_and_for_one(case):
    tensors, header = read_golden("ops")
    x, style, weight, expected = (tensors[f"{case}.{key}"] for key in ("x", "style", "weight", "y"))
    (n_out, n_in, size, _), up = weight.shape, OPS[case]["up"] == 2
    if OPS[case]["demodulate"]:
        kwargs = {"activation": "linear", "kernel_size": size, "resample_filter": OPS[case]["taps"], "use_noise": False}
        layer = style_layer(StyledConv(n_in, n_out, n_in, 8, up, read_settings("", kwargs, SYNTHESIS_DEFAULTS)), weight, style)
    else:
        layer, style = style_layer(ToRGB(n_in, n_out, n_in, None), weight, style), style * sqrt(n_in)  # the layer divides by sqrt(in)
    assert difference(layer(x, style), expected) <= header["atol"]
    for i in range(len(x)):
        assert difference(layer(x[i : i + 1], style[i : i + 1]), expected[i : i + 1]) <= header["atol"]


@pytest.mark.parametrize("case", [case for case in OPS if case.startswith("act")])
def test_activations_give_the_golden_outputs(case):
    tensors, header = read_golden("ops")
    settings, x = OPS[case], tensors[f"{case}.x"] + tensors[f"{case}.bias"][:, None, None]
    default = {"linear": 1, "lrelu": sqrt(2), "relu": sqrt(2), "swish": sqrt(2)}.get(settings["activation"], 1)
    gain = default if isinstance(settings["gain"], str) else settings["gain"]
    assert difference(activate(x, settings["activation"], gain, settings["clamp"]), tensors[f"{case}.y"]) <= header["atol"]


@pytest.mark.parametrize("case", [case for case in OPS if case.startswith("act") and not OPS[case]["clamp"]])
def test_a_styled_convolution_applies_bias_activation_and_gain_in_the_golden_order(case):
    tensors, header = read_golden("ops")
    x, settings = tensors[f"{case}.x"], {"activation": OPS[case]["activation"], "kernel_size": 1, "use_noise": False}
    layer = style_layer(
        StyledConv(3, 3, 3, 4, False, read_settings("", settings, SYNTHESIS_DEFAULTS)), torch.eye(3)[:, :, None, None], torch.ones(2, 3)
    )
    layer.bias.copy_(tensors[f"{case}.bias"])
    assert difference(layer(x, torch.ones(2, 3)), tensors[f"{case}.y"]) <= header["atol"]


@pytest.mark.parametrize("case", [case for case in OPS if case.startswith("up2")])
def test_upsampling_gives_the_golden_outputs(case):
    tensors, header = read_golden("ops")
    ours = upsample2(tensors[f"{case}.x"], tensors[f"{case}.filter"])
    assert difference(ours, tensors[f"{case}.y"]) <= header["atol"]


def test_the_dense_layer_gives_the_golden_output():
    tensors, header = read_golden("ops")
    weight = tensors["dense.weight"]
    layer = Dense(weight.shape[1], weight.shape[0], OPS["dense"]["activation"], OPS["dense"]["lr_multiplier"])
    layer.load_state_dict({"weight": weight, "bias": tensors["dense.bias"]})
    assert difference(layer(tensors["dense.x"]), tensors["dense.y"]) <= header["atol"]


@pytest.mark.parametrize("mode", ["const", "random", "none"])
@pytest.mark.parametrize("n", [1, 3])
def test_with_fewer_passes_the_pictures_are_the_same_for_one_and_for_a_batch_with_any_noise(n, mode):
    G, z, pictures = small(num_fp16_res=2, conv_clamp=256), torch.randn(n, 16), []
    for _ in range(2):
        for force_fp32 in True, False:
            torch.manual_seed(1)
            pictures.append(G(z, noise_mode=mode, force_fp32=force_fp32))
        G.synthesis.save_passes()
    exact, half, quick_exact, quick_half = pictures
    assert 0 < difference(quick_exact, exact) < 1e-5 * exact.abs().max(), "equal to the bit would mean that nothing changed"
    assert difference(quick_half, exact) < 1.5 * difference(half, exact)


@pytest.mark.skipif(not native.available(), reason="no C compiler here")
@pytest.mark.parametrize("mode", ["const", "random", "none"])
@pytest.mark.parametrize("n", [1, 3])
def test_by_the_cpus_own_kernels_the_pictures_are_the_same_for_one_and_for_a_batch_with_any_noise(n, mode, monkeypatch):
    G, z, pictures, seen = small(channel_base=2048, channel_max=64, conv_clamp=256), torch.randn(n, 16), [], []
    own = native.convolve
    monkeypatch.setattr(native, "convolve", lambda x, *others, **more: seen.append(more["taps"]) or own(x, *others, **more))
    for _ in range(2):
        torch.manual_seed(1)
        with torch.no_grad():
            pictures.append(G(z, noise_mode=mode))
        G.synthesis.use_winograd()
    assert 0 < difference(*pictures) < 1e-5 * pictures[0].abs().max()
    assert None in seen and tuple(TAPS) in seen
    count, w = len(seen), G.mapping(z).detach().requires_grad_()
    G.synthesis(w, noise_mode="const").sum().backward()
    assert w.grad.abs().sum() > 0 and len(seen) == count, "where a style needs gradients, torch computes"


@pytest.mark.gpu
@pytest.mark.parametrize("n", [1, 3])
def test_on_a_gpu_too_the_pictures_are_the_same_with_fewer_passes(n):
    G, z, pictures = small(channel_base=8192, channel_max=128, num_fp16_res=3, conv_clamp=256).cuda(), torch.randn(n, 16), []
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for _ in range(2):
            pictures += [G(z, noise_mode="const", force_fp32=force_fp32) for force_fp32 in (True, False)]
            G.synthesis.save_passes()
    exact, half, quick_exact, quick_half = pictures
    assert 0 < difference(quick_exact, exact) < 1e-4 * exact.abs().max()
    assert 0 < difference(quick_half, exact) < 2 * difference(half, exact)


def test_the_filter_is_folded_into_kernels_of_three_by_three_where_both_fit_into_six_by_six():
    for taps, size, expected in ([1, 3, 3, 1], 3, True), (None, 3, True), ([1, 2, 3, 2, 1], 3, False), (list(range(1, 9)), 3, False), \
                                ([1, 3, 3, 1], 1, False), ([1, 3, 3, 1], 5, False):
        G = Generator(8, 0, 8, 16, 3, synthesis_kwargs=dict(channel_base=256, channel_max=8, resample_filter=taps, kernel_size=size))
        keys = G.state_dict().keys()
        G.synthesis.save_passes()
        folded = [layer.folding is not None for layer in G.modules() if isinstance(layer, StyledConv)]
        assert folded == [False, expected, False, expected, False] and G.state_dict().keys() == keys


def test_where_a_map_has_fewer_pixels_than_channels_its_filter_is_not_folded():
    layer = StyledConv(32, 4, 5, 8, True, read_settings("", {}, SYNTHESIS_DEFAULTS)).requires_grad_(False)
    x = torch.randn(2, 32, 4, 4)
    expected = [layer.convolve(maps, layer.weight) for maps in (x[:1], x)]
    layer.save_passes()
    assert torch.equal(layer.convolve(x[:1], layer.weight), expected[0])
    assert 0 < difference(layer.convolve(x, layer.weight), expected[1]) < 1e-4


def test_upsampling_by_the_default_filter_mixes_one_to_three_and_three_to_one():
    x = torch.tensor([4.0, 8.0, 16.0]).expand(1, 1, 3, 3)
    weights = torch.outer(torch.tensor([1, 3, 3, 1]) / 8, torch.tensor([1, 3, 3, 1]) / 8)
    row = upsample2(x, weights)[0, 0, 2]
    assert row.tolist() == [3, 5, 7, 10, 14, 12]  # (0 + 3*4)/4, (3*4 + 8)/4, (4 + 3*8)/4, ...


def test_a_filter_of_eight_taps_is_stored_as_a_vector_and_upsamples_as_its_outer_product():
    G = small(resample_filter=[1, 2, 3, 4, 5, 4, 2, 1])
    taps = G.synthesis.b8.resample_filter
    assert taps.shape == (8,) and taps.sum() == pytest.approx(1)
    x = torch.randn(1, 2, 4, 4)
    assert difference(upsample2(x, taps), upsample2(x, torch.outer(taps, taps))) < 1e-6
    assert G(torch.randn(2, 16)).shape == (2, 3, 32, 32)


def zeros_between(x):
    """[N, C, H, W] -> [N, C, 2H, 2W], with the samples at even positions."""
    spread = torch.zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    spread[:, :, ::2, ::2] = x
    return spread


@pytest.mark.parametrize("K", [1, 3, 5])
@pytest.mark.parametrize("taps", [None, 2, [3], [1, 2], [1, 2, 4], [1, 3, 3, 1], [1, 2, 3, 4, 5]])
def test_every_filter_upsamples_and_convolves_as_zeros_then_the_filter_then_the_kernel(taps, K):
    torch.manual_seed(0)
    settings = read_settings("", dict(resample_filter=taps, kernel_size=K, use_noise=False, activation="linear"), SYNTHESIS_DEFAULTS)
    layer, x, t = StyledConv(2, 3, 4, 8, True, settings), torch.randn(1, 2, 4, 4), len(taps) if isinstance(taps, list) else 1
    fir = 4 * layer.resample_filter.flip(0, 1).expand(2, 1, t, t)

    def filtered(before, after):  # negative numbers crop
        return F.conv2d(F.pad(zeros_between(x), [before, after, before, after]), fir, groups=2)

    assert difference(upsample2(x, layer.resample_filter), filtered((t + 1) // 2, (t - 2) // 2)) < 1e-5
    expected = F.conv2d(filtered(K // 2 + (t + 1) // 2, K // 2 + (t - 2) // 2), layer.weight.flip(2, 3))
    assert difference(layer.convolve(x, layer.weight), expected) < 1e-5


@pytest.mark.parametrize("grad", [False, True], ids=["copied_in_large_numbers", "as_autograd_needs_it"])
@pytest.mark.parametrize("outputs", [5, 6])
@pytest.mark.parametrize("taps", [None, 2, [1, 2], [1, 2, 4], [1, 3, 3, 1], [3, 1, 1, 5]])
def test_folded_into_one_convolution_every_filter_gives_what_zeros_the_filter_and_the_kernel_give(taps, outputs, grad):
    torch.manual_seed(0)
    settings = read_settings("", dict(resample_filter=taps), SYNTHESIS_DEFAULTS)
    layer, x = StyledConv(4, outputs, 4, 8, True, settings).double().requires_grad_(grad), torch.randn(2, 4, 5, 7).double()
    ours, plain = convolve_up(x, layer.weight, folding(layer.resample_filter)), layer.convolve(x, layer.weight)
    assert ours.is_contiguous(memory_format=torch.channels_last) and (ours - plain).abs().max() < 1e-13
    if grad:
        ours, plain = (torch.autograd.grad(y.square().sum(), layer.weight)[0] for y in (ours, plain))
        assert (ours - plain).abs().max() < 1e-10


def test_without_a_filter_each_sample_stands_alone():
    G = small(resample_filter=None, architecture="resnet")
    assert G.synthesis.b8.resample_filter.tolist() == [[1]] and G.synthesis.b8.conv1.resample_filter.shape == (4, 4)
    assert G(torch.randn(2, 16)).shape == (2, 3, 32, 32)


# --- mixed precision


def test_mixed_precision_gives_float16_maps_in_the_highest_resolutions_only():
    G, tensors, _ = golden_generator("e_skip64_fp16")
    seen, ws = watch_blocks(G), tensors["out.w_psi1"]
    for rows in (1, 2):
        mixed = G.synthesis(ws[:rows], "const")
        assert {r: x.dtype for r, (x, img) in seen.items()} == {r: torch.float16 if r >= 32 else torch.float32 for r in (4, 8, 16, 32, 64)}
        assert all(img.dtype == torch.float32 for x, img in seen.values())
        forced = G.synthesis(ws[:rows], "const", force_fp32=True)
        assert all(x.dtype == torch.float32 for x, img in seen.values())
        assert 1e-4 < difference(mixed, forced) < 0.05


def test_float16_never_reaches_the_first_block():
    G = small(num_fp16_res=10)
    seen = watch_blocks(G)
    G(torch.randn(1, 16))
    assert [x.dtype == torch.float16 for x, img in seen.values()] == [False, True, True, True]


def test_the_attribute_force_fp32_acts_like_the_argument():
    G, tensors, _ = golden_generator("e_skip64_fp16")
    forced = G.synthesis(tensors["out.w_psi1"], "const", force_fp32=True)
    G.synthesis.force_fp32 = True
    assert torch.equal(G.synthesis(tensors["out.w_psi1"], "const"), forced)
    assert difference(G(tensors["in.z"], noise_mode="const"), forced) < 1e-4


@pytest.mark.parametrize("fewer_passes", [False, True], ids=["", "fewer_passes"])
def test_large_values_do_not_overflow_float16(fewer_passes):
    G = small(num_fp16_res=3, conv_clamp=256)
    if fewer_passes:
        G.synthesis.save_passes()
    for name, parameter in G.named_parameters():
        if name.endswith(("conv0.weight", "conv1.weight")):
            parameter.mul_(1e5)
        elif name.endswith(("conv0.affine.weight", "conv1.affine.weight")):
            parameter.mul_(1e3)
    for n in (1, 2):
        z = torch.randn(n, 16)
        mixed, forced = G(z, noise_mode="none"), G(z, noise_mode="none", force_fp32=True)
        assert mixed.isfinite().all() and difference(mixed, forced) < 0.01 * forced.abs().max()


@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 0.2), (torch.float16, 0.03)])
def test_a_network_cast_as_a_whole_has_maps_of_that_dtype_and_a_float32_image(dtype, tolerance):
    G, z = small(), torch.randn(2, 16)
    full = G(z, noise_mode="const")
    seen = watch_blocks(G.to(dtype))
    image = G(z, noise_mode="const")
    assert all(x.dtype == dtype for x, img in seen.values()) and image.dtype == torch.float32
    assert 0 < difference(image, full) < tolerance * full.std()
    G(z, noise_mode="const", force_fp32=True)
    assert all(x.dtype == torch.float32 for x, img in seen.values())


# --- noise


def test_random_noise_is_fresh_in_each_call_and_in_each_sample():
    G = small()
    z = torch.randn(1, 16).repeat(2, 1)
    first, second = G(z), G(z)
    assert difference(first, second) > 1e-2
    assert difference(first[0], first[1]) > 1e-2
    assert difference(*G(z, noise_mode="const").split(1)) < 1e-5
    torch.manual_seed(1)
    first = G(z)
    torch.manual_seed(1)
    assert torch.equal(first, G(z))


def test_noise_of_zero_strength_changes_nothing():
    G, z = small(), torch.randn(2, 16)
    assert difference(G(z, noise_mode="const"), G(z, noise_mode="none")) > 1e-2
    for name, parameter in G.named_parameters():
        if name.endswith("noise_strength"):
            parameter.zero_()
    none = G(z, noise_mode="none")
    assert difference(G(z, noise_mode="random"), none) == difference(G(z, noise_mode="const"), none) == 0


@pytest.mark.parametrize("n", [1, 4])
def test_noise_is_one_standard_normal_map_for_all_channels_times_the_strength(n):
    settings = read_settings("", {"activation": "linear"}, SYNTHESIS_DEFAULTS)
    layer = StyledConv(8, 6, 5, 64, False, settings).requires_grad_(False)
    layer.noise_strength.fill_(-0.7)
    x, w = torch.randn(n, 8, 64, 64), torch.randn(n, 5)
    without = layer(x, w, "none")
    added = layer(x, w, "random") - without
    assert difference(added, added[:, :1].expand_as(added)) < 1e-5
    assert added[:, 0].std() == pytest.approx(0.7, abs=0.04) and abs(added.mean()) < 0.05
    added = layer(x, w, "const") - without
    assert difference(added, (-0.7 * layer.noise_const).expand_as(added)) < 1e-5


# --- style vectors


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_each_style_vector_reaches_the_layers_of_its_index(architecture):
    G = small(architecture=architecture)
    ws, used = torch.randn(1, G.num_ws, 16), {}
    for name, module in G.synthesis.named_modules():
        if isinstance(module, StyledConv | ToRGB):
            module.register_forward_hook(lambda module, args, out, name=name: used.__setitem__(name, args[1]))
    G.synthesis(ws)
    expected = {"b4.conv1": 0}
    for k, r in enumerate((8, 16, 32), start=1):
        expected |= {f"b{r}.conv0": 2 * k - 1, f"b{r}.conv1": 2 * k}
    expected |= {f"b{r}.torgb": 2 * k + 1 for k, r in enumerate((4, 8, 16, 32)) if architecture == "skip" or r == 32}
    assert used.keys() == expected.keys()
    for name, index in expected.items():
        assert torch.equal(used[name], ws[:, index]), name


def test_truncation_draws_the_first_vectors_towards_the_mean():
    G, z = small(), torch.randn(2, 16)
    full, mean = G.mapping(z), G.mapping.w_avg
    for psi in (0.7, 0, 1.5, -1):
        assert difference(G.mapping(z, None, psi), mean + psi * (full - mean)) < 1e-5
    cut = G.mapping(z, None, 0.5, 3)
    assert difference(cut[:, :3], (full[:, :3] + mean) / 2) < 1e-5 and torch.equal(cut[:, 3:], full[:, 3:])
    assert torch.equal(G.mapping(z, None, 0.5, 0), full) and torch.equal(G.mapping(z, None, 1, -2), full)
    with pytest.raises(ValueError, match="truncation_cutoff is -2: pass how many of the 8 vectors to truncate, or None for all"):
        G.mapping(z, None, 0.5, -2)


def test_psi_of_one_skips_truncation_even_with_a_cutoff():
    G, z = small(), torch.randn(2, 16)
    G.mapping.w_avg.fill_(torch.nan)
    assert torch.equal(G.mapping(z, None, 1, 4), G.mapping(z)) and G.mapping(z, None, 1, 4).isfinite().all()
    assert G.mapping(z, None, 0.5).isnan().all()


def test_style_vectors_may_be_edited_in_place():
    ws = small().mapping(torch.randn(2, 16))
    before = ws[:, 3:].clone()
    ws[:, :3] = 0
    assert torch.equal(ws[:, 3:], before)


def test_a_network_without_labels_ignores_c_and_any_dtype_of_z_will_do():
    G, z = small(), torch.randn(2, 16)
    image = G(z, None, noise_mode="const")
    assert torch.equal(G(z, noise_mode="const"), image) and torch.equal(G(z, torch.ones(2, 0), noise_mode="const"), image)
    assert torch.equal(G(z.double(), noise_mode="const"), image)


def test_a_network_without_z_draws_from_the_label_alone():
    G, c = Generator(0, 3, 8, 8, 3, {"num_layers": 1}, {"channel_base": 32}).requires_grad_(False), torch.eye(3)[:2] * 2
    label = c @ G.mapping.embed.weight.T / sqrt(3)
    expected = G.mapping.fc0(label / label.square().mean(1, keepdim=True).add(1e-8).sqrt())
    assert difference(G.mapping(torch.zeros(2, 0), c), expected[:, None].expand(-1, 4, -1)) < 1e-6
    assert torch.equal(G(None, c, noise_mode="const"), G(torch.ones(2, 5), c, noise_mode="const")) and G(None, c).shape == (2, 3, 8, 8)
    with pytest.raises(ValueError, match="c has shape None"):
        G(None)


def test_a_label_may_be_embedded_into_nothing():
    G, z = Generator(8, 3, 8, 8, 3, {"num_layers": 1, "embed_features": 0}, {"channel_base": 32}).requires_grad_(False), torch.randn(2, 8)
    assert torch.equal(G(z, torch.eye(3)[:2], noise_mode="const"), G(z, torch.ones(2, 3), noise_mode="const"))


def test_inputs_are_left_as_they_were():
    G, z = small(conv_clamp=1), torch.randn(1, 16)
    ws = G.mapping(z)
    seen, copies = watch_blocks(G), (z.clone(), ws.clone(), {key: value.clone() for key, value in G.state_dict().items()})
    first = G.synthesis(ws, "const")
    maps = {r: x for r, (x, img) in seen.items()}
    trace = {r: x.clone() for r, x in maps.items()}
    assert torch.equal(G.synthesis(ws, "const"), first)
    assert torch.equal(z, copies[0]) and torch.equal(ws, copies[1])
    assert all(torch.equal(value, copies[2][key]) for key, value in G.state_dict().items())
    assert all(torch.equal(maps[r], trace[r]) for r in maps)


# --- batches, gradients


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_a_batch_gives_what_its_samples_give_alone(architecture):
    G, z = small(architecture=architecture), torch.randn(3, 16)
    singles = torch.cat([G(row, noise_mode="const") for row in z.split(1)])
    assert difference(G(z, noise_mode="const"), singles) < 1e-4


def test_batches_of_large_images_are_made_sample_by_sample():
    G = Generator(8, 0, 8, 2048, 1, {"num_layers": 1}, {"channel_base": 4096, "channel_max": 2}).requires_grad_(False)
    seen, ws = watch_blocks(G), G.mapping(torch.randn(2, 8))
    image = G.synthesis(ws, "const")
    assert image.shape == (2, 1, 2048, 2048) and all(len(x) == 1 for x, img in seen.values())
    assert torch.equal(image[1:], G.synthesis(ws[1:], "const"))


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("architecture, activation", [("skip", "lrelu"), ("resnet", "lrelu"), ("skip", "swish"), ("skip", "tanh")])
def test_gradients_match_finite_differences(n, architecture, activation):
    G = small(architecture=architecture, activation=activation, conv_clamp=8).requires_grad_(True)
    z = torch.randn(n, 16, requires_grad=True)
    target = torch.randn(n, 3, 32, 32)
    loss = lambda: (G(z, noise_mode="const") * target).mean()  # noqa: E731
    loss().backward()
    assert z.grad.isfinite().all() and z.grad.abs().max() > 0
    for name, parameter in G.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    for parameter in (G.synthesis.b16.conv0.weight, G.synthesis.b32.conv1.bias, G.synthesis.b8.conv1.affine.weight, G.mapping.fc0.weight):
        direction = parameter.grad / parameter.grad.norm()
        step = 1e-2 * parameter.detach().std().clamp_min(0.1)
        with torch.no_grad():
            parameter += step * direction
            above = loss()
            parameter -= 2 * step * direction
            below = loss()
            parameter += step * direction
        assert ((above - below) / (2 * step)).item() == pytest.approx(parameter.grad.norm().item(), rel=0.05)


# --- weights come and go


@pytest.mark.parametrize("low_cpu_mem_usage", [True, False])
@pytest.mark.parametrize("name", ["b_skip32_cond5", "h_odd16", "c_resnet32"])
def test_a_saved_network_comes_back_the_same(name, low_cpu_mem_usage, tmp_path):
    G, tensors, header = golden_generator(name)
    G.save_pretrained(tmp_path)
    H = Generator.from_pretrained(tmp_path, low_cpu_mem_usage=low_cpu_mem_usage).requires_grad_(False)
    assert {key: H.config[key] for key in header["config"]} == header["config"]
    assert H.state_dict().keys() == G.state_dict().keys()
    assert all(torch.equal(value, G.state_dict()[key]) for key, value in H.state_dict().items())
    image = [N(tensors["in.z"], tensors.get("in.c"), 0.7, noise_mode="const") for N in (G, H)]
    assert torch.equal(*image)


@pytest.mark.parametrize("n", [1, 2])
def test_new_weights_show_in_the_next_call(n):
    G, z = small(), torch.randn(n, 16)
    G(z)  # a stale copy would be made here
    other = small()
    for parameter in other.parameters():
        parameter.mul_(1.3).add_(0.1)
    expected = other(z, noise_mode="const")
    assert difference(G(z, noise_mode="const"), expected) > 1e-2
    G.load_state_dict(other.state_dict())
    assert torch.equal(G(z, noise_mode="const"), expected)

    H = small()
    H(z)
    H.load_state_dict({key: value.clone() for key, value in other.state_dict().items()}, assign=True)
    assert torch.equal(H(z, noise_mode="const"), expected)

    K = small()
    K(z)
    for parameter in K.parameters():
        parameter.data.mul_(1.3).add_(0.1)  # past autograd's version counter
    assert torch.equal(K(z, noise_mode="const"), expected)


def test_a_network_cast_to_and_fro_computes_with_the_rounded_weights():
    G, z = small(), torch.randn(2, 16)
    before = G(z, noise_mode="const")
    rounded = small()
    rounded.load_state_dict({key: value.bfloat16().float() for key, value in G.state_dict().items()})
    G.to(torch.bfloat16)(z)
    after = G.to(torch.float32)(z, noise_mode="const")
    assert torch.equal(after, rounded(z, noise_mode="const")) and not torch.equal(after, before)


def test_weights_loaded_under_inference_mode_and_networks_built_on_meta_work():
    with torch.device("meta"):
        G = Generator(16, 0, 16, 32, 3, {"num_layers": 2}, {"channel_base": 256, "channel_max": 16})
    with torch.inference_mode():
        G.load_state_dict({key: value.clone() for key, value in small().state_dict().items()}, assign=True)
        z = torch.randn(2, 16)
        assert torch.equal(G(z, noise_mode="const"), small()(z, noise_mode="const"))


@pytest.mark.parametrize(
    "resolution, c_dim, base, layers, num_ws, parameters, buffer_values, entries",
    [
        (1024, 0, 32768, 8, 18, 30_370_060, 2_797_104, 182),
        (512, 0, 32768, 8, 16, 30_276_583, 699_904, 163),
        (256, 0, 32768, 8, 14, 30_034_338, 175_568, 144),
        (256, 0, 16384, 8, 14, 24_767_458, 175_568, 144),
        (32, 10, 32768, 2, 8, 20_215_315, 3_392, 77),
    ],
)
def test_the_numbers_of_parameters_are_the_published_ones(resolution, c_dim, base, layers, num_ws, parameters, buffer_values, entries):
    with torch.device("meta"):
        G = Generator(512, c_dim, 512, resolution, 3, {"num_layers": layers}, {"channel_base": base})
    assert (G.z_dim, G.c_dim, G.w_dim, G.img_resolution, G.img_channels, G.num_ws) == (512, c_dim, 512, resolution, 3, num_ws)
    assert sum(p.numel() for p in G.parameters()) == parameters
    assert sum(b.numel() for b in G.buffers()) == buffer_values
    assert len(G.state_dict()) == entries
    assert sum(p.numel() for p in G.mapping.parameters()) == 2_101_248 or layers != 8


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_the_smallest_network_is_one_block(architecture):
    G = Generator(8, 0, 8, 4, 3, None, {"channel_base": 32, "architecture": architecture})
    assert G.num_ws == 2 and G(torch.randn(2, 8)).shape == (2, 3, 4, 4)


# --- mistakes


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"mapping_kwargs": {"layers": 2}}, "mapping_kwargs has no keyword 'layers': choose among num_layers"),
        ({"synthesis_kwargs": {"channel_bas": 1}}, "synthesis_kwargs has no keyword 'channel_bas'"),
        ({"synthesis_kwargs": {"architecture": "stylegan3"}}, "architecture is 'stylegan3'"),
        ({"synthesis_kwargs": {"activation": "gelu"}}, "activation is 'gelu'"),
        ({"synthesis_kwargs": {"kernel_size": 4}}, "kernel_size is 4"),
        ({"img_resolution": 48}, "img_resolution is 48"),
        ({"img_resolution": 2}, "img_resolution is 2"), ({"z_dim": 0}, "z_dim and c_dim are both 0"),
    ],
)
def test_unknown_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Generator(**({"z_dim": 8, "c_dim": 0, "w_dim": 8, "img_resolution": 8, "img_channels": 3} | changes))


def test_inputs_of_a_wrong_shape_are_refused_with_the_shape():
    G = Generator(8, 3, 8, 8, 3, {"num_layers": 1, "w_avg_beta": None}, {"channel_base": 32})
    z, c = torch.randn(2, 8), torch.eye(3)[:2]
    for arguments, message in [
        (((torch.randn(2, 9), c)), r"z has shape \[2, 9\]: pass \[N, 8\]"),
        ((torch.randn(8), c), r"z has shape \[8\]"),
        ((z,), "c has shape None: pass a label for each z"),
        ((z, c[:1]), r"c has shape \[1, 3\]"),
        ((z, torch.eye(4)[:2]), r"c has shape \[2, 4\]"),
        ((z, c, 0.7), "truncation_psi is 0.7, but the network has no w_avg"),
        ((z, c, 1, None, "fixed"), "noise_mode is 'fixed'"),
    ]:
        with pytest.raises(ValueError, match=message):
            G(*arguments)
    with pytest.raises(ValueError, match=r"ws has shape \[2, 3, 8\]: pass \[N, 4, 8\]"):
        G.synthesis(torch.randn(2, 3, 8))
    assert "mapping.w_avg" not in G.state_dict()
