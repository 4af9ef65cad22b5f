"""A Stable Diffusion's files: in a local folder, in the Hub's cache or on the Hub; and its parts, loaded."""
import os
from contextlib import contextmanager
from glob import escape
from pathlib import Path

import diffusers
import torch
import transformers
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from packaging.version import Version
from tqdm.std import tqdm

from genlib import device, progress
from genlib.models import downloads, hashes, trouble
from genlib.models import folder as folder_module
from genlib.record import MB

V1_4 = "CompVis/stable-diffusion-v1-4"
V1_4_REVISION = "133a221b8aa7292a167afc5127cb63fb5005638b"
TIMEOUT_S = 10
REFUSED = (".ckpt", ".pt", ".pth", ".bin", ".pkl")  # files that can run code when they are opened
DTYPE = "dtype" if Version(diffusers.__version__) >= Version("0.40") else "torch_dtype"  # older diffusers silently ignores `dtype`


class Model:
    """A model by its model_id: a local folder, a single file (see single_file.py), or a name on the Hub.

    The Hub is asked once, and only for what the cache may not have.
    """

    def __init__(self, model_id):
        path = Path(os.path.expanduser(model_id))
        self.local = path if path.is_dir() else None
        self.file = path if not self.local and (path.is_file() or path.suffix.lower() in (".safetensors", *REFUSED)) else None
        self.id = str(model_id)
        self.source = path.resolve().name if self.local or self.file else self.id  # a path may have a user's name in it
        self.name = path.stem if self.file else self.source
        self.revision = V1_4_REVISION if self.id == V1_4 else None
        self._files = []  # that `fetch` found, each checked
        self._answer = None

    def sha256(self) -> str | None:
        """The SHA-256 of the local file, or of what was loaded from the local folder; None for the Hub's."""
        if self.file:
            return hashes.remembered_sha256(self.file)
        return hashes.sha256_of_all(self._files, self.local) if self.local else None

    def check_has_settings(self) -> None:
        """Raises ValueError for a single file: random weights are made from the settings that it lacks."""
        if self.file:
            raise ValueError(f"{self.name} is a single file, which holds no settings to make a model with random weights from: give a "
                             "folder in diffusers' layout or a model of the Hub")

    def index(self) -> dict:
        """The pipeline's model_index.json. Raises what `fetch` raises."""
        if self.local:
            return folder_module.read_index(self.local)
        cached = [snapshot for snapshot in self._snapshots() if (snapshot / folder_module.INDEX).is_file()]
        if self.revision is None or not cached:
            commit, names = self._ask()
            if commit and folder_module.INDEX not in names:
                raise FileNotFoundError(f"{self.id} has no {folder_module.INDEX}, so it is no pipeline of diffusers: use a model of the "
                                        "Hub in diffusers' layout")
            if commit:
                try:
                    return folder_module.read_index(Path(hf_hub_download(self.id, folder_module.INDEX, revision=commit)).parent)
                except Exception as error:  # as in _ask
                    self._answer = error
            if not cached:
                raise self._explained()
        return folder_module.read_index(cached[0])

    def fetch(self, parts: dict[str, type | None], dtype: torch.dtype, weights: bool = True) -> Path:
        """The folder with the files of these components, checked; downloaded if the cache lacks them.

        weights: False for the configurations and tokenizers alone.
        Raises ConnectionError if they cannot be downloaded, OSError if the disk or a folder is in the way,
        PermissionError when the model's terms must be accepted first, FileNotFoundError when there is no such
        model or it lacks files, ValueError for a file that is damaged or would run code.
        """
        found = self.local or self._from_hub(parts, dtype, weights)
        self._files = folder_module.check(found, parts, dtype, weights)
        return found

    def is_cached(self, dtype: torch.dtype) -> bool:
        """Whether the cache has all of a v1 pipeline but its safety checker."""
        for snapshot in self._snapshots():
            if (snapshot / folder_module.INDEX).is_file():
                parts = folder_module.components(folder_module.read_index(snapshot), diffusers.StableDiffusionPipeline)
                parts.pop("safety_checker", None)
                if not folder_module.look(snapshot, parts, dtype)[1]:
                    return True
        return False

    def _from_hub(self, parts, dtype, weights) -> Path:
        def lacking(snapshot: Path) -> list[str]:
            index = [] if len(parts) == 1 or (snapshot / folder_module.INDEX).is_file() else [folder_module.INDEX]
            return index + folder_module.look(snapshot, parts, dtype, weights)[1]

        snapshots = self._snapshots()
        if self.revision and snapshots and not lacking(snapshots[0]):
            return snapshots[0]  # a revision never changes
        commit, names = self._ask()
        if commit:
            chosen, missing = folder_module.choose(parts, set(names), dtype, weights)
            if missing:
                raise FileNotFoundError(folder_module.no_safetensors(self.id, f", as {missing[0]}", dtype))
            if (there := next((s for s in snapshots if s.name == commit), None)) and all((there / name).is_file() for name in chosen):
                return there
            try:
                patterns = [escape(name) for name in (*chosen, folder_module.INDEX)]
                with downloads.timed(), progress.Task(f"downloads {self.id}", unit="MB") as task:
                    return Path(snapshot_download(self.id, revision=self.revision, allow_patterns=patterns, tqdm_class=_bars(task)))
            except Exception as error:  # as in _ask
                self._answer = error
        for snapshot in snapshots:
            if not lacking(snapshot):
                progress.write(f"{self.id} is read from the cache, revision {snapshot.name[:12]}: the Hub did not answer")
                return snapshot
        lacks = f", and the cache lacks {folder_module.and_more(lacking(snapshots[0]))}" if snapshots else ""
        raise self._explained(lacks)

    def _ask(self) -> tuple[str | None, list[str]]:
        """The newest commit and the names of its files; None after an error, which is kept in `_answer`."""
        if self._answer is None:
            try:
                info = HfApi().model_info(self.id, revision=self.revision, timeout=TIMEOUT_S)
                self._answer = info.sha, [file.rfilename for file in info.siblings]
            except Exception as error:  # of whichever HTTP library the client uses; raised if the cache does not help
                self._answer = error
        return (None, []) if isinstance(self._answer, Exception) else self._answer

    def _snapshots(self) -> list[Path]:
        """The revisions in the Hub's cache: only the one asked for, else that of `main`, then the newest."""
        repository = Path(constants.HF_HUB_CACHE) / f"models--{self.id.replace('/', '--')}"
        main = repository / "refs" / "main"
        first = self.revision or (main.read_text(encoding="utf-8", errors="replace").strip() if main.is_file() else "")
        found = [path for path in (repository / "snapshots").glob("*") if path.is_dir() and (not self.revision or path.name == first)]
        return sorted(found, key=lambda path: (path.name == first, path.stat().st_mtime), reverse=True)

    def _explained(self, lacks: str = "") -> Exception:
        """The exception that says in a sentence why the Hub did not give the model."""
        error = self._answer
        status = error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else None
        if isinstance(error, GatedRepoError) or status == 403:
            return PermissionError(f"{self.id} is gated: accept its terms on its page on the Hub and give a token of yours as HF_TOKEN "
                                   "(on Colab under Secrets, the key at the left)")
        if isinstance(error, (HFValidationError, RepositoryNotFoundError)) or status in (401, 404):
            return FileNotFoundError(f"there is no folder and no model {self.id} on the Hub: see how it is spelt (owner/name); if it is "
                                     "private, give a token of yours as HF_TOKEN")
        return trouble.failed(self.id, error, Path(constants.HF_HUB_CACHE), "HF_HOME", lacks)


def load_part(cls: type, found: Path, name: str, dtype: torch.dtype) -> torch.nn.Module:
    """A component with weights, from safetensors files alone, complete. Raises ValueError if it is not."""
    suffix = folder_module.variant(name, cls, folder_module.names_in(found, [name]), dtype)
    spelling = "dtype" if issubclass(cls, transformers.PreTrainedModel) else DTYPE
    with explained(found / name, cls):
        model, told = cls.from_pretrained(str(found / name), use_safetensors=True, variant=suffix or None, local_files_only=True,
                                          output_loading_info=True, **{spelling: dtype})
    if missing := sorted(told["missing_keys"]):
        raise ValueError(f"the weights in {found / name} lack {folder_module.and_more(missing)} of the tensors of a {cls.__name__}: "
                         "download the model again")
    return model


def load_pipeline(cls: type, found: Path, parts: dict[str, type | None], dtype: torch.dtype, **options):
    """A pipeline of the class from a folder that `fetch` has found, with the components that are given."""
    networks = {name: part for name, part in parts.items() if folder_module.is_network(part)}
    sizes = {name: sum(file.stat().st_size for file in (found / name).iterdir()) for name in networks}
    with progress.Task("byte", sum(sizes.values())) as task:
        for name, part in networks.items():
            task.part = name
            networks[name] = load_part(part, found, name, dtype)
            task.update(sizes[name])
    with explained(found, cls):
        return cls.from_pretrained(str(found), local_files_only=True, **networks, **options)


def _bars(task: progress.Task) -> type[tqdm]:
    """What the Hub's client takes for the class of its bars, of which those of bytes feed the task."""
    class Bar(tqdm):
        def __init__(self, *arguments, **options):
            self.counts = options.get("unit") == "B"
            super().__init__(*arguments, **options | dict(disable=True))

        def update(self, n=1):
            self.n += n or 0
            if self.counts:  # that on the network or that on the disk, whichever is ahead: a version may have both
                task.total = (self.total or 0) / MB
                task.update(max(0, self.n / MB - task.done))

    return Bar


@contextmanager
def explained(path: Path, cls: type):
    """Make what a library says of a model that it cannot load a ValueError of one sentence."""
    libraries = diffusers.utils.logging, transformers.utils.logging
    before = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.set_verbosity(library.CRITICAL)
    try:
        yield
    except Exception as error:  # libraries raise of many kinds, for settings above all
        if device.is_out_of_memory(error):
            raise
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__).rstrip(". ")
        reason = "tensors are missing" if "meta tensor" in reason else reason
        raise ValueError(f"{path} cannot be loaded as a {cls.__name__} ({reason:.200}): its settings and its weights do not fit together, "
                         "or the installed library does not know them; download the model again, or use another") from error
    finally:
        for library, verbosity in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)
