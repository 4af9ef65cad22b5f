"""Load a StyleGAN2-ADA generator: demo, random, one of NVIDIA's files, or a converted folder.

Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data" (arXiv:2006.06676).
"""
from functools import cache
from pathlib import Path
from textwrap import shorten

import torch

from genlib import device, progress
from genlib.models import forward, native, trouble, tuned
from genlib.models import weights as weights_module
from genlib.models.presets import BASE_URL, LICENCE, PRESETS, PUBLISHED, SHA256
from genlib.models.stylegan2 import converted, nvidia_file
from genlib.models.stylegan2.network import Generator
from genlib.runs import ModelInfo
from genlib.spelling import meant

DTYPES = ("auto", "mixed", "float32", "bfloat16")
GRAPH_PIXELS = 4 * 512**2  # in a call: with more, computing takes a GPU longer than launching does, and a graph keeps more memory


def load(network="auto", *, resolution=512, profile="thesis", dtype="auto", without=()) -> Generator:
    """Load a generator on this machine's device, ready for inference; `.info` says what was loaded.

    network: "auto", "demo" (small, 64 px), "random" (the published architecture at `resolution` px)
    or "published" (FFHQ, 512 px); a key of PRESETS; a .pkl file or its URL; a folder written by
    `genlib convert`.
    dtype: "mixed" (half precision in the blocks that the file names), "float32", "bfloat16" (in every map:
    off by 7 % of a standard deviation, so other pictures) or "auto" ("mixed" on a GPU, "float32" on a CPU).
    without: switches of the tuned profile (switches.py) to leave out.
    Raises ValueError for an unknown network, nvidia_file.NetworkFileError for a file that holds no StyleGAN2
    generator, ConnectionError if the download fails, MemoryError where it does not fit.
    """
    weights_module.check_profile(profile)
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}{meant(dtype, DTYPES)}: use one of {', '.join(DTYPES)}")
    network = str(network)
    word = weights_module.resolve(network) if network in weights_module.WORDS else "published"
    info = ModelInfo("StyleGAN2-ADA", word, profile, source="seed 0")
    tuned.choose(info, tuned.good("stylegan2", tuned.Case()), without)
    with weights_module.loading(info):
        if word == "random":
            generator = build(resolution)
        elif word == "demo":
            info.source = "genlib/models/demo"
            generator = converted.read(weights_module.DEMO_STYLEGAN2)
        else:
            generator = _published(PUBLISHED if network in weights_module.WORDS else network, info)
        generator = generator.to(device.pick()).eval().requires_grad_(False)
        if dtype == "bfloat16":
            torch.nn.Module.to(generator, device.pick_dtype(dtype))  # diffusers' own `to` warns, of nothing that matters here
        has_half_blocks = generator.synthesis.lowest_fp16 <= generator.img_resolution
        if dtype == "auto":
            dtype = "float32" if device.pick().type == "cpu" else "mixed"
            if has_half_blocks and dtype == "float32":
                progress.write("float32 on this CPU: the network's half-precision blocks are used on GPUs, or with dtype='mixed'")
        generator.synthesis.force_fp32 = dtype == "float32"
        info.switches["winograd"] = info.switches["winograd"] and dtype != "bfloat16" and native.available()
        if info.switches["winograd"]:
            generator.synthesis.use_winograd()
        if info.switches["fewer_passes"]:
            generator.synthesis.save_passes()
        up_to = max(1, GRAPH_PIXELS // generator.img_resolution**2)
        forward.quicken(generator, graph_up_to_batch=up_to * info.switches["cuda_graph"],
                        no_graph=lambda: info.switches.update(cuda_graph=False))
    info.dtype = "float32" if dtype == "mixed" and not has_half_blocks else dtype
    info.name = f"StyleGAN2-ADA {generator.img_resolution} px"
    weights_module.count(info, mapping=generator.mapping, synthesis=generator.synthesis)
    generator.info = info
    return generator


def config(resolution: int) -> dict:
    """The Generator's keywords for the published architecture at 32 to 1024 px, half precision included."""
    if resolution not in (32, 64, 128, 256, 512, 1024):
        raise ValueError(f"resolution is {resolution!r}: use a power of two from 32 to 1024")
    return dict(z_dim=512, c_dim=0, w_dim=512, img_resolution=resolution, img_channels=3, mapping_kwargs=dict(num_layers=8),
                synthesis_kwargs=dict(channel_base=32768 if resolution >= 512 else 16384, channel_max=512, num_fp16_res=4, conv_clamp=256))


def build(resolution: int = 512) -> Generator:
    """A generator with random weights, and their true average of w: truncation works as in a trained one."""
    generator = weights_module.seeded(lambda: Generator(**config(resolution)), torch.float32)
    z = torch.randn(1000, generator.z_dim, generator=torch.Generator().manual_seed(0)).to(device.pick())
    with torch.inference_mode():
        average = generator.mapping(z, None)[:, 0].mean(dim=0)  # [w_dim]
    generator.mapping.w_avg.copy_(average)
    return generator


def read(path) -> Generator:
    """The generator in one of NVIDIA's files, running nothing in it, on the CPU. Raises NetworkFileError."""
    file = nvidia_file.read(path)
    if file.passed_over:
        said = ", ".join(f"{name}={nvidia_file.show(value)}" for name, value in file.passed_over.items())
        progress.write(f"{Path(path).name}: passed over as off are settings that StyleGAN2-ADA does not have ({shorten(said, 1000)}): "
                       "pictures may differ if whoever added them meant more by it")
    with torch.device("meta"):
        generator = Generator(**file.config)
    generator.load_state_dict(file.state_dict, assign=True)  # the file's own memory: no second copy
    return generator


def _published(network: str, info: ModelInfo) -> Generator:
    if network in PRESETS or network.startswith(("http://", "https://")):
        _say_licence()
        address = BASE_URL + PRESETS[network] if network in PRESETS else network
        info.source = trouble.without_secrets(address)
        path, info.sha256 = weights_module.cached_download(address, SHA256.get(network))
        try:
            generator = read(path)
        except nvidia_file.NetworkFileError:
            path.unlink()  # incomplete, or no network file: the next call downloads it again
            raise
        weights_module.remember_sha256(path, info.sha256)
        return generator
    path = Path(network)
    info.source = path.name
    if path.is_dir():
        return converted.read(path)
    if not path.is_file():
        near = meant(network, [*weights_module.WORDS, *PRESETS])
        raise ValueError(f"network is {network!r}, which is no file or folder here{near}: use one of {', '.join(weights_module.WORDS)}, "
                         f"a preset ({', '.join(PRESETS)}), a .pkl file or its address, or a converted folder")
    info.sha256 = weights_module.sha256(path)
    return read(path)


@cache
def _say_licence() -> None:
    progress.write(LICENCE)
