"""genlib: what it costs to make images with three generative models, and how good they are.

    models/   make pictures      stable_diffusion, vae, stylegan2, images
    measure/  measure a call     repeat, count_flops, repeat_as_in_thesis
    quality/  judge pictures     psnr, ssim, sharpness, diversity, clip_iqa
    report/   say what came out  tables, plots, summary (never loads torch)
    runs      the record of a run, between measuring and reporting; files: written whole or not at all
    device    which device and dtype; describe the machine; nvml: ask NVIDIA's driver

    python -m genlib run         the four notebooks in order, as `make run` does
"""

__version__ = "0.1.0"
