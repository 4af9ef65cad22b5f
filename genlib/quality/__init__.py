"""Judge pictures: pictures in, figures out. Knows neither a model nor a table."""
from genlib.quality.metrics import clip_iqa, differences, diversity, of_pictures, of_reconstructions, psnr, sharpness, ssim

__all__ = ["clip_iqa", "differences", "diversity", "of_pictures", "of_reconstructions", "psnr", "sharpness", "ssim"]
