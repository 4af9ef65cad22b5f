"""The tuned profile: which switches a machine gets; each can be left out; the pictures stay the same."""
import itertools
import json
import mmap
import struct
from pathlib import Path

import pytest
import torch
from diffusers import PNDMScheduler
from drawing import draw, face

from genlib import device, measure, quality, system
from genlib.models import forward, images, stable_diffusion, stylegan2, tuned, vae
from genlib.record import SAME_DB


def attention_takes(monkeypatch, own, cudnn):
    """Set the times that torch's own choice and cuDNN's take, or the error that one raises."""
    times = itertools.cycle([own, cudnn])

    def time(x):
        if isinstance(value := next(times), Exception):
            raise value
        return value

    monkeypatch.setattr(forward, "_attention_s", time)


@pytest.fixture
def gpu(monkeypatch):
    """A CUDA device, as far as choosing switches goes."""
    monkeypatch.setattr(device, "pick", lambda: torch.device("cuda"))
    attention_takes(monkeypatch, 1.0, 0.5)
    monkeypatch.setattr(torch, "ones", lambda *shape, **options: torch.zeros(1))


# --- which switches

def test_a_gpu_gets_what_only_a_gpu_is_good_for_and_a_cpu_does_not(gpu, monkeypatch):
    on_gpu = stable_diffusion.switches(torch.float16, own=True, expected_images=1)
    assert on_gpu["unet_cuda_graph"] and on_gpu["scheduler_on_cpu"] and on_gpu["unet_channels_last"]
    monkeypatch.setattr(device, "pick", lambda: torch.device("cpu"))
    monkeypatch.setattr(system, "PAGES", Path(__file__))
    on_cpu = stable_diffusion.switches(torch.float32, own=True, expected_images=10**6)
    assert {name for name, on in on_cpu.items() if on} == {"vae_slicing", "skip_equal_guidance", "inference_mode", "release_weights",
                                                              "winograd"}
    assert on_cpu.keys() == on_gpu.keys()


def test_the_scheduler_stays_on_the_cpu_beside_apples_gpu_too(monkeypatch):
    monkeypatch.setattr(device, "pick", lambda: torch.device("mps"))
    on = {name for name, good in stable_diffusion.switches(torch.float16, own=True, expected_images=10**6).items() if good}
    assert on == {"vae_slicing", "skip_equal_guidance", "inference_mode", "scheduler_on_cpu"}


def test_compiling_is_for_many_images_and_for_gpus(gpu, monkeypatch):
    monkeypatch.setattr(forward, "can_compile", lambda: True)
    few, many = (stable_diffusion.switches(torch.float16, True, count) for count in (5, tuned.COMPILE_PAYS_FROM))
    assert not few["compile"] and not few["vae_compile"] and many["compile"] and many["vae_compile"]


def test_compiling_is_tried_before_it_is_chosen(gpu, monkeypatch, capsys):
    def compile(call):
        if broken:
            raise RuntimeError("fatal error: Python.h: No such file or directory\nand more")
        return call

    monkeypatch.setattr(torch, "compile", compile)
    for broken in False, True:
        assert stable_diffusion.switches(torch.float16, own=True, expected_images=10**6)["compile"] is not broken
    assert capsys.readouterr().out == "not compiled: fatal error: Python.h: No such file or directory\n"


def test_cudnns_attention_is_taken_where_it_was_quicker_and_never_in_float32(gpu, monkeypatch):
    assert forward.cudnn_attention_wins(torch.float16) and not forward.cudnn_attention_wins(torch.float32)
    attention_takes(monkeypatch, 1.0, 0.99)
    assert not forward.cudnn_attention_wins(torch.float16), "1 % is noise"
    attention_takes(monkeypatch, 1.0, RuntimeError("No available kernel. Aborting execution."))
    assert not forward.cudnn_attention_wins(torch.float16), "a card without it"


def test_a_pipeline_of_another_class_gets_only_what_holds_for_every_class(gpu):
    other = stable_diffusion.switches(torch.float16, own=False, expected_images=10**6)
    assert {name for name, on in other.items() if on} == {"vae_slicing", "unet_channels_last"}


def test_the_thesis_profile_has_no_switch_on(monkeypatch):
    monkeypatch.setattr(system, "huge_pages", lambda: False)
    for info in stable_diffusion.load("demo").info, vae.load("demo").info, stylegan2.load("demo").info:
        assert info.switches and not any(info.switches.values())


@pytest.mark.parametrize("load", [stable_diffusion.load, vae.load, stylegan2.load])
def test_each_switch_can_be_left_out_alone_and_another_name_is_refused(load, monkeypatch):
    switches = load("demo", profile="tuned").info.switches
    on = {name for name, is_on in switches.items() if is_on}
    for name in on:
        left = load("demo", profile="tuned", without=[name]).info.switches
        assert {other for other, is_on in left.items() if is_on} == on - {name}
    with pytest.raises(ValueError, match="without names 'magic': use some of "):
        load("demo", profile="tuned", without=["magic"])


@pytest.mark.parametrize("profile", ["thesis", "tuned"])
def test_huge_pages_are_set_by_the_environment_and_reported_in_either_profile(monkeypatch, profile):
    for pages in True, False:
        monkeypatch.setattr(system, "huge_pages", lambda pages=pages: pages)
        assert stylegan2.load("demo", profile=profile).info.switches["huge_pages"] is pages


def test_without_skip_equal_guidance_both_branches_are_computed(capsys):
    loaded = stable_diffusion.load("demo", profile="tuned", without=["skip_equal_guidance"])
    batches = []
    loaded.unet.register_forward_hook(lambda module, inputs, output: batches.append(len(inputs[0])))
    draw(loaded, steps=1)
    assert batches == [2] and "guidance skipped" not in capsys.readouterr().out


def test_with_an_ip_adapter_the_same_prompt_is_not_the_same_guidance():
    loaded = stable_diffusion.load("demo", profile="tuned")
    for kind, scale in ("ip_image_proj", 3.0), (None, 1.0):
        loaded.unet.register_to_config(encoder_hid_dim_type=kind)
        loaded._guidance_scale = 3.0
        loaded.encode_prompt("", loaded.device, 1, True)
        assert loaded.guidance_scale == scale


def test_inference_mode_is_on_while_the_tuned_pipeline_draws_and_off_without_it():
    for without, expected in ([], True), (["inference_mode"], False):
        seen = []
        loaded = stable_diffusion.load("demo", profile="tuned", without=without)
        loaded.unet.register_forward_hook(lambda *_, seen=seen: seen.append(torch.is_inference_mode_enabled()))
        draw(loaded, steps=1)
        assert seen == [expected]


@pytest.mark.parametrize("variable, kernel, expected", [("1", "always [madvise] never", True), ("1", "always madvise [never]", False),
                                                        ("0", "[always] madvise never", False), (None, "[always] madvise never", False)])
def test_huge_pages_need_the_variable_and_a_kernel_that_allows_them(monkeypatch, tmp_path, variable, kernel, expected):
    (tmp_path / "enabled").write_text(kernel)
    monkeypatch.setattr(system, "Path", lambda path: tmp_path / "enabled")
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", variable) if variable else monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    assert system.huge_pages() is expected


@pytest.mark.parametrize("dtype, instructions", [("bfloat16", "avx512_bf16"), ("bfloat16", "amx_tile"), ("bfloat16", "bf16"),
                                                 ("float16", "avx512_fp16"), ("float16", "fp16_arith")])
def test_a_precision_that_the_cpu_has_no_instructions_for_is_pointed_out(monkeypatch, capsys, dtype, instructions):
    monkeypatch.setattr(device, "pick", lambda: torch.device("cpu"))
    for has in {"avx2": True}, {instructions: True}:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: has)
        assert device.pick_dtype(dtype) == getattr(torch, dtype)
        assert (f"{dtype} on " in capsys.readouterr().out) is (instructions not in has)
        assert device.pick_dtype("float32") == torch.float32 and not capsys.readouterr().out


# --- the same pictures

@pytest.mark.parametrize("prompt, batch", [("", 1), ("a smiling man with red hair", 1), ("", 3)])
def test_stable_diffusion_draws_the_same_pictures(pipe, prompt, batch):
    quick = stable_diffusion.load("demo", profile="tuned")
    for a, b in zip(draw(pipe, prompt, batch), draw(quick, prompt, batch), strict=True):
        assert quality.psnr(a, b) >= SAME_DB
    assert quality.psnr(draw(pipe, "a woman with black hair")[0], draw(quick, "a man with red hair")[0]) < SAME_DB, "it can tell"


def test_the_vae_and_stylegan2_draw_the_same_pictures():
    plain, quick = vae.load("demo"), vae.load("demo", profile="tuned")
    x = images.to_tensor([images.photograph(64), images.photograph(64).rotate(90)], like=plain)
    for a, b in zip(*(images.to_pil(vae.decode(model, vae.encode(model, x))) for model in (plain, quick)), strict=True):
        assert quality.psnr(a, b) >= SAME_DB
    plain, quick = stylegan2.load("demo"), stylegan2.load("demo", profile="tuned")
    assert quality.psnr(face(plain), face(quick)) >= SAME_DB > quality.psnr(face(plain), face(quick, seed=1))


def test_pndm_takes_the_same_steps_with_its_table_on_the_cpu():
    torch.manual_seed(0)
    x, noise = torch.randn(2, 1, 4, 8, 8)
    ways = []
    for keep in False, True:
        scheduler = PNDMScheduler(**stable_diffusion.SCHEDULER_CONFIG)
        if keep:
            tuned.keep_timesteps_on_cpu(scheduler)
        scheduler.set_timesteps(10, device="cpu" if not keep else "meta")  # "meta" holds no values: it must be ignored
        way = x
        for t in scheduler.timesteps:
            way = scheduler.step(noise * way.mean(), t, way, return_dict=False)[0]
        ways.append(way)
    assert torch.equal(*ways)


# --- weights that leave memory

def resident_bytes(module) -> int:
    """How many bytes of a module's weights are in memory, counting whole pages only."""
    total = 0
    for begin, end in tuned._stretches(module):
        first, last = -(-begin // mmap.PAGESIZE), end // mmap.PAGESIZE
        with system.PAGES.open("rb") as pages:
            pages.seek(8 * first)
            total += sum(entry >> 63 for entry, in struct.iter_unpack("=Q", pages.read(8 * max(0, last - first))))
    return mmap.PAGESIZE * total


LINUX = pytest.mark.skipif(not tuned.can_release(), reason="weights leave memory on Linux without a GPU only")


@pytest.fixture
def mapped(pipe, tmp_path, monkeypatch):
    """The tuned demo pipeline with weights mapped from files, which count as large."""
    monkeypatch.setattr(tuned, "RELEASED_FROM", 0)
    pipe.save_pretrained(tmp_path)
    return stable_diffusion.load(model_id=str(tmp_path), profile="tuned", without=["winograd"])  # rounds otherwise


@LINUX
def test_weights_leave_memory_when_they_have_done_their_part_and_come_back_for_the_next_picture(pipe, mapped, monkeypatch):
    seen, release = [], tuned.release

    def watched(network):
        seen.append((resident_bytes(network), release(network), resident_bytes(network), type(network).__name__))

    monkeypatch.setattr(tuned, "release", watched)
    pictures = [draw(mapped, "a smiling man", steps=2)[0] for _ in range(2)]
    calls = 3  # for PNDM's two steps
    deep = [mapped.unet.mid_block, mapped.unet.up_blocks[0]]
    names = [type(part).__name__ for part in (mapped.text_encoder, *deep, mapped.unet)]
    assert [name for *_, name in seen] == (names[:1] + names[1:3] * calls + names[3:]) * 2
    sizes = {type(part).__name__: sum(weight.nbytes for weight in part.parameters()) for part in (mapped.text_encoder, *deep, mapped.unet)}
    sizes[names[3]] -= sizes[names[1]] + sizes[names[2]]  # they are parts of it, and left earlier
    for before, _, after, name in seen:
        assert before > 0.9 * sizes[name] and after == 0, (name, before, after)
    assert pictures[0] == pictures[1] == draw(pipe, "a smiling man", steps=2, guidance_scale=mapped.guidance_scale)[0]


def weights_in_a_file(folder):
    """A network with two weights of 1 MB, which lie one after the other in a mapped file; all read once."""
    torch.ones(2**19).numpy().tofile(folder / "weights")
    both = torch.from_file(str(folder / "weights"), size=2**19)
    network = torch.nn.ParameterDict({"first": both[:2**18], "second": both[2**18:]}).requires_grad_(False)
    assert all(weight.sum() == 2**18 for weight in network.values())
    return network


def expanded():
    """A network whose only weight is expanded: its size exceeds the memory behind it."""
    return torch.nn.ParameterList([torch.nn.Parameter(torch.ones(1).expand(10**6), requires_grad=False)])


@LINUX
def test_weights_that_were_changed_stay_in_memory(mapped):
    weight = mapped.unet.conv_in.weight
    weight.requires_grad_(False).mul_(2)
    before, held = weight.clone(), resident_bytes(mapped.unet)
    tuned.release(mapped.unet)
    assert torch.equal(weight, before) and resident_bytes(mapped.unet) == held > 0
    draw(mapped, steps=1)
    assert resident_bytes(mapped.text_encoder) == 0, "of another file"


@LINUX
@pytest.mark.parametrize("make", [lambda: torch.nn.Linear(500, 500), lambda: torch.nn.Linear(500, 500, device="meta"),
                                  lambda: torch.nn.Linear(500, 500).share_memory(), lambda: torch.nn.Identity(), expanded])
def test_weights_of_no_file_are_left_alone(make):
    network = make()
    before = [weight.clone() for weight in network.parameters()]
    tuned.release(network)
    assert all(weight.is_meta or torch.equal(weight, old) for weight, old in zip(network.parameters(), before, strict=True))


@LINUX
def test_only_unchanged_pages_of_the_file_leave_memory(tmp_path):
    """Of a file mapped once, a change in the second half keeps the stretch that it is in, and no more."""
    network = weights_in_a_file(tmp_path)
    tuned.release(network)
    assert resident_bytes(network) == 0
    network.second.data[-1] = 7
    tuned.release(network)
    assert network.second[-1] == 7 and network.first.eq(1).all()
    network.second = None
    assert resident_bytes(network) > 0
    tuned.release(network)
    assert resident_bytes(network) == 0 and network.first.eq(1).all()


@LINUX
@pytest.mark.parametrize("pages", ["/nowhere/pagemap", "/dev/null"])
def test_nothing_leaves_memory_where_linux_does_not_show_its_pages(tmp_path, monkeypatch, pages):
    network = weights_in_a_file(tmp_path)
    held = resident_bytes(network)
    with monkeypatch.context() as patch:
        patch.setattr(system, "PAGES", Path(pages))
        tuned.release(network)
    assert resident_bytes(network) == held > 0


@LINUX
def test_the_weights_of_a_small_network_stay_in_memory(mapped, monkeypatch):
    monkeypatch.setattr(tuned, "RELEASED_FROM", mapped.info.bytes["unet"] + 1)
    draw(mapped, steps=1)
    assert resident_bytes(mapped.text_encoder) > 0 and resident_bytes(mapped.unet) > 0


@LINUX
def test_the_hooks_are_gone_after_a_picture_and_parts_may_be_exchanged_or_missing(mapped, pipe):
    draw(mapped, steps=1)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in (*mapped.unet.modules(), *mapped.vae.modules()))
    embeddings = mapped.encode_prompt("a man", "cpu", 1, True, negative_prompt="")
    mapped.text_encoder, mapped.unet = None, pipe.unet
    latents = stable_diffusion.random_latents(mapped)
    [image] = mapped(prompt_embeds=embeddings[0], negative_prompt_embeds=embeddings[1], latents=latents, num_inference_steps=1).images
    assert image.size == (64, 64)


def test_only_linux_on_a_cpu_releases_weights(gpu, monkeypatch, tmp_path):
    monkeypatch.setattr(system, "PAGES", tmp_path)
    assert not tuned.can_release()
    monkeypatch.setattr(device, "pick", lambda: torch.device("cpu"))
    assert tuned.can_release()
    monkeypatch.setattr(system, "PAGES", tmp_path / "pagemap")
    assert not tuned.can_release()


def test_the_switches_are_in_the_record(tmp_path):
    G = stylegan2.load("demo", profile="tuned")
    run = measure.repeat(lambda: [face(G)], experiment="e", model=G.info, iterations=1, results=tmp_path)
    switches = json.loads((run.folder / "run.json").read_text())["model"]["switches"]
    assert switches.keys() == {"cuda_graph", "fewer_passes", "huge_pages", "winograd"}
