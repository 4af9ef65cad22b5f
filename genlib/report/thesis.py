"""The figures that the thesis published, as it printed them: its Table 1 and the single iterations.

Colab, the GPU not named; 50 steps at 6.5 to 6.9 UNet calls a second. MB are 1024² bytes. What it did not print is None.
"""
from pathlib import Path

from genlib.runs import Iteration, Machine, ModelInfo, Run

MB = 1024**2
STEPS = 50
PUBLISHED = {  # experiment: reading -> the average in Table 1, in SI units
    "stable-diffusion": dict(time_s=7.93, vram_peak_bytes=5619 * MB, ram_bytes=4271 * MB),
    "vae-as-in-thesis": dict(time_s=7.96, vram_peak_bytes=1136 * MB, ram_bytes=3917 * MB),  # VRAM: GPUtil, the whole device, read once
    "stylegan2-ada": dict(time_s=0.15, vram_peak_bytes=400 * MB, ram_bytes=260 * MB),
}
OTHER_READINGS = {("vae-as-in-thesis", "vram_peak_bytes")}  # the whole device's use: not to be divided into an allocator's peak
ITERATION_TIMES_S = {  # of StyleGAN2-ADA it prints the averages only
    "stable-diffusion": [7.79, 7.83, 7.94, 8.06, 8.05],
    "vae-as-in-thesis": [7.86, 7.88, 8.07, 8.09, 7.94],
}
ITERATION_VRAM_BYTES = {"stable-diffusion": round(5619.66 * MB)}  # printed for each iteration
ITERATION_RAM_BYTES = {"stable-diffusion": round(4278.79 * MB)}  # so printed, though its table says 4271


def as_run(experiment: str) -> Run:
    """The published iterations of an experiment as the record of a run, of method "thesis"."""
    vram, ram = ITERATION_VRAM_BYTES.get(experiment), ITERATION_RAM_BYTES.get(experiment)
    iterations = [Iteration(time_s=time, vram_peak_bytes=vram, ram_bytes=ram) for time in ITERATION_TIMES_S[experiment]]
    return Run(experiment, Machine("thesis", device="Colab GPU, model not named"), method="thesis", iterations=iterations,
               model=ModelInfo("Stable Diffusion v1-4", "published", "thesis", "CompVis/stable-diffusion-v1-4", dtype="not stated"),
               settings=dict(steps=STEPS), started="published", finished="published")


def write_reference(folder: Path) -> None:
    """Write the published iterations as run.json files, as `notebooks/reference/thesis` holds them."""
    for experiment in ITERATION_TIMES_S:
        run = as_run(experiment)
        run.folder = Path(folder) / "thesis" / experiment / "published-thesis" / "published"
        run.folder.mkdir(parents=True, exist_ok=True)
        run.save()
