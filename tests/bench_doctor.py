"""How far the doctor's forecasts for an image are from its time and memory: demo weights, then random ones.

A forecast should be within a factor of two of the time and within a quarter of the memory, else the exit
status is 1.
"""
import gc
import sys
from statistics import median

import torch

from genlib import device, measure
from genlib.commands import forecast
from genlib.experiments import STABLE_DIFFUSION, STYLEGAN2_ADA, VAE_AS_IN_THESIS, VAE_ROUND_TRIP
from genlib.measure.repeat import measure as measure_once
from genlib.models import images, stable_diffusion, stylegan2, vae

MB = 1024**2


def measured(call, times: int) -> tuple[float, int]:
    """Median time of a call, after one that warms up, and its peak of memory: the GPU's or the process's."""
    call()
    taken = [measure_once(lambda index, made=[]: made.append(call()), 0)[0] for _ in range(times)]
    return median(i.time_s for i in taken), max(i.vram_peak_bytes or i.ram_peak_bytes for i in taken)


def calls(weights: str, steps: int) -> list:
    """The experiments, each with a call that makes an image of it."""
    pipe = stable_diffusion.load(weights)
    autoencoder, G = pipe.vae, stylegan2.load(weights)
    latents, picture = stable_diffusion.random_latents(pipe), images.photograph(64 if weights == "demo" else 512)
    z = torch.randn(1, G.z_dim, device=G.device)

    def draw():
        return pipe(prompt="", latents=latents, num_inference_steps=steps).images

    def round_trip(original=picture):
        return images.to_pil(vae.decode(autoencoder, vae.encode(autoencoder, images.to_tensor([original], like=autoencoder))))

    def face():
        with torch.inference_mode():
            return images.to_pil(G(z, None, truncation_psi=0.7, noise_mode="const"))

    return [(STABLE_DIFFUSION, draw), (VAE_AS_IN_THESIS, lambda: round_trip(*draw())), (VAE_ROUND_TRIP, round_trip),
            (STYLEGAN2_ADA, face)]


def main() -> None:
    dtype, kind = device.pick_dtype(), device.pick().type
    rate, _ = measure.machine_rates(str(dtype).removeprefix("torch."))
    each_s = forecast.operation_s(dtype)
    print(f"{device.describe().device}, {rate / 1e9:.0f} GFLOP/s, {1e6 * each_s:.1f} µs an operation")
    beyond = False
    for weights, steps, times in ("demo", 50, 5), ("random", 1, 1):
        gc.collect()
        of_call = forecast.calls(weights, dtype)
        in_pipeline = forecast.memory_bytes(forecast.of_image(STABLE_DIFFUSION, of_call, steps), kind)  # before any is loaded
        alone = forecast.memory_bytes(forecast.of_image(STYLEGAN2_ADA, of_call, steps), kind)
        for entry, call in calls(weights, steps):
            forecast_s = forecast.time_s(forecast.of_image(entry, of_call, steps), rate, each_s, kind)
            needed = alone if entry is STYLEGAN2_ADA else in_pipeline
            seconds, size = measured(call, times)
            ratios = forecast_s / seconds, needed / size
            beyond |= not (0.5 <= ratios[0] <= 2 and (entry is STYLEGAN2_ADA or 0.75 <= ratios[1] <= 1.33))
            print(f"{weights:7} {entry.slug:17} {steps if entry.parts(1) != entry.parts(2) else '':3} time {forecast_s:8.3f} of "
                  f"{seconds:8.3f} s, x{ratios[0]:.2f}   memory {needed / MB:6.0f} of {size / MB:6.0f} MB, x{ratios[1]:.2f}", flush=True)
    sys.exit(beyond)


if __name__ == "__main__":
    main()
