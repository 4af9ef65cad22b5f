"""What can be measured: one entry for each experiment, which everything else iterates over. Loads no torch.

To add an experiment, add an entry to EXPERIMENTS and measure a call under its slug. Tables, figures,
conclusions, the commands and the doctor then show it.
"""
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from genlib.locale import N_
from genlib.record import MB

STEPS = 50  # the thesis's number of denoising steps
# Of the published models, as `commands.forecast` counts them; a test holds the two together.
PARAMETERS = {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480, "safety_checker": 303_981_588, "generator": 30_276_583}
FLOPS = {"text_encoder": 13_298_503_680, "unet": 1_606_546_882_560, "encoder": 1_116_658_466_816, "decoder": 2_514_518_933_504,
         "generator": 120_430_689_792}  # of a call, the UNet's with guidance
DECODED_VALUES = 2 * 256 * 512 * 512  # that the decoder's largest convolution takes and gives: both are there at once


@dataclass(frozen=True)
class Loop:
    """A setting that a notebook varies to see how cost grows."""
    setting: str  # in the run's settings
    unit: str  # what a line counts
    is_side: bool = False  # pixels of a square's side: the line counts megapixels
    renames_model: bool = False  # a network of another name for each condition


@dataclass(frozen=True)
class Published:
    """The figures that the thesis published, in SI units. MB are 1024² bytes."""
    averages: Mapping[str, float]  # of its Table 1, by reading
    read_otherwise: frozenset[str] = frozenset()  # readings taken another way than ours: no ratio is formed of them
    times_s: tuple[float, ...] = ()  # of each iteration, as printed
    steps_per_s: tuple[float, float] | None = None  # the slowest and the fastest of its progress bars
    vram_bytes: int | None = None  # printed for every iteration
    ram_bytes: int | None = None  # printed for every iteration
    ram_divided_by: int = MB  # bytes, by its listing, which prints "MB"


@dataclass(frozen=True)
class Experiment:
    """What is known of an experiment."""
    slug: str
    label: str  # in every table and figure but Table 1
    family: str = ""  # the kind of model
    thesis_label: str = ""  # in Table 1, whose note equates it with the label
    notebook: str = ""  # the notebook that measures it; its name begins with a number of its own
    colour: str = "#999999"
    hatch: str = "\\\\"
    marker: str = "s"
    table: str = "results"  # its main table: "results" is Table 1
    measured: str = ""  # what a call of it does, in the table of methods
    takes_text: bool = False
    variants: Mapping[str, str] = field(default_factory=dict)  # what its variants are called, but those of loops and precisions
    ways: tuple[str, ...] = ()  # variants that are methods of their own
    prompted_variant: str = ""  # the variant that is drawn from a prompt, where the run itself is not
    pictured_variant: str = ""  # the variant whose pictures are shown instead of the run's, which are all the same
    contains: str = ""  # the experiment whose whole call is a part of this one's, so that conclusions do not rank both
    own_ram: bool = True  # of records without `loaded_before`: False where the process had run another model
    steps_of_originals: bool = False  # its settings' steps, in records that have them, are those by which its originals were drawn
    loops: tuple[Loop, ...] = ()
    loops_from: tuple[str, ...] = ("",)  # the variant from which the loops set out, and in earlier records did
    published: Published | None = None
    model: str = ""  # that the publication is about, where a user can choose another
    parts: Callable[[int], Mapping[str, float]] | None = None  # calls of each network for an image, by denoising steps
    papers: tuple[str, ...] = ()  # that describe it, by their keys in genlib/report/chapter/sources.py
    # Whole images that its notebook draws, by its parameters, with `device.precisions` for PRECISIONS_TRIED.
    images: Callable[[Mapping], float] | None = None

    @property
    def name_in_table1(self) -> str:
        """The name by which Table 1 shows it."""
        return self.thesis_label or self.label

    def is_other_model(self, row: Mapping) -> bool:
        """Whether a row of runs is of another model than the published one, for which a demo's stands."""
        return bool(self.model) and row["model"] not in ("", self.model) and row["weights"] != "demo"


def _diffusion(steps: int) -> dict[str, float]:
    """Guidance takes two prompts and a batch of two; PNDM calls the UNet once more than it has steps."""
    return {"text_encoder": 2, "unet": steps + (steps > 1), "decoder": 1}


def _images_of_stable_diffusion(p: Mapping) -> float:
    n, steps = p["ITERATIONS"], p["STEPS"]
    loops = sum(p["SHARES_OF_STEPS_TRIED"]) + sum({1, *p["BATCHES_TRIED"]} if p["BATCHES_TRIED"] else ()) * min(5, steps) / steps
    without_guidance = (1 + n) / 2
    return 2 * (1 + n) + 3 * loops + n + without_guidance + 1 + 4 * len(p["PRECISIONS_TRIED"])


def _round_trips(p: Mapping) -> float:
    loops = sum(scale**2 for scale in p["SCALES_TRIED"]) + sum(p["BATCHES_TRIED"])
    return 2 * (1 + p["ITERATIONS"]) + 3 * loops + 8 + 4 * len(p["PRECISIONS_TRIED"])


def _images_of_stylegan2(p: Mapping) -> float:
    of_two_faces = 2 * (10 + p["ITERATIONS"]) + 4
    return 10 + 2 * p["ITERATIONS"] + of_two_faces + 4 * sum(p["BATCHES_TRIED"]) + 4 * len(p["PRECISIONS_TRIED"]) + 9


STABLE_DIFFUSION = Experiment(
    "stable-diffusion", label=N_("Stable Diffusion"), family=N_("diffusion model"), notebook="1_stable_diffusion",
    colour="#0072B2", hatch="", marker="o", measured=N_("a picture from a latent"), takes_text=True, prompted_variant="face-prompt",
    variants={"face-prompt": N_("with a prompt"), "guidance-1": N_("without guidance")},
    loops=(Loop("steps", N_("steps", "unit of a line")), Loop("batch_size", N_("images in a batch"))),
    published=Published(
        dict(time_s=7.93, vram_peak_bytes=5619 * MB, ram_bytes=4271 * MB), times_s=(7.79, 7.83, 7.94, 8.06, 8.05), steps_per_s=(6.5, 6.9),
        vram_bytes=round(5619.66 * MB), ram_bytes=round(4278.79 * MB)),  # so printed, though its table says 4271
    model="Stable Diffusion v1-4", parts=_diffusion, papers=("rombach2022", "radford2021", "ho2022", "liu2022"),
    images=_images_of_stable_diffusion)

VAE_AS_IN_THESIS = Experiment(
    "vae-as-in-thesis", label=N_("VAE (+SD)"), family=N_("variational autoencoder"),
    thesis_label=N_("Variational Autoencoders"), notebook="2_vae_round_trip",
    colour="#E69F00", hatch="//", marker="s", measured=N_("a face from a prompt, encoded and decoded"), contains=STABLE_DIFFUSION.slug,
    published=Published(
        dict(time_s=7.96, vram_peak_bytes=1136 * MB, ram_bytes=3917 * MB),
        read_otherwise=frozenset({"vram_peak_bytes"}),  # GPUtil: the whole device, read once after the iteration
        times_s=(7.86, 7.88, 8.07, 8.09, 7.94), steps_per_s=(6.58, 6.91)),
    model=STABLE_DIFFUSION.model, parts=lambda steps: _diffusion(steps) | {"encoder": 1, "decoder": 2},
    papers=("kingma2014", "rombach2022", "radford2021", "ho2022", "liu2022", "wang2004"),
    images=lambda p: 2 * p["ITERATIONS"] + 2 + 4 * p["PRECISIONS_TRIED"].count("float32"))

VAE_ROUND_TRIP = Experiment(
    "vae-round-trip", label=N_("VAE alone"), family=N_("variational autoencoder"), notebook="2_vae_round_trip",
    colour="#CC79A7", hatch="..", marker="D", measured=N_("a picture, encoded and decoded"), own_ram=False, steps_of_originals=True,
    pictured_variant="faces", loops_from=("", "photograph"),
    variants={"photograph": N_("of a photograph"), "faces": N_("of faces")},
    loops=(Loop("size", N_("megapixels", "unit of a line"), is_side=True), Loop("batch_size", N_("images in a batch"))),
    model=f"VAE of {STABLE_DIFFUSION.model}", parts=lambda steps: {"encoder": 1, "decoder": 1},
    papers=("kingma2014", "rombach2022", "wang2004"), images=_round_trips)

STYLEGAN2_ADA = Experiment(
    "stylegan2-ada", label=N_("StyleGAN2-ADA", "model"), family=N_("generative adversarial network"),
    thesis_label=N_("Generative Adversarial Networks"), notebook="3_stylegan2_ada",
    colour="#009E73", hatch="xx", marker="v", measured=N_("a picture from a latent"),  # colours: Okabe & Ito 2008
    variants={"style-mixing": N_("style mixing of two faces"), "interpolation": N_("halfway between two faces")},
    ways=("style-mixing", "interpolation"),
    loops=(Loop("batch_size", N_("images in a batch")),
           Loop("resolution", N_("megapixels", "unit of a line"), is_side=True, renames_model=True)),
    published=Published(dict(time_s=0.15, vram_peak_bytes=400 * MB, ram_bytes=260 * MB),  # averages only
                        read_otherwise=frozenset({"time_s", "ram_bytes"}),  # until the call returns; in another unit
                        ram_divided_by=1024**3),
    model="StyleGAN2-ADA 512 px", parts=lambda steps: {"generator": 1},
    papers=("goodfellow2014", "karras2019", "karras2020", "karras2020ada"),
    images=_images_of_stylegan2)

EXPERIMENTS = [STABLE_DIFFUSION, VAE_AS_IN_THESIS, VAE_ROUND_TRIP, STYLEGAN2_ADA]  # in the thesis's order
OTHER_METHODS = [  # in the table of methods alone: what draws without a model, and services, which `genlib record` takes
    Experiment("drawn-faces", label=N_("Drawn faces"), family=N_("procedural graphics"), notebook=STYLEGAN2_ADA.notebook, table="methods",
               measured=N_("a face drawn by rules from a seed")),
    Experiment("dall-e-2", label="DALL-E 2", family=STABLE_DIFFUSION.family, table="methods"),
    Experiment("midjourney", label="MidJourney", table="methods"),  # which tells nobody what it is
    Experiment("runway", label="Runway", family=STABLE_DIFFUSION.family, table="methods")]


def find(slug: str) -> Experiment:
    """The entry of a slug; for one without an entry, one that shows its runs under the slug itself."""
    return next((entry for entry in EXPERIMENTS + OTHER_METHODS if entry.slug == slug), Experiment(slug, label=slug))
