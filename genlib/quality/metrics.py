"""Figures of the pictures of one run: PSNR, SSIM, sharpness, diversity, CLIP-IQA, how far they differ.

Pictures are PIL images, read as 8-bit RGB; sharpness alone is that of the grey picture.
"""
import numpy as np
from PIL import Image


def psnr(original, reconstruction) -> float:
    """Peak signal-to-noise ratio of two pictures of one size, in dB: 10 log10(255² / mean squared error).

    Infinite if they are identical. Raises ValueError for different sizes.
    """
    from skimage.metrics import peak_signal_noise_ratio

    a, b = _pair(original, reconstruction)
    return float("inf") if np.array_equal(a, b) else float(peak_signal_noise_ratio(a, b, data_range=255))


def ssim(original, reconstruction) -> float:
    """Mean structural similarity of two pictures of one size, -1 to 1, in windows of 7 x 7 pixels.

    Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861, equation 13. ValueError for different sizes.
    """
    from skimage.metrics import structural_similarity

    a, b = _pair(original, reconstruction)
    return float(structural_similarity(a, b, channel_axis=2, data_range=255))


def sharpness(image) -> float:
    """Variance of the grey picture's Laplacian, in levels squared: low if blurred, highest for noise."""
    from scipy.ndimage import laplace

    return float(laplace(np.asarray(image.convert("L"), dtype=np.float64)).var())


def diversity(images) -> float:
    """Root-mean-square difference in levels of 255, averaged over all pairs; 0 if all are the same."""
    stack = [np.asarray(image.convert("RGB"), dtype=np.float64) for image in images]
    pairs = [(a, b) for i, a in enumerate(stack) for b in stack[i + 1:]]
    return float(np.mean([np.sqrt(np.mean((a - b) ** 2)) for a, b in pairs])) if pairs else 0.0


def of_pictures(images, clip: bool = False) -> dict[str, float]:
    """Mean sharpness of pictures, and their diversity if two of them differ; with `clip` also mean CLIP-IQA,
    where it is available."""
    found = {"sharpness": float(np.mean([sharpness(image) for image in images]))}
    if apart := diversity(images):
        found["diversity"] = apart
    if clip and (value := clip_iqa(images)) is not None:
        found["clip_iqa"] = value
    return found


def of_reconstructions(originals, reconstructions) -> dict[str, float]:
    """Mean PSNR (dB) and SSIM of pictures against their originals; the last originals may lack a picture.

    Raises ValueError if there are more pictures than originals.
    """
    if len(reconstructions) > len(originals):
        raise ValueError(f"there are more pictures ({len(reconstructions)}) than originals ({len(originals)}): give the original of each")
    pairs = list(zip(originals, reconstructions, strict=False))
    return {name: float(np.mean([metric(*pair) for pair in pairs])) for name, metric in {"psnr_db": psnr, "ssim": ssim}.items()}


def clip_iqa(images) -> float | None:
    """Mean CLIP-IQA of pictures of one size, 0 to 1, by torchmetrics (Wang et al. 2023, arXiv:2207.12396).

    It says how much nearer CLIP finds them to "Good photo." than to "Bad photo.". It is made for photographs
    and says little about the demo's drawn faces. None, with a printed line that says why, where the packages
    torchmetrics and piq are missing or CLIP (350 MB, once) cannot be downloaded.
    """
    import torch

    try:
        from torchmetrics.multimodal import CLIPImageQualityAssessment

        metric = CLIPImageQualityAssessment(data_range=255.0)
    except (ImportError, ValueError, OSError) as error:  # no torchmetrics; no piq; no network
        print(f"CLIP-IQA left out ({str(error).splitlines()[0]}): it needs `pip install torchmetrics piq` and a network")
        return None
    pixels = np.stack([np.asarray(image.convert("RGB")) for image in images])  # [N, H, W, 3]
    return float(metric(torch.from_numpy(pixels).permute(0, 3, 1, 2).float()).mean())


def differences(images) -> dict[str, float]:
    """How far pictures that should be identical differ.

    different_pictures: how many distinct ones there are; largest_difference: of any channel of any pixel
    between two of them, in levels of 255.
    """
    stack = np.stack([np.asarray(image.convert("RGB")) for image in images])
    different = len({picture.tobytes() for picture in stack})
    return {"different_pictures": float(different), "largest_difference": float(np.ptp(stack, axis=0).max())}


def _pair(original: Image.Image, reconstruction: Image.Image):
    a, b = np.asarray(original.convert("RGB")), np.asarray(reconstruction.convert("RGB"))
    if a.shape != b.shape:
        raise ValueError(f"the pictures are {original.size} and {reconstruction.size}: resize one of them first")
    return a, b
