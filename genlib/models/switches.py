"""The switches of the tuned profile: what each does, and where it is good. Free of torch.

The tuned profile draws the same pictures as the thesis profile with less work. Each way of saving work is a
switch in `.info.switches`. All but `huge_pages`, which is set before Python starts, can be left out one by
one: `load(..., profile="tuned", without=["unet_cuda_graph"])`. The loaders choose from this table
(tuned.py); `genlib doctor --list` and the README show it.
"""
from collections.abc import Callable
from dataclasses import dataclass

from genlib.spelling import meant

COMPILE_PAYS_FROM = 500  # images; compiling takes minutes, and on an A100 was published to save 0.5 s an image (not measured by us)

PLACES: dict[str, Callable[..., bool]] = {  # name: whether this machine is one, asked of a tuned.Case
    "everywhere": lambda case: True,
    "CPUs": lambda case: case.device_type == "cpu",
    "GPUs": lambda case: case.device_type != "cpu",
    "NVIDIA's GPUs": lambda case: case.device_type == "cuda",
    "Linux without a GPU": lambda case: case.can_release,
}


@dataclass(frozen=True)
class Switch:
    """One way of saving work."""
    name: str
    help: str  # what it does
    where: str  # a key of PLACES
    models: tuple[str, ...]  # the loaders that have it
    v1_only: bool = False  # left out for pipelines of another class than v1's
    pays: Callable[..., bool] = lambda case: True  # a further condition, asked of a tuned.Case

    def good(self, case) -> bool:
        """Whether it saves work in this case (tuned.Case)."""
        return PLACES[self.where](case) and (case.is_v1 or not self.v1_only) and self.pays(case)


_PIPELINE, _VAE, _STYLEGAN2 = ("stable_diffusion",), ("stable_diffusion", "vae"), ("stylegan2",)

SWITCHES = [
    Switch("vae_slicing", "a batch is decoded image by image", "everywhere", _VAE),
    Switch("skip_equal_guidance", "half of the UNet's work at an empty prompt, where both branches of guidance are equal",
           "everywhere", _PIPELINE, v1_only=True),
    Switch("inference_mode", "no bookkeeping for gradients", "everywhere", _PIPELINE, v1_only=True),
    Switch("unet_channels_last", "the UNet in the memory layout that tensor cores take", "NVIDIA's GPUs", _PIPELINE),
    Switch("unet_cuda_graph", "a step of the UNet in one launch instead of hundreds, at batch 1", "NVIDIA's GPUs", _PIPELINE,
           v1_only=True),
    Switch("cuda_graph", "the same for StyleGAN2's generator, up to four faces of 512 px, or as many pixels", "NVIDIA's GPUs",
           _STYLEGAN2),
    Switch("fewer_passes", "StyleGAN2's low-pass filter folded into the kernel before it, noise into the bias, kernels in channels_last",
           "NVIDIA's GPUs", _STYLEGAN2),
    Switch("winograd", "3x3 convolutions with a quarter of the multiplications, compiled here: in a UNet and an autoencoder where they "
           "prove quicker at loading, and the passes between them in one; products by oneDNN", "CPUs", (*_VAE, *_STYLEGAN2),
           pays=lambda case: case.computes_in_float32),
    Switch("scheduler_on_cpu", "a step of PNDM that does not wait for the device", "GPUs", _PIPELINE, v1_only=True),
    Switch("cudnn_attention", "cuDNN's attention in the UNet, where it proves quicker at loading", "NVIDIA's GPUs", _PIPELINE,
           v1_only=True, pays=lambda case: case.cudnn_attention_wins),
    Switch("compile", f"the UNet through torch.compile, for {COMPILE_PAYS_FROM} images or more (`expected_images`)", "NVIDIA's GPUs",
           _PIPELINE, v1_only=True, pays=lambda case: case.compiling_pays),
    Switch("vae_compile", "the VAE's decoder likewise", "NVIDIA's GPUs", _VAE, v1_only=True, pays=lambda case: case.compiling_pays),
    Switch("release_weights", "large weights mapped from files leave memory when their part of a picture is done, and come back when used",
           "Linux without a GPU", _PIPELINE, v1_only=True),
    Switch("huge_pages", "large maps on pages of 2 MB: `THP_MEM_ALLOC_ENABLE=1` in the environment, before Python starts",
           "Linux without a GPU", ()),
]


def check(names, known: list[str]) -> None:
    """Raises ValueError for a name that is not among the known switches, with the one that it resembles."""
    for name in names:
        if name not in known:
            raise ValueError(f"without names {name!r}{meant(name, known)}: use some of {', '.join(known)}")


def as_markdown() -> str:
    """The table for the README, where a test compares the two."""
    rows = [f"| `{switch.name}` | {switch.help} | {switch.where} |" for switch in SWITCHES]
    return "\n".join(["| switch | what | where |", "| --- | --- | --- |", *rows])
