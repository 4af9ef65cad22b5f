"""Runs as notebooks 1 to 3 leave them, scored sets and answers of people, made up for tests."""
import numpy as np
from PIL import Image

from genlib import runs
from genlib.experiments import find
from genlib.scores import Against, Drawn, Figure, Scores

MB = 1024**2
AGAINST = Against("held-out", 500, "a" * 64)
DEMO = dict(weights="demo", profile="tuned", dtype="float32", machine="tesla-t4", device="Tesla T4")
ANSWERS_HEAD = "person,number,picture,truth,answer,quality,seconds"


def save_run(folder, experiment, times, *, weights="published", vram=1000 * MB, machine="tesla-t4", errors=0, picture=True, ram=500 * MB,
             readings=None, quality=None, sizes=None, dtype="float16", ram_before=None, **changes):
    """A finished run with these times, each iteration with `readings` and with `picture` pictures."""
    name = changes.pop("model", find(experiment).model or "Stable Diffusion v1-4")
    info = runs.ModelInfo(name, weights, changes.pop("profile", "thesis"), "somewhere", dtype=dtype, bytes=sizes or {},
                          ram_before_bytes=ram_before)
    if isinstance(machine, str):
        machine = runs.Machine(machine, device="Tesla T4")
    run = runs.begin(runs.Run(experiment, machine, info, **changes), folder)
    run.warmup, run.quality = [runs.Iteration(time_s=times[0] * 3)], quality or {}
    for i, time in enumerate(times):
        images = [Image.fromarray(np.full((16, 16, 3), 20 * i + 10 * n, dtype=np.uint8)) for n in range(picture)]
        run.iterations.append(runs.Iteration(time_s=time, vram_peak_bytes=vram, ram_bytes=ram + i * MB, **(readings or {}),
                                             images=run.save_images(images, f"iteration_{i + 1}")))
    run.iterations += [runs.Iteration(error="out of memory: too large") for _ in range(errors)]
    run.finished = run.started
    run.save()
    return run


def save_answers(folder, shares: dict[str, float], people: int, pictures: int = 5) -> None:
    """The file of each person: of each kind this share of pictures, other ones for each person, is "real"."""
    (folder / "survey").mkdir(parents=True)
    for person in range(people):
        code = f"person{chr(97 + person // 26)}{chr(97 + person % 26)}"
        rows = [(code, i + 1, f"p{chr(97 + place)}{chr(97 + i)}abcde", kind,
                 "real" if (i + person) % pictures < share * pictures else "made", 1 + (i + person) % 5, 4)
                for place, (kind, share) in enumerate(shares.items()) for i in range(pictures)]
        text = "\n".join([ANSWERS_HEAD, *(",".join(map(str, row)) for row in rows), ""])
        (folder / "survey" / f"answers-{code}.csv").write_text(text)


def save_set(folder, name, distance, time_s, *, against=AGAINST, network="reader", revision="r1", spread=1.0, settings=None, figures=None,
             scored="2026-11-01T00:00:00+00:00", n=300, **drawn):
    """A scored set of a model, by its Fréchet distance with an interval of `spread` to each side."""
    known = dict(experiment="stable-diffusion", model="Stable Diffusion demo", timed=300) | DEMO | drawn
    if figures is None:
        figures = {f"frechet_{network}": Figure(distance, distance - spread, distance + spread, n, 100),
                   f"kid_{network}": Figure(distance / 1000, distance / 1100, distance / 900, n, 100)}
    place = folder / "sets" / name
    place.mkdir(parents=True, exist_ok=True)
    found = Scores(name, n, scored, Drawn(settings=settings or {}, time_s=time_s, **known), against, {network: revision}, figures)
    found.save(place)
    return found


def save_sets(folder):
    """Stable Diffusion by steps and guidance, StyleGAN2 by psi, as `generate` draws them."""
    for steps, distance in {5: 40.0, 10: 22.0, 20: 12.0, 50: 10.5}.items():
        save_set(folder, f"sd-steps-{steps}", distance, 0.01 * steps, settings=dict(steps=steps, guidance_scale=3.0))
    for scale, distance in {1.0: 25.0, 6.0: 14.0}.items():
        save_set(folder, f"sd-guidance-{scale:g}", distance, 0.3 if scale == 1 else 0.51, settings=dict(steps=50, guidance_scale=scale))
    for psi, distance in {0.3: 60.0, 0.7: 20.0, 1.0: 9.0}.items():
        save_set(folder, f"sg-psi-{psi:g}", distance, 0.004, settings=dict(truncation_psi=psi, noise_mode="const"),
                 experiment="stylegan2-ada", model="StyleGAN2-ADA 64 px")
    return folder
