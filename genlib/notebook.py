"""What Colab, Kaggle and a laptop do differently: where results go and how they travel, what the machine is."""
import io
import os
import re
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

from genlib import runs
from genlib.files import pack, write_atomically

COLAB = "https://colab.research.google.com/github/"
DRIVE = Path("/content/drive")  # where Colab's own examples mount it
PROJECT = Path(__file__).resolve().parent.parent
NEEDED = {  # modules, and the packages that bring them
    "torch": "torch", "diffusers": "diffusers", "transformers": "transformers", "accelerate": "accelerate", "safetensors": "safetensors",
    "huggingface_hub": "huggingface_hub", "numpy": "numpy", "pandas": "pandas", "matplotlib": "matplotlib", "PIL": "pillow",
    "skimage": "scikit-image", "psutil": "psutil", "pydantic": "pydantic", "packaging": "packaging", "jinja2": "Jinja2",
    "pynvml": "nvidia-ml-py", "docx": "python-docx", "babel": "Babel", "GPUtil": "GPUtil", "papermill": "papermill",
    "nbconvert": "nbconvert"}
MEASURED_BY = {"stable-diffusion": 1, "vae-round-trip": 2, "stylegan2-ada": 3}  # which notebook leaves the experiment


def results_folder(results: str | Path, use_drive: bool = False) -> Path:
    """The folder that runs are kept in: what the environment variable GENLIB_RESULTS says, else `results`; made if missing.

    use_drive: on Colab, mount the user's Drive and keep them in its folder `genlib/results`, which outlives the machine.
    Raises ValueError for use_drive anywhere else, OSError where the folder cannot be made.
    """
    folder = Path(os.environ.get("GENLIB_RESULTS") or (_drive() / "genlib" / "results" if use_drive else results))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"the results folder {folder} cannot be made ({error.strerror}): choose another RESULTS") from None
    return folder


def _drive() -> Path:
    try:
        from google.colab import drive
    except ImportError:
        raise ValueError("USE_DRIVE is on, but Google Drive is at hand on Colab only: switch it off; RESULTS names a folder") from None
    drive.mount(str(DRIVE))
    return DRIVE / "MyDrive"


def take_along(results: Path, use_drive: bool = False) -> None:
    """At a notebook's end: on Colab, whose machine will be gone, download the runs as one .zip, unless they lie on Drive or where
    GENLIB_RESULTS says; else say where they are. Notebook 4 reads the .zip."""
    try:
        from google.colab import files
    except ImportError:
        files = None
    chosen = os.environ.get("GENLIB_RESULTS")
    if files is None or use_drive or chosen:
        print(f"the runs lie in {results}{' on your Drive' if use_drive and not chosen else ''}: notebook 4 reads them there")
        return
    archive = pack(results)
    print(f"downloads {archive.name}, for notebook 4's UPLOAD; this machine and its files are gone when Colab ends the session")
    files.download(str(archive))


def run_missing(results: Path, weights: str = "auto", profile: str = "thesis") -> None:
    """Execute those of notebooks 1 to 3 whose experiment has no finished run under `results`, each in a process of its own.

    A run of another profile, or of other weights than those asked for, does not count.

    Raises RuntimeError with the command's own last line if it fails; what was measured before stays, and is not measured again.
    """
    there = {run.experiment for run in runs.read_all(results) if run.method == "genlib" and not run.variant
             and run.profile == profile and weights in ("auto", run.weights)}
    missing = sorted(number for experiment, number in MEASURED_BY.items() if experiment not in there)
    if not missing:
        return print("nothing is missing: each experiment has a finished run")
    command = [sys.executable, "-m", "genlib", "run", "--only", ",".join(map(str, missing)), "--results", str(Path(results).resolve()),
               "--weights", weights, "--profile", profile]
    environment = os.environ | {"GENLIB_RESULTS": str(Path(results).resolve())}  # by which their last cells know that nobody downloads
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = [print(line, end="", flush=True) or line for line in process.stdout]
    if process.returncode:
        raise RuntimeError(f"notebooks {missing} did not come to their end: {lines[-1].strip() if lines else 'no output'}")


def upload(results: Path) -> None:
    """On Colab, ask for files from the user's computer, .zip archives of results, and put them into the results folder; say what is none.

    Raises ValueError anywhere else, saying where to put them.
    """
    try:
        from google.colab import files
    except ImportError:
        raise ValueError(f"files are uploaded on Colab only: put the .zip or the folder of results into {results} instead") from None
    for name, data in files.upload().items():
        if zipfile.is_zipfile(io.BytesIO(data)):
            write_atomically(results / Path(name).name, data)
        else:
            print(f"{name} is not a .zip, and was left out: upload the .zip that notebooks 1 to 3 download at their end")


def missing() -> str:
    """The packages that are not installed, and the command that installs them; "" if all are."""
    packages = [package for module, package in NEEDED.items() if not find_spec(module)]
    return f"{', '.join(packages)}: pip install {' '.join(packages)}" if packages else ""


def introduce() -> None:
    """Print which machine and versions this is: what a reader of the notebook needs to compare figures."""
    from genlib import device

    machine = device.describe()
    memory = f"{machine.ram_bytes / 1024**3:.0f} GiB RAM"
    if machine.vram_bytes:
        memory = f"{machine.vram_bytes / 1024**3:.0f} GiB VRAM, {memory}"
    packages = machine.packages
    print(f"{machine.device} ({memory}) · Python {machine.python} · torch {packages['torch']} · diffusers {packages['diffusers']}")


def write_address(repository: str) -> None:
    """Write the project's address on GitHub, "owner/name", where it has to stand: pyproject.toml, README.md, the notebooks."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise SystemExit(f"REPO is {repository!r}: write it as owner/name, as in make colab REPO=owner/name")
    for path in [PROJECT / "pyproject.toml", PROJECT / "README.md", *sorted((PROJECT / "notebooks").glob("*.ipynb"))]:
        text = path.read_text(encoding="utf-8")
        text = re.sub(rf"({re.escape(COLAB)})[\w.-]+/[\w.-]+", rf"\g<1>{repository}", text)
        text = re.sub(r'(REPOSITORY = \\")[^"\\]*', rf"\g<1>{repository}", text)
        text = re.sub(r'^(repository = ")[^"]*', rf"\g<1>{repository}", text, flags=re.MULTILINE)
        path.write_text(text, encoding="utf-8")
