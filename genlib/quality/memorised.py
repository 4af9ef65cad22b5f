"""Memorised or made: how near pictures come to those of the training, and those to each other."""
import numpy as np
from PIL import Image, ImageDraw

from genlib.scores import Memorised

SAMPLE = 1000  # training pictures whose nearest other one is looked for
BLOCK = 200  # rows of distances at once
QUANTILE = 0.01  # of training pictures are nearer to another than what counts as near
PAIRS = 8  # that are shown
TILE, TITLE = 128, 16  # pixels


def of(made: np.ndarray, training: np.ndarray, files: list[str], training_files: list[str], folder: str, network: str) -> Memorised:
    """From features, float [N, D] and [M, D], of one network. Raises ValueError below two training pictures.

    A picture is near if it is no farther from one than the nearest 1 % of training pictures are from each
    other: of pictures that are as new as another sample of the training's, about 1 % are.
    """
    if len(training) < 2:
        raise ValueError(f"{folder} has {len(training)} picture: give at least two pictures of the training")
    which, distances = _nearest(made, training)
    rows = np.random.RandomState(0).permutation(len(training))[:SAMPLE]
    _, among = _nearest(training[rows], training, rows)
    closest = [(files[i], training_files[which[i]], float(distances[i])) for i in np.argsort(distances)[:PAIRS]]
    return Memorised(folder, len(training), network, float(np.median(distances)), float(np.median(among)),
                     float(np.mean(distances <= np.quantile(among, QUANTILE))), closest)


def _nearest(a: np.ndarray, b: np.ndarray, own: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """For each row of a, the number of the nearest row of b and its distance; not `own`, its own number."""
    which, distances = [], []
    b = b.astype(np.float64)
    for start in range(0, len(a), BLOCK):
        x = a[start:start + BLOCK].astype(np.float64)
        squares = (x**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * x @ b.T
        if own is not None:
            squares[np.arange(len(x)), own[start:start + BLOCK]] = np.inf
        which.append(squares.argmin(axis=1))
        distances.append(np.linalg.norm(x - b[which[-1]], axis=1))
    return np.concatenate(which), np.concatenate(distances)


def sheet(pairs: list[tuple[Image.Image, Image.Image, float]], columns: int = 4) -> Image.Image:
    """Pairs beside each other: the made picture at the left, the training picture, their distance above."""
    width, height = 2 * TILE + TITLE, TILE + TITLE
    page = Image.new("RGB", (width * min(columns, len(pairs)), height * -(-len(pairs) // columns)), "white")
    for number, (made, training, distance) in enumerate(pairs):
        x, y = number % columns * width, number // columns * height
        ImageDraw.Draw(page).text((x + 2, y + 2), f"{distance:.3g}", fill="black")
        for place, picture in enumerate((made, training)):
            page.paste(picture.resize((TILE, TILE), Image.Resampling.BICUBIC), (x + place * TILE, y + TITLE))
    return page
