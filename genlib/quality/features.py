"""Networks between whose features pictures are compared, and what else they say of pictures.

Why DINOv2 and CLIP rather than Inception: Stein et al. 2023 (arXiv:2306.04675) and Jayasumana et al. 2024
(arXiv:2401.09603) find that distances of Inception's features contradict people. Figures of different
networks never compare. Stable Diffusion v1 reads prompts by this same CLIP, which flatters its CLIP score.
"""
import hashlib
import importlib.util
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from genlib import device, progress
from genlib.quality import face_reader
from genlib.quality.folder import Folder

BATCH = 32  # pictures at once
TIMEOUT_S = 10
CLIP_MEAN, CLIP_SD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Pinned(NamedTuple):
    """A model of the Hub as it was at one moment."""
    id: str
    revision: str
    size: str


HUB = {"dinov2": Pinned("facebook/dinov2-base", "f9e44c814b77203eaa57a6bdbbd535f21ede1415", "0.35 GB"),
       "clip": Pinned("openai/clip-vit-large-patch14", "32bd64288804d66eefd0ccbe215aa642df71cc41", "1.7 GB")}
FIDELITY = "torch-fidelity's InceptionV3 (inception-v3-compat)"


class Network(NamedTuple):
    """A network that is loaded."""
    what: str  # which one exactly
    side: int  # of the square that it sees
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]  # it sees (picture in [0, 1] - mean) / deviation
    features: Callable[[Tensor], Tensor]  # [N, 3, side, side] -> [N, D]
    model: torch.nn.Module


class Missing(Exception):
    """A network cannot be had; its text says why, in a sentence."""


@lru_cache
def load(name: str) -> Network:
    """A network by its name in scores.NETWORKS. Raises Missing where it is not here and cannot be had."""
    return dict(reader=_reader, dinov2=_dinov2, clip=_clip, inception=_inception)[name]()


def there(name: str) -> bool:
    """Whether the packages that a network needs are installed."""
    return name != "inception" or importlib.util.find_spec("torch_fidelity") is not None


def _reader() -> Network:
    model = face_reader.load().to(device.pick())
    what = f"{face_reader.FILE.name}, sha256 {hashlib.sha256(face_reader.FILE.read_bytes()).hexdigest()}"
    return Network(what, face_reader.SIDE, (0.5,) * 3, (0.5,) * 3, model.features, model)


def _dinov2() -> Network:
    from transformers import Dinov2Model

    model = _from_hub("dinov2", Dinov2Model)
    return Network(_what("dinov2"), 224, IMAGENET_MEAN, IMAGENET_SD, lambda x: model(pixel_values=x).pooler_output, model)


def _clip() -> Network:
    from transformers import CLIPModel

    model = _from_hub("clip", CLIPModel)
    return Network(_what("clip"), model.config.vision_config.image_size, CLIP_MEAN, CLIP_SD,
                   lambda x: model.visual_projection(model.vision_model(pixel_values=x).pooler_output), model)


def _inception() -> Network:
    if not there("inception"):
        raise Missing("InceptionV3 needs the package torch-fidelity: pip install torch-fidelity")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        model = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).to(device.pick())
    except OSError as error:
        raise Missing(f"InceptionV3's weights (0.1 GB) are not here and cannot be downloaded ({_short(error)}): connect once") from None
    return Network(FIDELITY, 299, (0.0,) * 3, (1 / 255,) * 3, lambda x: model(x.round().to(torch.uint8))[0], model)


def _what(name: str) -> str:
    return f"{HUB[name].id} at {HUB[name].revision}"


def _from_hub(name: str, kind: type) -> torch.nn.Module:
    """The model of the class, from safetensors alone, in float32 on the device. Raises Missing."""
    return _fetched(name, kind, use_safetensors=True).eval().requires_grad_(False).to(device.pick())


def _fetched(name: str, kind: type, **options):
    """From the Hub's cache, else from the Hub. Raises Missing."""
    from huggingface_hub import HfApi

    id, revision, size = HUB[name]
    with suppress(OSError, ValueError):
        return kind.from_pretrained(id, revision=revision, local_files_only=True, **options)
    try:
        HfApi().model_info(id, revision=revision, timeout=TIMEOUT_S)  # loading would try for a minute
        return kind.from_pretrained(id, revision=revision, **options)
    except Exception as error:  # of whichever HTTP library the Hub's client uses
        raise Missing(f"{id} ({size}) is not in the Hub's cache and cannot be downloaded ({_short(error)}): connect once") from None


def _short(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(". ")[:150]


def pixels(pictures: list[Image.Image], network: Network) -> Tensor:
    """Their middle squares as the network sees them, [N, 3, side, side]."""
    squares = [np.asarray(ImageOps.fit(picture, (network.side, network.side), Image.Resampling.BICUBIC)) for picture in pictures]
    x = torch.from_numpy(np.stack(squares)).to(device.pick()).permute(0, 3, 1, 2) / 255
    mean, deviation = (torch.tensor(values, device=x.device).view(1, 3, 1, 1) for values in (network.mean, network.deviation))
    return (x - mean) / deviation


@lru_cache(8)
def of_folder(name: str, folder: Folder) -> np.ndarray:
    """A network's features of all pictures of a folder, float32 [N, D]; kept for the next call."""
    return _through(folder, load(name), load(name).features, f"{folder.path.name} through {name}")


@torch.inference_mode()
def _through(folder: Folder, network: Network, what: Callable[[Tensor], Tensor], title: str) -> np.ndarray:
    found = []
    with progress.Task(title, len(folder), "pictures") as task:
        for start in range(0, len(folder), BATCH):
            some = folder.pictures(start, start + BATCH)
            found.append(what(pixels(some, network)).float().cpu().numpy())
            task.update(len(some))
    return np.concatenate(found)


def have_faces(folder: Folder) -> np.ndarray:
    """Whether each picture shows a face, bool [N].

    Of pictures of 64 x 64 the reader says it, which knows drawn faces; of others OpenCV's cascade of local
    binary patterns, which knows photographs seen from the front and ships with scikit-image.
    """
    if is_small(folder):
        network = load("reader")
        return _through(folder, network, lambda x: network.model(x)[:, -2:], "faces").argmax(axis=1).astype(bool)
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    cascade, found = Cascade(lbp_frontal_face_cascade_filename()), []
    with progress.Task("faces", len(folder), "pictures") as task:
        for number in range(len(folder)):
            [picture] = folder.pictures(number, number + 1)
            grey = picture.convert("L")
            grey.thumbnail((256, 256))
            found.append(bool(cascade.detect_multi_scale(np.asarray(grey), scale_factor=1.2, step_ratio=1, min_size=(48, 48),
                                                         max_size=(256, 256))))
            task.update()
    return np.array(found)


def is_small(folder: Folder) -> bool:
    """Whether its pictures are of the size that the demo models draw."""
    return folder.pictures(0, 1)[0].size == (face_reader.SIDE, face_reader.SIDE)


@torch.inference_mode()
def clip_scores(folder: Folder, prompts: list[str]) -> np.ndarray:
    """100 times the cosine between CLIP's features of each picture and of its prompt, at least 0; float [N].

    Hessel et al. 2021, arXiv:2104.08718, who multiply by 2.5 instead of 100. The picture of seed s has line s
    of `prompts`, starting over after the last. Raises Missing.
    """
    from transformers import CLIPTokenizer

    model, tokenizer = load("clip").model, _fetched("clip", CLIPTokenizer)
    asked = [prompts[seed % len(prompts)] for seed in folder.seeds]
    words = []
    for start in range(0, len(asked), BATCH):
        tokens = tokenizer(asked[start:start + BATCH], padding=True, truncation=True, max_length=77, return_tensors="pt").to(model.device)
        words.append(model.text_projection(model.text_model(**tokens).pooler_output).float().cpu().numpy())
    seen, read = of_folder("clip", folder), np.concatenate(words)
    cosines = (seen * read).sum(axis=1) / np.linalg.norm(seen, axis=1) / np.linalg.norm(read, axis=1)
    return 100 * np.maximum(cosines, 0)
