"""What can be said of pictures in figures: PSNR and SSIM against an original, sharpness, diversity, CLIP-IQA, whether they are the same."""
import numpy as np
from PIL import Image


def psnr(original, reconstruction) -> float:
    """Peak signal-to-noise ratio of two 8-bit pictures of one size, in dB; infinite if they are identical."""
    from skimage.metrics import peak_signal_noise_ratio

    a, b = _pair(original, reconstruction)
    return float("inf") if np.array_equal(a, b) else float(peak_signal_noise_ratio(a, b, data_range=255))


def ssim(original, reconstruction) -> float:
    """Structural similarity of two 8-bit RGB pictures of one size, -1 to 1 (Wang et al. 2004), by scikit-image's defaults."""
    from skimage.metrics import structural_similarity

    a, b = _pair(original, reconstruction)
    return float(structural_similarity(a, b, channel_axis=2, data_range=255))


def sharpness(image) -> float:
    """Variance of the grey picture's Laplacian, in grey levels squared: low where it is blurred, and highest for pure noise."""
    from scipy.ndimage import laplace

    return float(laplace(np.asarray(image.convert("L"), dtype=np.float64)).var())


def diversity(images) -> float:
    """Mean root-mean-square difference between all pairs of pictures, in grey levels 0 to 255: 0 if all are the same."""
    stack = [np.asarray(image.convert("RGB"), dtype=np.float64) for image in images]
    pairs = [(a, b) for i, a in enumerate(stack) for b in stack[i + 1:]]
    return float(np.mean([np.sqrt(np.mean((a - b) ** 2)) for a, b in pairs])) if pairs else 0.0


def of_pictures(images, clip: bool = False) -> dict[str, float]:
    """Mean sharpness and diversity of pictures; with `clip` also their mean CLIP-IQA, where it can be had."""
    found = {"sharpness": float(np.mean([sharpness(image) for image in images])), "diversity": diversity(images)}
    if clip and (value := clip_iqa(images)) is not None:
        found["clip_iqa"] = value
    return found


def of_reconstructions(originals, reconstructions) -> dict[str, float]:
    """Mean PSNR in dB and mean SSIM of pictures against their originals. Raises ValueError if the numbers differ."""
    pairs = list(zip(originals, reconstructions, strict=True))
    return {name: float(np.mean([metric(*pair) for pair in pairs])) for name, metric in {"psnr_db": psnr, "ssim": ssim}.items()}


def clip_iqa(images) -> float | None:
    """Mean CLIP-IQA of pictures of one size, 0 to 1: how much nearer CLIP finds them to "Good photo." than to "Bad photo." (Wang et al.
    2023, arXiv:2207.12396), by torchmetrics. It judges photographs; of the demo's drawn faces it says little.

    None, and a line that says why, without the packages torchmetrics and piq, or where CLIP cannot be downloaded (350 MB, once).
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
    """How far pictures that should be one and the same differ: the number of different ones, and the largest difference of a channel
    of a pixel between any two, in levels of 255."""
    stack = np.stack([np.asarray(image.convert("RGB")) for image in images])
    different = len({picture.tobytes() for picture in stack})
    return {"different_pictures": float(different), "largest_difference": float(np.ptp(stack, axis=0).max())}


def _pair(original: Image.Image, reconstruction: Image.Image):
    a, b = np.asarray(original.convert("RGB")), np.asarray(reconstruction.convert("RGB"))
    if a.shape != b.shape:
        raise ValueError(f"the pictures are {original.size} and {reconstruction.size}: resize one of them first")
    return a, b
