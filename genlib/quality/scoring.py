"""Score a folder's pictures: which figures can be given of them, and why others cannot."""
import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from genlib import progress
from genlib.files import replacing
from genlib.quality import distances, drawn, features, memorised
from genlib.quality.folder import Folder, find
from genlib.quality.metrics import psnr, ssim
from genlib.scores import CLOSEST, NETWORKS, Against, Figure, Scores, now

LEAST = {"clip_score": 10, "faces": 10, "psnr_db": 5, "ssim": 5, "lpips": 5}  # pictures, or pairs, that a figure needs
RESAMPLINGS = 2000


def score(folder, against=None, *, training=None, prompts: list[str] | None = None, pairs=None,
          networks: list[str] | None = None) -> Scores:
    """Judge the pictures of a folder, and leave scores.json beside them; run.json is not touched.

    folder: of a run, of `genlib generate`, or any with JPEG, PNG or WebP files in it or below.
    against: a folder of the pictures that they should be like, for Fréchet distance, KID, precision, recall.
    training: a folder of what the model was trained on; the closest pairs are shown in closest.png.
    prompts: for CLIP score; the picture of seed s was asked for by line s, starting over after the last.
    pairs: a folder with the same pictures made in another way, by the same names: for PSNR, SSIM, LPIPS.
    networks: names of scores.NETWORKS. Without them: the reader for pictures of 64 x 64, the demo's size, and
    for others DINOv2 and CLIP, with Inception where torch-fidelity is installed.
    A figure that needs more pictures, or weights that cannot be had, is left out, and `left_out` says why.
    Raises ValueError for folders without pictures, damaged pictures and unknown networks.
    """
    here = find(folder)
    against, training, pairs = (other and _other(here, find(other)) for other in (against, training, pairs))
    if pairs:
        pairs = _paired(here, pairs)
    if training and len(training) < 2:
        raise ValueError(f"{training.path} has one picture: give at least two pictures of the training")
    if odd := set(networks or []) - set(NETWORKS):
        raise ValueError(f"there is no network {min(odd)!r}: use {', '.join(NETWORKS)}")
    wanted = networks or _usual(here)
    scores = Scores(here.path.resolve().name, len(here), now(), drawn.by(here.path))
    try:
        scores.to_json()  # now, not after an hour
    except ValueError as error:
        raise ValueError(f"what lies beside the pictures of {here.path} cannot be kept: {error}") from None
    with progress.Task(f"scores {scores.folder}"):
        if against:
            _compare(scores, here, against, wanted)
        _mean(scores, "faces", lambda: features.have_faces(here), len(here))
        if prompts:
            _mean(scores, "clip_score", lambda: features.clip_scores(here, prompts), len(here))
            if "clip_score" in scores.figures:
                scores.features["clip"] = features.load("clip").what
        if pairs:
            _pairs(scores, *pairs)
        if training:
            _memorised(scores, here, training, wanted[0])
    scores.save(here.path)
    return scores


def _other(here: Folder, other: Folder) -> Folder:
    """Raises ValueError where both would judge the same files, by which every figure flatters."""
    one, two = here.path.resolve(), other.path.resolve()
    if one.is_relative_to(two) or two.is_relative_to(one):
        raise ValueError(f"{other.path} and {here.path} have pictures in common: give a folder that lies apart")
    return other


def _paired(here: Folder, other: Folder) -> list[Folder]:
    """The pictures of both folders that have the same names. Raises ValueError without any."""
    both = [file for file in here.files if file in set(other.files)]
    if not both:
        raise ValueError(f"{other.path} has no picture of the same name as one of {here.path}: give two folders of the same seeds")
    return [Folder(folder.path, tuple(both), "") for folder in (here, other)]


def _usual(folder: Folder) -> list[str]:
    if features.is_small(folder):
        return ["reader"]
    return [name for name in ("dinov2", "clip", "inception") if features.there(name)]


def _compare(scores: Scores, here: Folder, other: Folder, networks: list[str]) -> None:
    scores.against = Against(other.path.resolve().name, len(other), other.sha256)
    for name in networks:
        try:
            made, real = features.of_folder(name, here), features.of_folder(name, other)
        except features.Missing as why:
            scores.left_out |= {f"{kind}_{name}": str(why) for kind in distances.KINDS}
            continue
        scores.features[name] = features.load(name).what
        needs = {kind: distances.least(kind, made.shape[1]) for kind in distances.KINDS}
        enough = [kind for kind, least in needs.items() if min(len(made), len(real)) >= least]
        with progress.Task(f"distances by {name}", len(enough)) as task:
            found = distances.of_kinds(enough, made, real, task.update)
        scores.figures |= {f"{kind}_{name}": figure for kind, figure in found.items()}
        scores.left_out |= {f"{kind}_{name}": f"it needs {least} pictures in each folder, and there are {len(made)} and {len(real)}"
                            for kind, least in needs.items() if kind not in enough}


def _mean(scores: Scores, name: str, values, n: int) -> None:
    """The mean of a value of each picture, with its interval; `values` is called only if there are enough."""
    if n < LEAST[name]:
        scores.left_out[name] = f"it needs {LEAST[name]} pictures, and there are {n}"
        return
    try:
        found = values()
    except features.Missing as why:
        scores.left_out[name] = str(why)
        return
    if not np.isfinite(found).all():
        scores.left_out[name] = f"{np.sum(~np.isfinite(found))} of the {n} pairs are identical, for which it is infinite"
    elif found.dtype == bool:  # Wilson's, since resampling only pictures with a face would leave no doubt
        interval = np.clip(proportion_confint(found.sum(), n, method="wilson"), 0, 1)  # beyond which older statsmodels round
        scores.figures[name] = Figure(float(found.mean()), *map(float, interval), n, LEAST[name])
    else:
        spread = stats.bootstrap((found,), np.mean, n_resamples=RESAMPLINGS, method="percentile", rng=np.random.default_rng(0))
        scores.figures[name] = Figure(float(found.mean()), *map(float, spread.confidence_interval), n, LEAST[name])


def _pairs(scores: Scores, here: Folder, other: Folder) -> None:
    """Raises ValueError for two pictures of different sizes."""
    for name, of_pair in {"psnr_db": psnr, "ssim": ssim}.items():
        _mean(scores, name, lambda of_pair=of_pair: np.array([of_pair(*some) for some in _each(here, other)]), len(here))
    _mean(scores, "lpips", lambda: _lpips(here, other), len(here))


def _each(here: Folder, other: Folder):
    with progress.Task("pairs", len(here), "pairs") as task:
        for number in range(len(here)):
            yield [folder.pictures(number, number + 1)[0] for folder in (here, other)]
            task.update()


def _lpips(here: Folder, other: Folder) -> np.ndarray:
    """Of AlexNet, by torchmetrics; Zhang et al. 2018, arXiv:1801.03924. Raises Missing."""
    import torch

    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        lpips = LearnedPerceptualImagePatchSimilarity("alex")
    except (ImportError, OSError) as error:
        why = str(error).splitlines()[0].rstrip(".")
        raise features.Missing(f"LPIPS needs torchmetrics, torchvision and AlexNet's weights, 0.2 GB ({why:.150})") from None
    tensors = ([torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1 for picture in some] for some in _each(here, other))
    return np.array([float(lpips(*some)) for some in tensors])


def _memorised(scores: Scores, here: Folder, training: Folder, network: str) -> None:
    try:
        made, known = features.of_folder(network, here), features.of_folder(network, training)
    except features.Missing as why:
        scores.left_out["memorised"] = str(why)
        return
    scores.features[network] = features.load(network).what
    scores.memorised = memorised.of(made, known, here.files, training.files, training.path.resolve().name, network)
    pairs = [(*(Folder(folder.path, (file,), "").pictures()[0] for folder, file in ((here, own), (training, near))), distance)
             for own, near, distance in scores.memorised.closest]
    with replacing(here.path / CLOSEST) as file:
        memorised.sheet(pairs).save(file, "png")
