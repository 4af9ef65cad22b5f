"""Where weights come from: choose among the weights words; download, verify, cache; say what was loaded."""
import gc
import hashlib
import os
import time
import urllib.error
import urllib.request
import warnings
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from textwrap import shorten

import diffusers
import psutil
import torch
import transformers
from huggingface_hub import constants, list_repo_files, try_to_load_from_cache
from packaging.version import Version

from genlib import device
from genlib.models import STABLE_DIFFUSION, STYLEGAN2
from genlib.runs import ModelInfo

WORDS = ("auto", "demo", "random", "published")
PROFILES = ("thesis", "tuned")
DEMO = Path(__file__).parent / "demo"  # small models, made by training/; its README.md describes them
DEMO_STABLE_DIFFUSION, DEMO_STYLEGAN2 = DEMO / STABLE_DIFFUSION, DEMO / STYLEGAN2
V1_4 = "CompVis/stable-diffusion-v1-4"
V1_4_REVISION = "133a221b8aa7292a167afc5127cb63fb5005638b"


def resolve(weights: str) -> str:
    """Decide what a weights word means: "demo", "random" or "published".

    "auto" is what the environment variable GENLIB_WEIGHTS says; without it, published where there is a GPU
    and the models can be had (from the Hub or its cache), else demo. A printed line says which, and why.
    Raises ValueError for an unknown word.
    """
    source = "weights"
    if weights == "auto" and os.environ.get("GENLIB_WEIGHTS"):
        weights, source = os.environ["GENLIB_WEIGHTS"], "the environment variable GENLIB_WEIGHTS"
    if weights not in WORDS:
        raise ValueError(f"{source} is {weights!r}: use one of {', '.join(WORDS)}")
    if weights != "auto":
        return weights
    word, reason = _choose()
    print(f"weights: {word} ({reason})")
    return word


def check_profile(profile: str) -> None:
    """Raises ValueError unless the profile is one of PROFILES."""
    if profile not in PROFILES:
        raise ValueError(f"profile is {profile!r}: use one of {', '.join(PROFILES)}")


@cache
def _choose() -> tuple[str, str]:
    if device.pick().type == "cpu":
        return "demo", "no GPU: the published models would take minutes an image on this CPU"
    if in_cache():
        return "published", "a GPU, and the model is in the cache"
    if hub_answers():
        return "published", "a GPU and a network"
    return "demo", "a GPU, but the model hub does not answer"


def in_cache() -> bool:
    """Whether v1-4 was downloaded before."""
    return isinstance(try_to_load_from_cache(V1_4, "model_index.json", revision=V1_4_REVISION), str)


def hub_answers(timeout_s: float = 5) -> bool:
    """Whether the model hub can be reached."""
    if constants.is_offline_mode():
        return False
    try:
        urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=timeout_s).close()
    except urllib.error.HTTPError:
        return True  # an answer, even if it refuses this request
    except (OSError, ValueError):
        return False
    return True


@contextmanager
def without_noise():
    """Silence the warning that diffusers still passes an argument which the Hub's client has retired."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*local_dir_use_symlinks.*")
        yield


@contextmanager
def without_bars():
    """Hide the libraries' progress bars: the demo is there too soon to read one, and notebooks keep them."""
    libraries = [library for library in (diffusers.utils.logging, transformers.utils.logging) if library.is_progress_bar_enabled()]
    for library in libraries:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in libraries:
            library.enable_progress_bar()


def locate(info: ModelInfo, model_id: str | None) -> str:
    """Where a Stable Diffusion that is not random comes from, for `from_hub`; noted in `info` too."""
    if info.weights == "demo":
        info.source = "genlib/models/demo"
        return str(DEMO_STABLE_DIFFUSION)
    info.source = str(model_id or V1_4)
    info.revision = V1_4_REVISION if info.source == V1_4 else None
    return info.source


def from_hub(cls, source: str, revision: str | None, dtype: torch.dtype, *, fp16_files: bool = True, **options):
    """`cls.from_pretrained`, from the Hub or from a local folder in its layout: safetensors files only.

    fp16_files: whether to take the files of the variant "fp16" for float16 and bfloat16.
    Raises ConnectionError when the model cannot be downloaded, PermissionError when its terms must be
    accepted first, FileNotFoundError when there is no such model or it has no safetensors files.
    """
    spelling = "dtype" if Version(diffusers.__version__) >= Version("0.40") else "torch_dtype"  # older versions silently ignore `dtype`
    options |= {spelling: dtype, "revision": revision, "use_safetensors": True}
    if fp16_files and dtype in (torch.float16, torch.bfloat16):  # half the download; bfloat16 has fewer digits than these files
        options["variant"] = "fp16"
    try:
        with without_noise(), without_bars() if source.startswith(str(DEMO)) else nullcontext():
            model = cls.from_pretrained(source, **options)
    except (OSError, ValueError) as error:  # for "not found", "no connection" and "no such files" alike
        raise explained(source, dtype, error) from None
    if getattr(model, "dtype", dtype) != dtype:
        raise RuntimeError(f"{source} was loaded as {model.dtype}, not as {dtype}: install a diffusers that honours the dtype")
    return model


def name_of(model_id: str | None) -> str:
    """What tables call a model: its name on the Hub, or its folder's name; v1-4 without a model_id."""
    return Path(model_id).name if model_id and Path(model_id).is_dir() else str(model_id or "Stable Diffusion v1-4")


def has_fp16_files(source: str) -> bool:
    """Whether a model, a local folder or on the Hub, has fp16 files; False if the Hub cannot be asked."""
    if source == V1_4:
        return True
    if Path(source).is_dir():
        return any(Path(source).rglob("*.fp16.safetensors"))
    try:
        return any(name.endswith(".fp16.safetensors") for name in list_repo_files(source))
    except (OSError, ValueError):  # no network, or no such model: loading will say which
        return False


def explained(source: str, dtype: torch.dtype | None, error: Exception) -> Exception:
    """An error of one sentence that says what diffusers' message means; an unfamiliar error as it is."""
    text = str(error)
    if "gated" in text.lower() or "401 Client Error" in text or "403 Client Error" in text:
        return PermissionError(f"{source} is gated: accept its terms on its page on the Hub and give a token of yours as HF_TOKEN "
                               "(on Colab under Secrets, the key at the left)")
    if "is not a valid model identifier" in text or "Repository Not Found" in text:
        return FileNotFoundError(f"there is no folder and no model {source} on the Hub: see how it is spelt (owner/name)")
    if "model_index.json" in text:
        return FileNotFoundError(f"{source} has no model_index.json, so it is no pipeline of diffusers: give the folder that has one, or a "
                                 "model of the Hub in diffusers' layout")
    if "safetensors" in text or "no file named" in text or "no such modeling files" in text:
        kind = f" for {dtype}" if dtype else ""
        return FileNotFoundError(f"{source} has no safetensors files{kind}: files of the older .bin kind can run code when they are "
                                 "opened, and are refused; convert them, or use another model or dtype")
    return no_network(source, error) if isinstance(error, OSError) else error


def no_network(what: str, error: Exception) -> ConnectionError:
    """The sentence for a download that failed."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ConnectionError(f"{what} could not be downloaded ({shorten(first, 160, placeholder=' ...')}): check the network, or use "
                           "weights='demo' or weights='random', which need none")


def sha256(path) -> str:
    """The SHA-256 of a file, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path, expected: str) -> str:
    """The file's SHA-256. Raises ValueError if it differs from the expected one."""
    found = sha256(path)
    if found != expected:
        raise ValueError(f"{path} has the sha256 {found}, not {expected}: it was damaged or replaced; delete it and download it again")
    return found


def cached_download(url: str, expected_sha256: str | None = None, attempts: int = 3) -> tuple[Path, str]:
    """Download a file once into torch's cache folder, with a progress bar; return its path and SHA-256.

    The hash is checked before anyone opens the file. Where none was published, the one that `remember_sha256`
    wrote down counts. Raises ConnectionError without a network, ValueError for an unexpected hash.
    """
    folder = hashlib.sha256(url.rpartition("/")[0].encode()).hexdigest()[:12]  # two addresses may have files of the same name
    path = Path(torch.hub.get_dir()) / "genlib" / folder / url.rpartition("/")[2]
    note = _sha256_note(path)
    expected = expected_sha256 or (note.read_text().split()[0] if note.exists() else None)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(url, path, attempts)
    return path, check_sha256(path, expected) if expected else sha256(path)


def remember_sha256(path: Path, found: str) -> None:
    """Write the hash of a downloaded file, once it has proved whole, beside it: later calls check it."""
    _sha256_note(path).write_text(f"{found}  {path.name}\n")


def _sha256_note(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _download(url: str, path: Path, attempts: int) -> None:
    for attempt in range(1, attempts + 1):
        try:
            return torch.hub.download_url_to_file(url, str(path), progress=True)
        except urllib.error.HTTPError as error:
            raise no_network(url, error) from None  # the server has answered, so asking again would not help
        except OSError as error:
            if attempt == attempts or not isinstance(error, (urllib.error.URLError, TimeoutError, ConnectionError)):
                raise no_network(url, error) from None if isinstance(error, urllib.error.URLError) else error
            time.sleep(2**attempt)


@contextmanager
def loading(info: ModelInfo):
    """Fill in what loading took: time (device synchronised) and the growth of RSS.

    Raises MemoryError, with what may help, if the model does not fit.
    """
    gc.collect()  # tuned networks refer to themselves, so a discarded one may still hold its memory
    process = psutil.Process()
    ram, start = process.memory_info().rss, time.perf_counter()
    try:
        yield info
    except Exception as error:
        if not device.is_out_of_memory(error):
            raise
        free = torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available
        raise MemoryError(f"{info.name} with {info.weights} weights in {info.dtype} does not fit into the memory of "
                          f"{device.describe().device} ({free / 1024**3:.1f} GiB free): close other programs and notebooks, use "
                          "dtype='float16' on a GPU, or weights='demo'") from None
    device.synchronize()
    info.load_time_s, info.load_ram_bytes = time.perf_counter() - start, process.memory_info().rss - ram


def count(info: ModelInfo, **components: torch.nn.Module) -> None:
    """Fill in the number of parameters and the bytes of the weights, by component."""
    for name, module in components.items():
        info.parameters[name] = sum(p.numel() for p in module.parameters())
        info.bytes[name] = sum(t.nbytes for t in (*module.parameters(), *module.buffers()))


def seeded(build, dtype: torch.dtype) -> torch.nn.Module:
    """The module that `build` makes, on the device, in this dtype, its initial values drawn from seed 0."""
    default = torch.get_default_dtype()
    cuda = [device.pick()] if device.pick().type == "cuda" else []
    try:
        torch.set_default_dtype(dtype)  # made in its final dtype: a copy in float32 would need twice the memory or more
        with torch.random.fork_rng(devices=cuda), torch.device(device.pick()):
            torch.manual_seed(0)
            return build().eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(default)
