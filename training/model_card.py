"""Measure the demo models on held-out faces, and write their model card with its pictures.

    python training/model_card.py      # 2 minutes on two cores; writes README.md and PNGs of the demo

Losses are drawn for trainings that have a checkpoint. For the others the picture is left as it is; their
steps and minutes are kept in trained.json.
"""
import json
import time

import classifier
import evaluate
import faces
import matplotlib.pyplot as plt
import numpy as np
from loop import CHECKPOINTS, TRAINED
from PIL import Image, ImageDraw
from train_vae import FACES, HELD_OUT

from genlib import device
from genlib.models import stable_diffusion, stylegan2, vae
from genlib.models.weights import DEMO
from genlib.quality import memorised

COUNT, MANY = 200, 1000  # pictures behind each figure; and behind StyleGAN2's, which draws them in no time
NAMES = {"vae": "Autoencoder", "stable_diffusion": "Stable Diffusion", "stylegan2": "StyleGAN2"}


def measured() -> tuple[dict, dict, Image.Image]:
    """The figures by name, 25 pictures of each model, and those that come closest to training faces."""
    judge, pipe, autoencoder, G = classifier.load(), stable_diffusion.load("demo"), vae.load("demo"), stylegan2.load("demo")
    asked, real = evaluate.held_out(COUNT), faces.batch(range(HELD_OUT, HELD_OUT + MANY))
    prompted = evaluate.from_prompts(pipe, [faces.caption(face) for face in asked])
    unprompted = evaluate.from_prompts(pipe, [""] * COUNT)
    made, typical = (evaluate.from_generator(G, MANY, psi) for psi in (1.0, 0.7))
    backs = evaluate.reconstructions(autoencoder, real[:COUNT])
    training = faces.batch(range(FACES))
    others, noise = faces.batch(range(HELD_OUT + MANY, HELD_OUT + 2 * MANY)), evaluate.noise(MANY)
    of_noise = evaluate.kernel_distance(judge, others, noise)
    figures = dict(psnr_db=evaluate.mean_psnr(real[:COUNT], backs), follows=evaluate.follows(judge, prompted, asked),
                   noise_faces=evaluate.share_of_faces(judge, noise), kid_noise=of_noise, classifier=classifier.accuracies(judge))
    for name, pictures in {"prompted": prompted, "unprompted": unprompted, "psi 1": made, "psi 0.7": typical, "held out": others}.items():
        figures[name] = dict(faces=evaluate.share_of_faces(judge, pictures), kid=evaluate.kernel_distance(judge, real, pictures),
                             spread=evaluate.spread(judge, pictures, real), nearest=evaluate.nearest(judge, pictures, training))
    pairs = [(Image.fromarray(pictures[int(own)]), Image.fromarray(training[int(near)]), distance)
             for name, pictures in {"prompted": prompted, "psi 1": made}.items()
             for own, near, distance in figures[name]["nearest"].closest[:4]]
    walls = np.stack([real[:25], backs[:25]], axis=1).reshape(-1, 64, 64, 3)[:26]
    samples = {"Autoencoder: faces held out, each beside what comes back": walls[:24],
               "Stable Diffusion with prompts": prompted[:25], "Stable Diffusion without": unprompted[:25], "StyleGAN2": made[:25]}
    return figures, samples, memorised.sheet(pairs)


def sheet(groups: dict[str, np.ndarray], columns: int = 13) -> Image.Image:
    """The pictures of each group under its name, at twice their size."""
    heights = [16 + 128 * -(-len(pictures) // columns) for pictures in groups.values()]
    page, y = Image.new("RGB", (128 * columns, sum(heights)), "white"), 0
    for (name, pictures), height in zip(groups.items(), heights, strict=True):
        ImageDraw.Draw(page).text((4, y + 2), name, fill="black")
        for i, array in enumerate(pictures):
            place = (i % columns * 128, y + 16 + i // columns * 128)
            page.paste(Image.fromarray(array).resize((128, 128), Image.Resampling.NEAREST), place)
        y += height
    return page


def losses(name: str, history: list[dict]) -> plt.Figure:
    """The losses of a training over its steps: the values as a thin line, the mean of 15 as a thick one."""
    figure, ax = plt.subplots(figsize=(3.8, 3), layout="constrained")
    for number, loss in enumerate(key for key in history[0] if key not in ("step", "kl", "augmentation")):
        steps, values = ([entry[key] for entry in history] for key in ("step", loss))
        ax.plot(steps, values, color=f"C{number}", alpha=0.3, lw=0.7)
        ax.plot(steps[7:-7], np.convolve(values, np.ones(15) / 15, "valid"), color=f"C{number}", label=loss)
    ax.set(title=NAMES[name], xlabel="step", yscale="linear" if name == "stylegan2" else "log")
    ax.legend()
    return figure


def times() -> dict[str, float]:
    """How many seconds loading takes on this machine, and drawing five images with each model."""
    found = {}
    for name, load in dict(pipe=stable_diffusion.load, autoencoder=vae.load, G=stylegan2.load).items():
        load("demo")  # the first load imports what it needs
        begun = time.perf_counter()
        found[name] = load("demo").info and time.perf_counter() - begun
    pipe, G = stable_diffusion.load("demo"), stylegan2.load("demo")
    begun = time.perf_counter()
    evaluate.from_prompts(pipe, [""] * 5, batch=1)
    evaluate.reconstructions(pipe.vae, faces.batch(range(5)))
    evaluate.from_generator(G, 5)
    return found | {"five of each": time.perf_counter() - begun}


def card(figures: dict, seconds: dict) -> str:
    """The model card as Markdown."""
    percent, worst = "{:.1%}".format, max
    rows = [("reconstruction, PSNR on faces held out (dB)", f"{figures['psnr_db']:.2f}", "≥ 26")]
    rows += [(f"Stable Diffusion draws what the prompt asks for: {name}", percent(share), "≥ 80 %" if not name.startswith("no ") else "")
             for name, share in figures["follows"].items()]
    for name, title in {"prompted": "Stable Diffusion with prompts", "unprompted": "Stable Diffusion without",
                        "psi 1": "StyleGAN2, truncation ψ = 1", "psi 0.7": "StyleGAN2, truncation ψ = 0.7",
                        "held out": "(drawn faces, for comparison)"}.items():
        found, near = figures[name], figures[name]["nearest"]
        attribute, distance = worst(((k, v) for k, v in found["spread"].items() if k != "kinds"), key=lambda item: item[1])
        rows += [(f"{title}: taken for faces", percent(found["faces"]), "≥ 90 %" + " (missed)" * (found["faces"] < 0.9)),
                 (f"{title}: KID over that of noise", percent(found["kid"] / figures["kid_noise"]),
                  "< 10 %" + " (missed)" * (found["kid"] >= 0.1 * figures["kid_noise"])),
                 (f"{title}: nearer to a training face than 99 % of these are to others", percent(near.closer_than_training), ""),
                 (f"{title}: median distance to the nearest training face, over that among these",
                  f"{near.nearest_median / near.training_nearest_median:.2f}", ""),
                 (f"{title}: largest shift of an attribute's shares ({attribute}), total variation", f"{distance:.3f}", ""),
                 (f"{title}: different kinds of face, over as many drawn ones", percent(found["spread"]["kinds"]), "")]
    rows += [("noise taken for faces", percent(figures["noise_faces"]), "0")]
    read = ", ".join(f"{name} {percent(share)}" for name, share in figures["classifier"].items())
    known = json.loads(TRAINED.read_text())
    trained = [(NAMES[name], f"{known[name]['steps']:,}", str(known[name]["minutes"]), f"{known[name]['cores']} ({known[name]['machine']})",
                known[name]["remark"]) for name in NAMES]
    return TEMPLATE.format(
        machine=device.describe().device, count=COUNT, many=MANY, read=read, five=seconds["five of each"],
        loads=", ".join(f"{seconds[name]:.2f} s" for name in ("pipe", "autoencoder", "G")),
        trained="\n".join("| " + " | ".join(row) + " |" for row in trained),
        figures="\n".join("| " + " | ".join(row) + " |" for row in rows))


TEMPLATE = """# The demo models

Three small models of the classes that the full-size ones use, so that everything runs in seconds without a GPU or a network. They draw
what they were trained on: 64 × 64 pictures of drawn faces. Their figures say nothing of the published models.

![25 pictures of each](samples.png)

The prompts of the second group are the captions of faces held out; the third has none. 50 steps of PNDM, guidance scale 3: at the usual
7.5 some colours burn out (brown hair above all).

## How they were made

The data are faces that `training/faces.py` draws from seeds, with captions such as "a smiling woman with red hair and glasses"; no
photograph of a person was used. Training took the faces of the seeds 0 to 19,999, the figures below those from 1,000,000 on. All seeds
are fixed. What is stored are moving averages of the weights (decay 0.998, StyleGAN2's 0.999) in float16. `training/` has one script a
model, and one (`export.py`) that writes this folder.

| Model | Steps | Minutes | Cores | Remark |
|---|---:|---:|---|---|
{trained}

![Losses of the autoencoder](losses_vae.png) ![of Stable Diffusion](losses_stable_diffusion.png) ![of StyleGAN2](losses_stylegan2.png)

## How good they are

Read by a classifier that was trained on the drawn faces alone (`training/classifier.py`; right on faces held out: {read}), on {count}
pictures each, StyleGAN2 on {many}; kinds of face are those among as many drawn ones.

| Figure | Measured | Target |
|---|---:|---:|
{figures}

Loading takes {loads} (pipeline, autoencoder, generator); five images of each {five:.1f} s together ({machine}).

A part of StyleGAN2's discriminator stands on features of another network that reads attributes (`training/reader.py`): it is not the
classifier, but learned the same task of the same faces, so StyleGAN2's KID flatters it beside Stable Diffusion's.

## Memorised or made

![The closest pairs](closest.png)

For each of four pictures of Stable Diffusion with prompts (above) and of StyleGAN2 (below), those that come nearest to a face of the
training, that face is shown at the right, with the distance of the classifier's features. The faces have few attributes, so that new
ones come near old ones too: the drawn faces of held-out seeds, in the table above, say how near a face comes by chance.

What they cannot do: anything but such faces. A prompt's other words are spelt in bytes that no training saw. The licence is the project's.
"""


def main() -> None:
    figures, samples, closest = measured()
    closest.save(DEMO / "closest.png", optimize=True)
    sheet(samples).save(DEMO / "samples.png", optimize=True)
    for file in CHECKPOINTS.glob("*.json"):
        if file.stem in NAMES:
            losses(file.stem, json.loads(file.read_text())["history"]).savefig(DEMO / f"losses_{file.stem}.png", dpi=100)
    (DEMO / "README.md").write_text(card(figures, times()))
    print(json.dumps(figures, indent=1, default=vars))


if __name__ == "__main__":
    main()
