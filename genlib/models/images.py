"""Tensors to PIL pictures and back; which of them show nothing; grids; the test photograph."""
import math
from functools import wraps
from importlib import resources

import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image, ImageChops

from genlib.record import BLACKENED, DOUBT, NOT_FINITE


def check_channels(channels: int) -> None:
    """Raises ValueError unless pictures may have so many channels."""
    if not 1 <= channels <= 4:
        raise ValueError(f"these pictures have {channels} channels, and only grey (1), RGB (3) and those with transparency (2, 4) can be "
                         "drawn: use another network, or choose channels from its tensors")


def to_levels(images: torch.Tensor) -> torch.Tensor:
    """uint8 [N, H, W, C] from [N, C, H, W] in [-1, 1], C = 1 to 4, on the same device.

    As the published StyleGAN2-ADA converts, truncating instead of rounding: clamp(x * 127.5 + 128, 0, 255).
    """
    check_channels(images.shape[1])
    return (images.detach().float() * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def sums(images: torch.Tensor) -> torch.Tensor:
    """float32 [N], the sum of each picture of [N, C, H, W]: finite if all of its values are.

    It is on its way to host memory, where it may be read once something later of the device has arrived. So
    nothing waits for it by itself.
    """
    return images.detach().sum(dim=(1, 2, 3), dtype=torch.float32).to("cpu", non_blocking=True)


def from_levels(levels: torch.Tensor, sums: torch.Tensor) -> list[Image.Image]:
    """8-bit pictures in host memory from uint8 [N, H, W, C]: grey (C = 1), RGB (3), or with alpha (2, 4).

    `info["doubt"]` of one whose sum is not finite says so.
    """
    pictures = [Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array) for array in levels.cpu().numpy()]
    return _marked(pictures, sums, [False] * len(pictures))


def to_pil(images: torch.Tensor) -> list[Image.Image]:
    """8-bit pictures in host memory from [N, C, H, W] in [-1, 1], C = 1 to 4: `to_levels`, `from_levels`."""
    arriving = sums(images)
    return from_levels(to_levels(images), arriving)  # 8-bit on the device already, so that a quarter of the bytes are moved


def watch(pipe) -> None:
    """Let a pipeline of diffusers mark its pictures: `info["doubt"]` of one that shows nothing says why.

    That is so for values that are not finite, and for a picture that the safety checker has turned black. A
    pipeline that makes pictures in a way of its own is left as it is.
    """
    processor = getattr(pipe, "image_processor", None)
    plain = getattr(processor, "postprocess", None)
    if getattr(plain, "__func__", None) is not VaeImageProcessor.postprocess:
        return

    @wraps(plain)
    def postprocess(image, output_type="pil", do_denormalize=None):
        if output_type != "pil" or not isinstance(image, torch.Tensor):
            return plain(image, output_type, do_denormalize)
        arriving = sums(image)
        with np.errstate(invalid="ignore"):  # numpy's warning at NaN, without a word of where it comes from
            pictures = plain(image, output_type, do_denormalize)
        blackened = [not natural for natural in do_denormalize or [True] * len(pictures)]  # so the pipeline tells black ones
        return _marked(pictures, arriving, blackened)

    processor.postprocess = postprocess


def _marked(pictures: list[Image.Image], sums: torch.Tensor, blackened: list[bool]) -> list[Image.Image]:
    for picture, total, black in zip(pictures, sums.tolist(), blackened, strict=True):
        if black or not math.isfinite(total):
            picture.info[DOUBT] = BLACKENED if black else NOT_FINITE
    return pictures


def to_tensor(pictures: list[Image.Image], like: torch.nn.Module) -> torch.Tensor:
    """[N, 3, H, W] in [-1, 1] from pictures of equal size, with the dtype and device of the module `like`."""
    parameter = next(like.parameters())
    array = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])  # [N, H, W, 3], 0 to 255
    return (torch.from_numpy(array).to(parameter.device).permute(0, 3, 1, 2).float() / 127.5 - 1).to(parameter.dtype)


def grid(pictures: list[Image.Image], columns: int = 5, gap: int = 4) -> Image.Image:
    """Pictures of equal size on one white sheet, row by row; small ones are enlarged by a whole factor.

    Why some of them show nothing is said in a line.
    """
    if not pictures:
        raise ValueError("there are no pictures to show: no iteration succeeded, and the lines above say why")
    for doubt in sorted({picture.info[DOUBT] for picture in pictures if DOUBT in picture.info}):
        print(doubt)
    times = max(1, 128 // pictures[0].width)
    pictures = [picture.resize((times * picture.width, times * picture.height), Image.Resampling.NEAREST) for picture in pictures]
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % columns * (width + gap), i // columns * (height + gap)))
    return sheet


def difference(a: Image.Image, b: Image.Image, gain: float = 4) -> Image.Image:
    """|a - b| times `gain`, which makes small differences visible: black where the pictures agree."""
    return ImageChops.difference(a.convert("RGB"), b.convert("RGB")).point(lambda level: min(255, round(level * gain)))


def photograph(size: int) -> Image.Image:
    """A photograph, `size` x `size`: scikit-image's astronaut, Eileen Collins (NASA, public domain)."""
    with resources.files("skimage.data").joinpath("astronaut.png").open("rb") as file:  # its reader would load 8 MB of libraries
        picture = Image.open(file).convert("RGB")
    return picture.resize((size, size), Image.Resampling.LANCZOS)
