"""Judge pictures: pictures in, figures out. Knows neither a model nor a table."""
from genlib.quality.metrics import clip_iqa, differences, diversity, of_pictures, of_reconstructions, psnr, sharpness, ssim

__all__ = ["clip_iqa", "differences", "diversity", "of_pictures", "of_reconstructions", "psnr", "score", "sharpness", "ssim"]


def __getattr__(name: str):
    """`score` loads torch, which a survey of people does without."""
    if name != "score":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from genlib.quality.scoring import score

    return score
