"""Tensors to PIL pictures and back; grids; the test photograph."""
import numpy as np
import torch
from PIL import Image, ImageChops


def to_levels(images: torch.Tensor) -> torch.Tensor:
    """uint8 [N, H, W, C] from [N, C, H, W] in [-1, 1], on the same device.

    As the published StyleGAN2-ADA converts, truncating instead of rounding: clamp(x * 127.5 + 128, 0, 255).
    """
    return (images.detach().float() * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def from_levels(levels: torch.Tensor) -> list[Image.Image]:
    """8-bit pictures in host memory from uint8 [N, H, W, C], C = 1 (grey) or 3 (RGB)."""
    return [Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array) for array in levels.cpu().numpy()]


def to_pil(images: torch.Tensor) -> list[Image.Image]:
    """8-bit pictures in host memory from [N, C, H, W] in [-1, 1], C = 1 (grey) or 3 (RGB): `to_levels`."""
    return from_levels(to_levels(images))  # 8-bit on the device already, so that a quarter of the bytes are moved


def to_tensor(pictures: list[Image.Image], like: torch.nn.Module) -> torch.Tensor:
    """[N, 3, H, W] in [-1, 1] from pictures of equal size, with the dtype and device of the module `like`."""
    parameter = next(like.parameters())
    array = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])  # [N, H, W, 3], 0 to 255
    return (torch.from_numpy(array).to(parameter.device).permute(0, 3, 1, 2).float() / 127.5 - 1).to(parameter.dtype)


def grid(pictures: list[Image.Image], columns: int = 5, gap: int = 4) -> Image.Image:
    """Pictures of equal size on one white sheet, row by row; small ones are enlarged by a whole factor."""
    if not pictures:
        raise ValueError("there are no pictures to show: no iteration succeeded, and the lines above say why")
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
    from skimage import data

    return Image.fromarray(data.astronaut()).resize((size, size), Image.Resampling.LANCZOS)
