"""The data set: 64x64 faces drawn from seeds, with captions; no photographs of people.

    python training/faces.py sheet.png     # draws a hundred faces, and prints the captions of the first ten
"""
import sys
from dataclasses import fields

import numpy as np
from PIL import Image

from genlib.models.drawn_faces import BACKGROUND, EYES, HAIR, LIGHT, SIZE, SKIN, STYLES, Face, draw, random_face  # noqa: F401

PROMPTS = ("{}", "{}", "a photo of {}", "a photo of the face of {}", "a portrait of {}", "the face of {}")  # around a caption


def caption(face: Face) -> str:
    """"a smiling woman with red hair and glasses": what a prompt can ask for."""
    traits = ["no hair" if face.style == "bald" else f"{face.hair} hair"]
    traits += ["a beard"] * face.beard + ["glasses"] * face.glasses
    listed = " and ".join([", ".join(traits[:-1]), traits[-1]] if len(traits) > 1 else traits)
    return f"a {'smiling ' if face.smile else ''}{face.gender} with {listed}"


def batch(seeds) -> np.ndarray:
    """The pictures of seeds, uint8 [N, 64, 64, 3]."""
    return np.stack([np.asarray(draw(random_face(int(seed)))) for seed in seeds])


ATTRIBUTES = [field.name for field in fields(Face)][:10]  # what a classifier reads


def main(path: str) -> None:
    """Write a hundred faces as one picture, and print what the first ones are."""
    sheet = Image.new("RGB", (10 * SIZE, 10 * SIZE))
    for seed in range(100):
        sheet.paste(draw(random_face(seed)), (seed % 10 * SIZE, seed // 10 * SIZE))
    sheet.save(path)
    print(*[f"{seed}: {caption(random_face(seed))}" for seed in range(10)], sep="\n")


if __name__ == "__main__":
    main(sys.argv[1])
