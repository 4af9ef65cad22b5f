"""How far the doctor's forecast of an image's time is from what it takes: forecast over measured, demo and full size (random weights)."""
import statistics
import time

import torch

from genlib import device, doctor, measure
from genlib.models import images, stable_diffusion, stylegan2, vae


def seconds(call, times: int) -> float:
    """Median time of a call after one that does not count."""
    call()
    found = []
    for _ in range(times):
        device.synchronize()
        begun = time.perf_counter()
        call()
        device.synchronize()
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


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
    for weights, steps, times in ("demo", 50, 5), ("random", 1, 1):
        amounts = doctor.work(weights, dtype, steps)
        for experiment, call in calls(weights, steps).items():
            forecast, measured = doctor.time_s(amounts[experiment], rate, each_s, device.pick().type), seconds(call, times)
            print(f"{weights:7} {experiment:17} {steps if experiment == 'stable-diffusion' else '':3} forecast {forecast:8.3f} s, "
                  f"measured {measured:8.3f} s, ratio {forecast / measured:.2f}", flush=True)


if __name__ == "__main__":
    main()
