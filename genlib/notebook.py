"""What Colab, Kaggle and a laptop do differently: where results go, what the machine is."""
import os
import re
from pathlib import Path

from genlib.files import write_atomically

COLAB = "https://colab.research.google.com/github/"


def results_folder(results: str | Path) -> Path:
    """The folder that runs are kept in: what the environment variable GENLIB_RESULTS says, else `results`; made if missing."""
    folder = Path(os.environ.get("GENLIB_RESULTS") or results)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"the results folder {folder} cannot be made ({error.strerror}): choose another RESULTS") from None
    return folder


def upload(results: Path) -> None:
    """On Colab, ask for files from the user's computer, .zip archives of results, and put them into the results folder.

    Raises ValueError anywhere else, saying where to put them.
    """
    try:
        from google.colab import files
    except ImportError:
        raise ValueError(f"files are uploaded on Colab only: put the .zip or the folder of results into {results} instead") from None
    for name, data in files.upload().items():
        write_atomically(results / Path(name).name, data)


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
    project = Path(__file__).resolve().parent.parent
    for path in [project / "pyproject.toml", project / "README.md", *sorted((project / "notebooks").glob("*.ipynb"))]:
        text = path.read_text(encoding="utf-8")
        text = re.sub(rf"({re.escape(COLAB)})[\w.-]+/[\w.-]+", rf"\g<1>{repository}", text)
        text = re.sub(r'(REPOSITORY = \\")[^"\\]*', rf"\g<1>{repository}", text)
        text = re.sub(r'^(repository = ")[^"]*', rf"\g<1>{repository}", text, flags=re.MULTILINE)
        path.write_text(text, encoding="utf-8")
