"""How good the demo models are on held-out faces: what model_card.py and the tests measure."""
from collections import Counter

import classifier
import faces
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm
from train_vae import HELD_OUT, pictures_of

from genlib import quality, scores
from genlib.models import images, stable_diffusion, vae
from genlib.quality import distances, memorised

SCORES = {"glasses": lambda face: face.glasses, "red or black hair": lambda face: face.hair in ("red", "black") and face.style != "bald",
          "smile": lambda face: face.smile}  # by score, the faces whose prompt asks for it
READ_AS = {"glasses": "glasses", "red or black hair": "hair", "smile": "smile"}


def held_out(count: int) -> list[faces.Face]:
    return [faces.random_face(seed) for seed in range(HELD_OUT, HELD_OUT + count)]


def from_prompts(pipe, prompts: list[str], steps: int = 50, batch: int = 25) -> np.ndarray:
    """A picture for each prompt, uint8 [N, 64, 64, 3]; the prompt's number is the seed of its latent."""
    scale, pictures = stable_diffusion.guidance_scale(pipe), []
    for first in tqdm(range(0, len(prompts), batch), desc="Stable Diffusion", unit="batch"):
        some = prompts[first:first + batch]
        latents = torch.cat([stable_diffusion.random_latents(pipe, seed=first + i) for i in range(len(some))])
        pictures += pipe(prompt=some, latents=latents, guidance_scale=scale, num_inference_steps=steps).images
    return np.stack([np.asarray(picture) for picture in pictures])


@torch.inference_mode()
def from_generator(G, count: int, truncation_psi: float = 1.0) -> np.ndarray:
    """Pictures from seeds 0, 1, ...: uint8 [N, 64, 64, 3]."""
    z = torch.from_numpy(np.stack([np.random.RandomState(seed).randn(G.z_dim) for seed in range(count)]))
    made = [images.to_pil(G(some, None, truncation_psi=truncation_psi, noise_mode="const")) for some in z.split(50)]
    return np.stack([np.asarray(picture) for some in made for picture in some])


def reconstructions(autoencoder, pictures: np.ndarray) -> np.ndarray:
    """Pictures encoded and decoded, uint8 [N, 64, 64, 3]."""
    backs = []
    for i in range(0, len(pictures), 50):
        x = images.to_tensor([Image.fromarray(array) for array in pictures[i:i + 50]], like=autoencoder)
        backs += images.to_pil(vae.decode(autoencoder, vae.encode(autoencoder, x)))
    return np.stack([np.asarray(picture) for picture in backs])


def mean_psnr(originals: np.ndarray, backs: np.ndarray) -> float:
    """The mean PSNR, in dB, of pairs of pictures."""
    return float(np.mean([quality.psnr(Image.fromarray(a), Image.fromarray(b)) for a, b in zip(originals, backs, strict=True)]))


def follows(judge, pictures: np.ndarray, asked: list[faces.Face]) -> dict[str, float]:
    """The share of pictures in which the classifier reads an attribute, where the prompt asks for it.

    For attributes that are present or absent, also the share without it, where the prompt does not
    ask for it.
    """
    said, shares = classifier.read(judge, pictures), {}
    for score, wanted in SCORES.items():
        name = READ_AS[score]
        right = [answer[name] == getattr(face, name) for answer, face in zip(said, asked, strict=True) if wanted(face)]
        shares[score] = float(np.mean(right))
        if isinstance(getattr(asked[0], name), bool):
            others = [not answer[name] for answer, face in zip(said, asked, strict=True) if not wanted(face)]
            shares[f"no {score}"] = float(np.mean(others))
    return shares


def share_of_faces(judge, pictures: np.ndarray) -> float:
    """The share of pictures that the classifier takes for faces."""
    return float(np.mean([answer["is_face"] for answer in classifier.read(judge, pictures)]))


def kernel_distance(judge, real: np.ndarray, made: np.ndarray) -> float:
    """KID of the classifier's features: 0 where equal."""
    return distances.kid(features(judge, made), features(judge, real))


@torch.inference_mode()
def features(judge, pictures: np.ndarray) -> np.ndarray:
    """What the classifier reads attributes from, [N, 128]."""
    return np.concatenate([judge.features(pictures_of(pictures, slice(i, i + 500)).cpu()).numpy() for i in range(0, len(pictures), 500)])


def nearest(judge, made: np.ndarray, training: np.ndarray) -> scores.Memorised:
    """How near pictures come to those of the training, by their numbers."""
    numbers = [list(map(str, range(len(pictures)))) for pictures in (made, training)]
    return memorised.of(features(judge, made), features(judge, training), *numbers, "drawn faces", "reader")


def noise(count: int) -> np.ndarray:
    """Pictures of uniform noise, uint8 [N, 64, 64, 3]."""
    return np.random.RandomState(0).randint(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def spread(judge, pictures: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """How the pictures' attributes are distributed, compared with the data's.

    By attribute, the total variation distance between the shares of its values, from 0 (equal) to 1.
    As `kinds`, the number of different combinations of all attributes, relative to as many real faces
    (1: as varied).
    """
    made, data = classifier.read(judge, pictures), classifier.read(judge, real)
    distances = {}
    for name, values in classifier.VALUES.items():
        if name != "is_face":
            shares = [Counter(answer[name] for answer in said) for said in (made, data)]
            distances[name] = sum(abs(shares[0][v] / len(made) - shares[1][v] / len(data)) for v in values) / 2
    count = min(len(made), len(data))
    kinds = [len({tuple(answer.values()) for answer in said[:count]}) for said in (made, data)]
    return distances | {"kinds": kinds[0] / kinds[1]}
