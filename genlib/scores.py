"""How good a folder's pictures are: the record `scores.json` beside them, which `genlib score` writes."""
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from genlib import checks
from genlib.files import read_regular, write_atomically
from genlib.locale import N_
from genlib.record import PERCENT, QUALITIES, Reading

FILE, CLOSEST = "scores.json", "closest.png"  # that scoring leaves beside the pictures
SCHEMA = 1
NETWORKS = {  # whose features distances are taken between, and how they are called
    "reader": N_("a reader of the demo’s faces"), "dinov2": "DINOv2", "clip": "CLIP", "inception": "InceptionV3"}
BY_NETWORK = {  # the figures of each network, as `kid_dinov2`
    "frechet": Reading(N_("Fréchet distance")),
    "kid": Reading(N_("KID", "quality")),
    "precision": Reading(N_("Precision", "quality"), PERCENT, scale=0.01),
    "recall": Reading(N_("Recall", "quality"), PERCENT, scale=0.01),
}
FIGURES = {  # the others
    "clip_score": Reading(N_("CLIP score")),
    "faces": Reading(N_("Pictures with a face"), PERCENT, scale=0.01),
    "psnr_db": QUALITIES["psnr_db"],
    "ssim": QUALITIES["ssim"],
    "lpips": Reading(N_("LPIPS", "quality")),
}
SHARE = 0, 1
RANGES = {  # where a figure may be below 0 or may not be above 1
    "precision": SHARE, "recall": SHARE, "faces": SHARE, "ssim": (-1, 1), "kid": (-1e9, 1e9), "psnr_db": (-1e9, 1e9)}
AGAIN = "delete it or score again"


@dataclass
class Figure:
    """A figure with its interval."""
    value: float
    low: float | None  # of the 95 % interval, by bootstrap over the pictures, of shares by Wilson's score
    high: float | None
    n: int  # pictures, or pairs of them, that it is of
    least: int  # with fewer it is not given


@dataclass
class Drawn:
    """What drew the pictures, in the words of a run's record; None where it is not known."""
    experiment: str | None = None
    variant: str = ""
    method: str | None = None
    model: str | None = None
    weights: str | None = None
    profile: str | None = None
    dtype: str | None = None
    machine: str | None = None  # its slug
    device: str | None = None
    settings: dict = field(default_factory=dict)
    time_s: float | None = None  # an image, the mean
    timed: int | None = None  # images that this is the mean of


@dataclass
class Against:
    """The pictures that they are compared with."""
    folder: str
    pictures: int
    sha256: str  # of the sorted sha256 of its files, a line each


@dataclass
class Memorised:
    """How near the pictures come to those that a model was trained on: distances of features."""
    training: str  # the folder
    pictures: int  # in it
    network: str  # whose features: a key of NETWORKS
    nearest_median: float  # from a picture to the nearest training picture
    training_nearest_median: float  # from a training picture to the nearest other one
    closer_than_training: float  # share of pictures that are nearer to one than 99 % of training pictures are to each other
    closest: list[tuple[str, str, float]] = field(default_factory=list)  # picture, training picture, distance


@dataclass
class Scores:
    """The record of one folder."""
    folder: str  # its name
    pictures: int
    scored: str  # when, in ISO format
    drawn: Drawn | None = None
    against: Against | None = None
    features: dict[str, str] = field(default_factory=dict)  # by network, which one exactly: its revision or sha256
    figures: dict[str, Figure] = field(default_factory=dict)  # by name: see `reading`
    left_out: dict[str, str] = field(default_factory=dict)  # by figure, why it is not there
    memorised: Memorised | None = None
    schema: int = SCHEMA

    def save(self, folder) -> Path:
        """Write scores.json into a folder, whole or not at all; return its path.

        Raises ValueError for what could not be read back, OSError if it cannot be written.
        """
        path = Path(folder) / FILE
        write_atomically(path, self.to_json().encode())
        return path

    def to_json(self) -> str:
        """The text of scores.json. Raises ValueError for what could not be read back."""
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"
        parse(text)
        return text


def now() -> str:
    """The moment, as `Scores.scored` has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def split(name: str) -> tuple[str, str]:
    """A figure's kind and network: "kid_dinov2" -> ("kid", "dinov2"), "faces" -> ("faces", "")."""
    kind, _, network = name.rpartition("_")
    return (kind, network) if kind in BY_NETWORK and network in NETWORKS else (name, "")


def reading(name: str) -> Reading:
    """How a figure is shown; that of what network, `split` and NETWORKS say. KeyError for an unknown name."""
    kind, network = split(name)
    return BY_NETWORK[kind] if network else FIGURES[kind]


def read(path) -> Scores:
    """The scores in a file, which may be a stranger's.

    Raises ValueError, in one sentence that names the file, if it is broken, incomplete or implausible, and
    OSError if it cannot be read.
    """
    text = read_regular(Path(path), checks.RECORD_BYTES)
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def parse(text: str | bytes) -> Scores:
    """The scores in the text of a scores.json. Raises ValueError as `read`, without the file."""
    scores = checks.read_as(Scores, text, SCHEMA, AGAIN)
    for place, value, (low, high) in _numbers(scores):
        if value is not None and not low <= value <= high:
            raise checks.wrong(place, f"it is {value:g}, and must lie between {low:g} and {high:g}", AGAIN)
    return scores


def _numbers(scores: Scores):
    """Every number, with its place and the least and the most that it may be."""
    pictures = 1, 10**9
    yield ("pictures",), scores.pictures, pictures
    if drawn := scores.drawn:
        yield from [(("drawn", "time_s"), drawn.time_s, checks.RANGES["time_s"]), (("drawn", "timed"), drawn.timed, pictures)]
    if scores.against:
        yield ("against", "pictures"), scores.against.pictures, pictures
    for name, figure in scores.figures.items():
        kind, network = split(name)
        if not network and kind not in FIGURES:
            raise checks.wrong(("figures", name), "this genlib knows no such figure", "update it or score again")
        usual = RANGES.get(kind, (0, checks.LARGEST))
        high = figure.low or usual[0], usual[1]
        for part, bounds in dict(value=usual, low=usual, high=high, n=(max(1, figure.least), 10**9)).items():
            yield ("figures", name, part), getattr(figure, part), bounds
    if found := scores.memorised:
        usual = 0, checks.LARGEST
        bounds_of = dict(pictures=pictures, nearest_median=usual, training_nearest_median=usual, closer_than_training=SHARE)
        for name, bounds in bounds_of.items():
            yield ("memorised", name), getattr(found, name), bounds
