"""What Colab, Kaggle and a laptop do differently: where results are kept, and how they get to notebook 4."""
import ast
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

from genlib import runs
from genlib.archives import pack
from genlib.experiments import EXPERIMENTS
from genlib.files import write_atomically

COLAB = "https://colab.research.google.com/github/"
DRIVE = Path("/content/drive")  # where Colab's own examples mount it
PROJECT = Path(__file__).resolve().parent.parent
NEEDED = {  # modules that a run imports, and the packages that bring them
    "torch": "torch", "diffusers": "diffusers", "transformers": "transformers", "accelerate": "accelerate", "safetensors": "safetensors",
    "huggingface_hub": "huggingface_hub", "numpy": "numpy", "pandas": "pandas", "matplotlib": "matplotlib", "PIL": "pillow",
    "skimage": "scikit-image", "psutil": "psutil", "pydantic": "pydantic", "packaging": "packaging", "jinja2": "Jinja2",
    "pynvml": "nvidia-ml-py", "docx": "python-docx", "babel": "Babel", "GPUtil": "GPUtil", "papermill": "papermill",
    "nbconvert": "nbconvert"}


def number(name: str) -> int:
    """The number with which a notebook's name begins. Raises ValueError if it begins with none."""
    first = name.partition("_")[0]
    if not first.isdecimal():
        raise ValueError(f"the notebook {name!r} in genlib/experiments.py begins with no number: name it as in 5_{name}")
    return int(first)


def parameters(name: str) -> dict:
    """The parameters of one of the project's notebooks: the values in its cell, None for what is no literal.

    {} if there is no such notebook, as in an installed package. Raises ValueError if the cell cannot be read.
    """
    path = PROJECT / "notebooks" / f"{name}.ipynb"
    if not path.exists():
        return {}
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        source = "\n".join("".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", []))
        lines = ast.parse(source).body
    except (ValueError, KeyError, SyntaxError) as error:
        raise ValueError(f"the parameters of {path} cannot be read ({error}): keep to one cell tagged `parameters`, with lines as in "
                         "STEPS = 50") from None
    targets = {line: line.target if isinstance(line, ast.AnnAssign) else line.targets[0] for line in lines
               if isinstance(line, (ast.Assign, ast.AnnAssign))}
    return {target.id: _literal(line.value) for line, target in targets.items() if isinstance(target, ast.Name)}


def _literal(expression: ast.expr):
    try:
        return ast.literal_eval(expression)
    except ValueError:
        return None


def results_folder(results: str | Path, use_drive: bool = False) -> Path:
    """Make the folder in which runs are kept: the environment variable GENLIB_RESULTS, else `results`.

    use_drive: on Colab, mount the user's Drive and keep the runs in its folder `genlib/results`, which
    outlives the machine. Raises ValueError for use_drive anywhere else, OSError if the folder cannot be made.
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
    """At a notebook's end, get the runs to where notebook 4 can read them.

    Colab's machine will be gone, so there they are downloaded as one .zip, unless they lie on Drive or in the
    folder that GENLIB_RESULTS names. In all other cases a line says where they are.
    """
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
    """Execute the notebooks that have an experiment without a finished run in `results`.

    They run in a process of their own. Only runs of this profile count, and unless weights is "auto" only
    runs of these weights. Raises RuntimeError with the last line that the process printed if it fails; what
    it has measured by then is kept.
    """
    there = {run.experiment for run in runs.read_all(results) if run.method == "genlib" and not run.variant
             and run.profile == profile and weights in ("auto", run.weights)}
    missing = sorted({number(entry.notebook) for entry in EXPERIMENTS if entry.notebook and entry.slug not in there})
    if not missing:
        return print("nothing is missing: each experiment has a finished run")
    command = [sys.executable, "-m", "genlib", "run", "--only", ",".join(map(str, missing)), "--results", str(Path(results).resolve()),
               "--weights", weights, "--profile", profile]
    environment = os.environ | {"GENLIB_RESULTS": str(Path(results).resolve())}  # so their last cells download nothing
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = [print(line, end="", flush=True) or line for line in process.stdout]
    if process.returncode:
        raise RuntimeError(f"notebooks {missing} did not come to their end: {lines[-1].strip() if lines else 'no output'}")


def upload(results: Path) -> None:
    """On Colab, let the user choose .zip archives of results and put them into the results folder.

    A line names each file that is not a .zip. Raises ValueError elsewhere, saying where to put the files.
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
    """The packages that are not installed, with the command that installs them; "" if all of them are."""
    packages = [package for module, package in NEEDED.items() if not find_spec(module)]
    return f"{', '.join(packages)}: pip install {' '.join(packages)}" if packages else ""


def introduce() -> None:
    """Print the machine and the versions, without which the notebook's figures cannot be compared."""
    from genlib import device

    machine = device.describe()
    memory = f"{machine.ram_bytes / 1024**3:.0f} GiB RAM"
    if machine.vram_bytes:
        memory = f"{machine.vram_bytes / 1024**3:.0f} GiB VRAM, {memory}"
    packages = machine.packages
    print(f"{machine.device} ({memory}) · Python {machine.python} · torch {packages['torch']} · diffusers {packages['diffusers']}")


def write_address(repository: str) -> None:
    """Write the address on GitHub, "owner/name", into pyproject.toml, README.md and the notebooks."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise SystemExit(f"REPO is {repository!r}: write it as owner/name, as in make colab REPO=owner/name")
    for path in [PROJECT / "pyproject.toml", PROJECT / "README.md", *sorted((PROJECT / "notebooks").glob("*.ipynb"))]:
        text = path.read_text(encoding="utf-8")
        text = re.sub(rf"({re.escape(COLAB)})[\w.-]+/[\w.-]+", rf"\g<1>{repository}", text)
        text = re.sub(r'(REPOSITORY = \\")[^"\\]*', rf"\g<1>{repository}", text)
        text = re.sub(r'^(# )?(Repository = "https://github.com/)[^"]*', rf"\g<2>{repository}", text, flags=re.MULTILINE)
        path.write_text(text, encoding="utf-8")
