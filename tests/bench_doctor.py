"""How far the doctor's forecasts of an image's time and memory are from what it takes: demo, and full size (random weights).

A forecast is to be within a factor of two of the time, and within a quarter of the memory: beyond that the exit status is 1.
"""
import gc
import sys
from statistics import median

import torch

from genlib import device, measure
from genlib.commands import doctor
from genlib.measure.repeat import measure as measure_once
from genlib.models import images, stable_diffusion, stylegan2, vae

MB = 1024**2


def measured(call, times: int) -> tuple[float, int]:
    """Median time of a call after one that does not count, and the peak of its memory: the GPU's, without one the process's."""
    call()
    taken = [measure_once(lambda index: [call()], 0)[0] for _ in range(times)]
    return median(i.time_s for i in taken), max(i.vram_peak_bytes or i.ram_peak_bytes for i in taken)


def calls(weights: str, steps: int) -> dict:
    """What draws an image, by experiment; each loads its model when it is first called."""
    pipe = stable_diffusion.load(weights)
    autoencoder, G = pipe.vae, stylegan2.load(weights)
    latents, picture = stable_diffusion.random_latents(pipe), images.photograph(64 if weights == "demo" else 512)
    z = torch.randn(1, G.z_dim, device=G.device)

    def round_trip():
        return images.to_pil(vae.decode(autoencoder, vae.encode(autoencoder, images.to_tensor([picture], like=autoencoder))))

    def face():
        with torch.inference_mode():
            return images.to_pil(G(z, None, truncation_psi=0.7, noise_mode="const"))

    return {"stable-diffusion": lambda: pipe(prompt="", latents=latents, num_inference_steps=steps).images,
            "vae-round-trip": round_trip, "stylegan2-ada": face}


def main() -> None:
    dtype = device.pick_dtype()
    rate, _ = measure.machine_rates(str(dtype).removeprefix("torch."))
    each_s = doctor.operation_s(dtype)
    print(f"{device.describe().device}, {rate / 1e9:.0f} GFLOP/s, {1e6 * each_s:.1f} µs an operation")
    beyond = False
    for weights, steps, times in ("demo", 50, 5), ("random", 1, 1):
        gc.collect()
        amounts = doctor.work(weights, dtype, steps)
        kind = device.pick().type
        needs = {experiment: doctor.memory_bytes(amounts["stable-diffusion" if "vae" in experiment else experiment], kind)
                 for experiment in amounts}  # before anything is loaded; the VAE is measured within its pipeline
        for experiment, call in calls(weights, steps).items():
            forecast_s = doctor.time_s(amounts[experiment], rate, each_s, kind)
            seconds, size = measured(call, times)
            ratios = forecast_s / seconds, needs[experiment] / size
            beyond |= not (0.5 <= ratios[0] <= 2 and (experiment == "stylegan2-ada" or 0.75 <= ratios[1] <= 1.33))
            steps_said = steps if experiment == "stable-diffusion" else ""
            print(f"{weights:7} {experiment:17} {steps_said:3} time {forecast_s:8.3f} of {seconds:8.3f} s, x{ratios[0]:.2f}   "
                  f"memory {needs[experiment] / MB:6.0f} of {size / MB:6.0f} MB, x{ratios[1]:.2f}", flush=True)
    sys.exit(beyond)


if __name__ == "__main__":
    main()
