"""Runs as notebooks 1 to 3 leave them, and answers of people, made up for the tests of what reads them."""
import numpy as np
from PIL import Image

from genlib import runs
from genlib.experiments import find

MB = 1024**2
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
