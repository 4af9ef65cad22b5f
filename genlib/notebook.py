"""What Colab, Kaggle and a laptop do differently: where results are kept, and how they get to notebook 4."""
import ast
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path, PureWindowsPath

from genlib import places, runs
from genlib.archives import pack
from genlib.experiments import EXPERIMENTS
from genlib.files import make_folder, write_atomically

COLAB = "https://colab.research.google.com/github/"
DRIVE = Path("/content/drive")  # where Colab's own examples mount it
PROJECT = Path(__file__).resolve().parent.parent
NEEDED = {  # modules that a run imports, and the packages that bring them
    "torch": "torch", "diffusers": "diffusers", "transformers": "transformers", "accelerate": "accelerate", "safetensors": "safetensors",
    "huggingface_hub": "huggingface_hub", "numpy": "numpy", "scipy": "scipy", "statsmodels": "statsmodels", "pandas": "pandas",
    "matplotlib": "matplotlib", "PIL": "pillow",
    "skimage": "scikit-image", "psutil": "psutil", "pydantic": "pydantic", "packaging": "packaging", "jinja2": "Jinja2",
    "pynvml": "nvidia-ml-py", "docx": "python-docx", "babel": "Babel", "GPUtil": "GPUtil", "nbclient": "nbclient",
    "nbconvert": "nbconvert", "ipykernel": "ipykernel"}
FOR_CHAPTER = {"pypandoc.files": "pypandoc_binary"}  # pypandoc alone would take Colab's own pandoc, which is too old
NOT_ON_COLAB = ("GPUtil", "docx", "babel")  # and without which most of a notebook works


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


def install_missing(for_chapter: bool = False) -> None:
    """Install what Colab or Kaggle lacks, and what the chapter needs if one is asked for; a line names what
    could not be installed."""
    wanted = {module: NEEDED[module] for module in NOT_ON_COLAB} | (FOR_CHAPTER if for_chapter else {})
    for module, package in wanted.items():
        is_there = find_spec(module.partition(".")[0]) and find_spec(module)
        if not is_there and subprocess.run([sys.executable, "-m", "pip", "install", "-q", package]).returncode:
            print(f"{package} could not be installed: what needs it is left out")


def here() -> Path:
    """The folder of the notebook that is being executed, to which the paths in it are relative.

    VS Code, Jupyter and `genlib run` say which file it is. Other programs, which may start a kernel anywhere,
    are taken to execute the project's own notebooks. In an installed package it is the working folder.
    """
    folder, own = Path.cwd(), PROJECT / "notebooks"
    if folder.name == "notebooks" and any(folder.glob("*.ipynb")):  # where the set-up cell goes on Colab, too
        return folder
    for file in (getattr(sys.modules["__main__"], "__vsc_ipynb_file__", None), os.environ.get("JPY_SESSION_NAME")):
        if file and Path(file).is_file():
            return Path(file).resolve().parent
    return own if own.is_dir() else folder


def results_folder(results: str | Path, use_drive: bool = False) -> Path:
    """Make the folder in which a notebook's runs are kept: what GENLIB_RESULTS names, else `results`.

    Both may be relative to the notebook's own file (see `here`). use_drive: on Colab, mount the user's Drive
    and keep the runs in its folder `genlib/results`, which outlives the machine. Raises ValueError for
    use_drive anywhere else and for what is no path, OSError if the folder cannot be made.
    """
    chosen = os.environ.get("GENLIB_RESULTS", "").strip()
    return make_folder(places.resolve(chosen or (_drive() / "genlib" / "results" if use_drive else results), here()))


def reference_folder(reference: str | Path) -> Path | None:
    """The folder of runs to compare with, relative to the notebook or to the project's notebooks.

    None if nothing is named; also if there is no such folder, and then a line says so.
    """
    if not str(reference).strip():
        return None
    for base in here(), PROJECT / "notebooks":
        if (folder := places.resolve(reference, base)).exists():
            return folder
    print(f"{reference} is not here, so nothing is compared with reference runs: let REFERENCE name a folder or a .zip of runs")
    return None


def shown(folder: Path) -> str:
    """A folder as it is printed in a notebook, which may be published: relative to it, or the name alone."""
    near = folder.is_relative_to(here()) or folder.parent == here().parent
    return Path(os.path.relpath(folder, here())).as_posix() if near else f"…/{folder.name}"


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
    chosen = os.environ.get("GENLIB_RESULTS", "").strip()
    if files is None or use_drive or chosen:
        on_drive = use_drive and not chosen
        print(f"the runs lie in {'genlib/results on your Drive' if on_drive else shown(results)}: notebook 4 reads them there")
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
    missing = unmeasured([run for run in runs.read_all(results) if run.profile == profile and weights in ("auto", run.weights)])
    if not missing:
        return print("nothing is missing: each experiment has a finished run")
    results = Path(results).resolve()
    command = [sys.executable, "-m", "genlib", "run", "--only", ",".join(map(str, missing)), "--results", str(results),
               "--weights", weights, "--profile", profile]
    lines = []
    with subprocess.Popen(command, cwd=PROJECT, env=os.environ | {"PYTHONUTF8": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          encoding="utf-8", errors="replace") as process:
        for line in process.stdout:
            lines.append(places.without_paths(line, {results: results.name, PROJECT: PROJECT.name}))
            print(lines[-1], end="", flush=True)
    if process.returncode:
        raise RuntimeError(f"notebooks {missing} did not come to their end: {lines[-1].strip() if lines else 'no output'}")


def unmeasured(found: list[runs.Run]) -> list[int]:
    """The numbers of the notebooks that have an experiment without one of these runs."""
    there = {run.experiment for run in found if run.method == "genlib" and not run.variant}
    return sorted({number(entry.notebook) for entry in EXPERIMENTS if entry.notebook and entry.slug not in there})


def upload(results: Path) -> None:
    """On Colab, let the user choose .zip archives of results and put them into the results folder.

    Different archives of one name are all kept. A line names each file that is not a .zip. Raises ValueError
    elsewhere, saying where to put the files.
    """
    try:
        from google.colab import files
    except ImportError:
        raise ValueError(f"files are uploaded on Colab only: put the .zip or the folder of results into {shown(results)} instead") from None
    for name, data in files.upload().items():
        if zipfile.is_zipfile(io.BytesIO(data)):
            write_atomically(_free_name(results, name, data), data)
        else:
            print(f"{name!r} is not a .zip, and was left out: upload the .zip that notebooks 1 to 3 download at their end")


def _free_name(folder: Path, name: str, data: bytes) -> Path:
    """Where to keep an uploaded archive: under its own name, without folders, unless another one has it."""
    stem = re.sub(r"[^\w .,()+-]", "_", PureWindowsPath(name).name.removesuffix(".zip")).strip(" .")[:80] or "upload"
    path = folder / f"{stem}.zip"
    if os.path.lexists(path) and not (path.is_file() and path.read_bytes() == data):
        path = folder / f"{stem}-{hashlib.sha256(data).hexdigest()[:8]}.zip"
    return path


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
    versions = [f"{name} {machine.packages[name]}" for name in ("torch", "diffusers") if name in machine.packages]
    print(*[f"{machine.device} ({memory})", f"Python {machine.python}", *versions], sep=" · ")


def write_address(repository: str) -> None:
    """Write the address on GitHub, "owner/name", into pyproject.toml, README.md and the notebooks."""
    if not re.fullmatch(r"[A-Za-z0-9-]+/(?!\.+$)[A-Za-z0-9._-]+", repository):
        raise SystemExit(f"REPO is {repository!r}: write it as owner/name, as in make colab REPO=owner/name")
    for path in [PROJECT / "pyproject.toml", PROJECT / "README.md", *sorted((PROJECT / "notebooks").glob("*.ipynb"))]:
        text = path.read_text(encoding="utf-8")
        text = re.sub(rf"({re.escape(COLAB)})[\w.-]+/[\w.-]+", rf"\g<1>{repository}", text)
        text = re.sub(r'(REPOSITORY = \\")[^"\\]*', rf"\g<1>{repository}", text)
        text = re.sub(r'^(# )?(Repository = "https://github.com/)[^"]*', rf"\g<2>{repository}", text, flags=re.MULTILINE)
        write_atomically(path, text.encode())
