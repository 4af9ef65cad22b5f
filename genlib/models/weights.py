"""Where weights come from: choose among the weights words; download, verify, cache; say what was loaded."""
import gc
import hashlib
import http.client
import os
import re
import string
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from functools import cache
from glob import escape
from pathlib import Path
from urllib.parse import quote, unquote, urljoin, urlsplit

import diffusers
import diffusers.guiders  # which loading a pipeline would import, and moving a network the hooks:
import diffusers.hooks  # noqa: F401  # neither is to count as a model's memory
import psutil
import torch
import transformers
from huggingface_hub import constants

from genlib import device, progress, system
from genlib.files import read_regular, replacing, write_atomically
from genlib.models import PROFILES, STABLE_DIFFUSION, STYLEGAN2, WEIGHTS, downloads, hub, trouble
from genlib.models.hashes import sha256
from genlib.record import MB
from genlib.runs import ModelInfo
from genlib.spelling import meant

WORDS = tuple(WEIGHTS)
DEMO = Path(__file__).parent / "demo"  # small models, made by training/; its README.md describes them
DEMO_STABLE_DIFFUSION, DEMO_STYLEGAN2 = DEMO / STABLE_DIFFUSION, DEMO / STYLEGAN2


def resolve(weights: str, model_id=None) -> str:
    """Decide what a weights word means: "demo", "random" or "published".

    Of a model by its `model_id` there are no demo weights: its own are meant by any word but "random".

    "auto" is what the environment variable GENLIB_WEIGHTS says; without it, published where there is a GPU
    and the models can be had (from the Hub or its cache), else demo. A printed line says which, and why.
    Raises ValueError for an unknown word.
    """
    source = "weights"
    if weights == "auto" and os.environ.get("GENLIB_WEIGHTS"):
        weights, source = os.environ["GENLIB_WEIGHTS"], "the environment variable GENLIB_WEIGHTS"
    if weights not in WORDS:
        raise ValueError(f"{source} is {weights!r}{meant(weights, WORDS)}: use one of {', '.join(WORDS)}")
    if model_id:
        return "random" if weights == "random" else "published"
    if weights != "auto":
        return weights
    word, reason = _choose()
    print(f"weights: {word} ({reason})")
    return word


def check_profile(profile: str) -> None:
    """Raises ValueError unless the profile is one of PROFILES."""
    if profile not in PROFILES:
        raise ValueError(f"profile is {profile!r}{meant(profile, PROFILES)}: use one of {', '.join(PROFILES)}")


@cache
def _choose() -> tuple[str, str]:
    if device.pick().type == "cpu":
        return "demo", "no GPU: the published models would take minutes an image on this CPU"
    if in_cache():
        return "published", "a GPU, and the model is in the cache"
    if hub_answers():
        return "published", "a GPU and a network"
    return "demo", f"a GPU, but {trouble.wrong_proxy() or 'the model hub does not answer'}"


def in_cache() -> bool:
    """Whether all of v1-4 that is read on this machine was downloaded before."""
    return hub.Model(hub.V1_4).is_cached(device.pick_dtype("auto"))


def hub_answers(timeout_s: float = 5) -> bool:
    """Whether the model hub can be reached."""
    if constants.is_offline_mode():
        return False
    try:
        urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=timeout_s).close()
    except urllib.error.HTTPError:
        return True  # an answer, even if it refuses this request
    except (OSError, ValueError, http.client.HTTPException):  # the last two for a proxy's address that is none
        return False
    return True


@contextmanager
def without_bars():
    """Hide the libraries' progress bars, which notebooks would keep."""
    libraries = [library for library in (diffusers.utils.logging, transformers.utils.logging) if library.is_progress_bar_enabled()]
    for library in libraries:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in libraries:
            library.enable_progress_bar()


def of_stable_diffusion(word: str, profile: str, dtype: torch.dtype, model_id) -> tuple[ModelInfo, hub.Model | None]:
    """What is known of a Stable Diffusion before it is loaded, and its files: None for random v1-4."""
    model = hub.Model(model_id or (DEMO_STABLE_DIFFUSION if word == "demo" else hub.V1_4)) if model_id or word != "random" else None
    source = "genlib/models/demo" if word == "demo" else model.source if model else "seed 0"
    info = ModelInfo(model.name if model_id else "Stable Diffusion v1-4", word, profile, source, dtype=str(dtype).removeprefix("torch."))
    info.revision = model.revision if model else None
    return info, model


def check_sha256(path, expected: str) -> str:
    """The file's SHA-256. Raises ValueError if it differs from the expected one."""
    found = sha256(path)
    if found != expected:
        raise ValueError(f"{path} has the sha256 {found}, not {expected}: it was damaged or replaced; delete it and download it again")
    return found


def cached_download(url: str, expected_sha256: str | None = None, attempts: int = 3) -> tuple[Path, str]:
    """Download a file once into torch's cache folder; return its path and SHA-256.

    The hash is checked before anyone opens the file. Where none was published, the one counts that
    `remember_sha256` wrote down. Raises ConnectionError without a network, OSError if the disk or a folder is
    in the way, ValueError for an unexpected hash or an address that names no file.
    """
    name = _file_name(url)
    if not name:
        raise ValueError(f"{trouble.without_secrets(url)} is no address of a file: give one that begins with https:// and ends in the "
                         "file's name")
    # Two addresses may have files of the same name.
    place = url if "?" in url else url.rpartition("/")[0]
    path = Path(torch.hub.get_dir()) / "genlib" / hashlib.sha256(place.encode()).hexdigest()[:12] / name
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no regular file, but the cache keeps the download there: delete it")
    if not path.exists():
        _download(url, path, attempts)
    expected = expected_sha256 or _remembered(path)
    return path, check_sha256(path, expected) if expected else sha256(path)


def _file_name(url: str) -> str | None:
    """The file's name in an address of the web; None if it is no such address or names no file."""
    try:
        address = urlsplit(url)
    except ValueError:
        return None
    name = unquote(address.path).rpartition("/")[2]
    usable = address.scheme in ("http", "https") and address.hostname and address.hostname.isascii() and name.isprintable()
    return name if usable and name not in (".", "..") and "\\" not in name else None


def remember_sha256(path: Path, found: str) -> None:
    """Write the hash of a downloaded file, once it has proved whole, beside it: later calls check it."""
    if not _sha256_note(path).exists():
        with suppress(OSError):  # a cache that can only be read, as one that a class shares, is used all the same
            write_atomically(_sha256_note(path), f"{found}  {path.name}\n".encode())


def _sha256_note(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _remembered(path: Path) -> str | None:
    note = _sha256_note(path)
    if not note.exists():
        return None
    first = re.match(r"\ufeff?\s*([0-9a-f]{64})(\s|$)", read_regular(note, 10_000).decode(errors="replace").lower())
    if not first:
        raise ValueError(f"{note} holds no sha256, so that {path.name} beside it cannot be checked: delete both, and it is downloaded "
                         "again")
    return first[1]


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow a redirect to https, or from http to http, and to no other kind of address."""

    def http_error_302(self, request, answer, code, message, headers):
        target = urljoin(request.full_url, headers.get("location") or "")
        if urlsplit(target).scheme not in ("https", request.type):
            raise ValueError(f"{trouble.without_secrets(request.full_url)} redirects to {trouble.without_secrets(target)}, which is not "
                             "https and is not followed: give the address of the file itself")
        return super().http_error_302(request, answer, code, message, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _download(url: str, path: Path, attempts: int) -> None:
    for attempt in range(1, attempts + 1):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(path)
            return fetch(url, path)
        except (OSError, http.client.HTTPException, UnicodeError) as error:  # the last for a host's name that cannot be
            passing = isinstance(error, (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException))
            answered = isinstance(error, urllib.error.HTTPError)  # so asking again would not help
            if attempt == attempts or answered or not passing:
                raise trouble.failed(trouble.without_secrets(url), error, path.parent, "TORCH_HOME") from None
            time.sleep(2**attempt)


def fetch(url: str, path: Path) -> None:
    """Download a file, whole or not at all. Raises OSError or HTTPException."""
    request = urllib.request.Request(quote(url, safe=string.punctuation), headers={"User-Agent": "genlib"})
    with urllib.request.build_opener(_Redirects).open(request, timeout=60) as answer, replacing(path) as file:
        size = answer.length or 0  # None if it was not told
        done = 0
        with downloads.timed(), progress.Task(f"downloads {path.name}", size / MB, "MB") as task:
            while block := answer.read(2**20):
                file.write(block)
                done += len(block)
                task.update(len(block) / MB)
        if done < size:
            raise urllib.error.URLError(f"the connection ended after {done / 1e6:.1f} of {size / 1e6:.1f} MB")


def _remove_leftovers(path: Path) -> None:
    """Delete what killed downloads of a file left a day ago; a newer part may still be another's work."""
    for pattern in f".{escape(path.name[:100])}.*.part", f"{escape(path.name)}.*.partial":
        for part in path.parent.glob(pattern):
            with suppress(FileNotFoundError):  # another process had the same idea
                if time.time() - part.lstat().st_mtime > 24 * 3600:
                    part.unlink()


@contextmanager
def loading(info: ModelInfo):
    """Fill in RSS before the model, and what loading took: time (device synchronised; that of downloads
    apart) and the growth of RSS.

    A model that was loaded is then one of `device.loaded`. Raises MemoryError, with what may help, if it does
    not fit; its `info` is the model's, with the sizes as far as they are known.
    """
    device.free_memory()  # tuned networks refer to themselves, and torch keeps what a discarded one had
    _keep_libraries()
    process, before = psutil.Process(), len(downloads.times_s)
    try:
        device.synchronize()  # sets up a GPU that was not in use yet, which takes RAM that is no model's
        info.ram_before_bytes, start = process.memory_info().rss, time.perf_counter()
        with progress.Task(f"loads {info.name}, {info.weights} weights"), without_bars():
            yield info
    except Exception as error:
        if not device.is_out_of_memory(error):
            raise
        size = f" ({sum(info.bytes.values()) / 1024**3:.1f} GiB)" if info.bytes else ""
        failed = MemoryError(f"{info.name} with {info.weights} weights in {info.dtype}{size} does not fit into the memory of "
                             f"{device.describe().device} ({free_bytes() / 1024**3:.1f} GiB free): close other programs and notebooks, "
                             "use dtype='float16' on a GPU, or weights='demo'")
        failed.info = info  # `measure.sweep` keeps a line of it
        raise failed from None
    device.synchronize()
    took_s, info.load_ram_bytes = time.perf_counter() - start, process.memory_info().rss - info.ram_before_bytes
    waited_s = sum(downloads.times_s[before:])
    info.load_time_s, info.download_time_s = took_s - waited_s, waited_s or None
    device.loaded.append(info)


def free_bytes() -> float:
    """How much memory there is for a model: of the GPU, else what the machine or the container has left."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    limit = system.limit("memory.max")
    own = float("inf") if limit is None else limit - psutil.Process().memory_info().rss
    return min(own, psutil.virtual_memory().available)


@cache
def _keep_libraries() -> None:
    """Let no later collection, as before every iteration, walk the libraries: it would take 0.2 s.

    Once, before there is a model of genlib's: what refers to itself at this moment is never collected.
    """
    gc.freeze()


def count(info: ModelInfo, **components: torch.nn.Module) -> None:
    """Fill in the number of parameters and the bytes of the weights, by component."""
    for name, module in components.items():
        info.parameters[name] = sum(p.numel() for p in module.parameters())
        info.bytes[name] = sum(t.nbytes for t in (*module.parameters(), *module.buffers()))


def seeded(build, dtype: torch.dtype, place=None) -> torch.nn.Module:
    """The module that `build` makes in this dtype, its values drawn from seed 0; on the device or `place`."""
    default = torch.get_default_dtype()
    cuda = [device.pick()] if device.pick().type == "cuda" else []
    try:
        torch.set_default_dtype(dtype)  # made in its final dtype: a copy in float32 would need twice the memory or more
        with torch.random.fork_rng(devices=cuda), torch.device(place or device.pick()):
            torch.manual_seed(0)
            return build().eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(default)
