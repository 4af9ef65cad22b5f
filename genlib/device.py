"""Choose the device and dtype of a model, synchronise, free memory, describe the machine."""
import gc
import hashlib
import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path

import psutil
import torch

from genlib import nvml, system
from genlib.record import WAITING
from genlib.runs import Machine, ModelInfo, slug
from genlib.spelling import meant

PACKAGES = ["genlib", "torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy", "pillow", "scikit-image",
            "psutil", "nvidia-ml-py"]
DTYPES = ("auto", "float32", "float16", "bfloat16")
LONGEST_NAME = 80  # characters of a device in a folder's name; file systems take 255 bytes
loaded: list[ModelInfo] = []  # by this process, in order: `models.weights.loading` adds each
# Beside a run's own precision. Without float16: on GPUs it is the models' own, or part of "mixed" for
# StyleGAN2-ADA, which has no other float16; and few CPUs have instructions for it.
TRIED_BY_ITSELF = ["float32", "bfloat16"]


def pick() -> torch.device:
    """The device that models run on: a CUDA GPU, Apple's GPU, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def pick_dtype(dtype="auto") -> torch.dtype:
    """The dtype of a model: a torch dtype, its name, or "auto", which is float16 on GPUs and float32 on CPUs.

    Raises ValueError for anything else.
    """
    if dtype == "auto":
        return torch.float32 if pick().type == "cpu" else torch.float16
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(f"dtype is {dtype!r}{meant(dtype, DTYPES)}: use one of {', '.join(DTYPES)}")
    if not computes_in(name := str(found).removeprefix("torch.")):
        print(f"{name} on {processor()}, which has no instructions for it: many times slower than float32")
    return found


def computes_in(dtype: str) -> bool:
    """Whether the processor in use has instructions for a dtype; one without them converts at every step."""
    kind = pick().type
    if dtype == "bfloat16":
        if kind == "cuda":
            return torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.backends.mps.is_macos_or_newer(14, 0) if kind == "mps" else computes_in_bfloat16()
    return kind != "cpu" or dtype not in ("float16", "mixed") or _cpu_has("avx512_fp16", "amx_fp16", "fp16_arith")


def computes_in_bfloat16() -> bool:
    """Whether this CPU multiplies in bfloat16: by AVX512-BF16, AMX, or ARM's BF16."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() or _cpu_has("bf16")


def _cpu_has(*instructions: str) -> bool:
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # older releases of torch do not tell
    return any(capabilities.get(name) for name in instructions)


def synchronize() -> None:
    """Wait until the device has finished: a GPU works on after the call that started it has returned."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()


def moment():
    """Now, as `seconds` takes it; on a CUDA GPU when its work so far is done, which is not waited for."""
    if torch.cuda.is_available():
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
    synchronize()
    return time.perf_counter()


def seconds(begun, ended) -> float:
    """From one `moment` to another, whose work is done."""
    return ended - begun if isinstance(begun, float) else begun.elapsed_time(ended) / 1000


def allocated_bytes() -> int:
    """Bytes that torch's allocator has given out on the GPU; 0 without a GPU."""
    if torch.cuda.is_available():
        return torch.cuda.memory_allocated()
    return torch.mps.current_allocated_memory() if torch.backends.mps.is_available() else 0


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the GPU or the machine ran out of memory."""
    text = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(words in text for words in ("out of memory", "allocate memory", "status_alloc_failed")))


def precisions(tried: list[str] | str, own: str) -> list[str]:
    """The names of the dtypes to try beside the one in `own`.

    tried: a list, or "auto" for those of TRIED_BY_ITSELF in which the processor computes. Raises ValueError
    for anything else.
    """
    if tried != "auto" and not isinstance(tried, (list, tuple)):
        raise ValueError(f'PRECISIONS_TRIED is {tried!r}: use "auto" or a list, as in ["bfloat16"]')
    return [name for name in (filter(computes_in, TRIED_BY_ITSELF) if tried == "auto" else tried) if name != own]


def other_precisions(tried: list[str] | str, own: str) -> list[str]:
    """As `precisions`; a line says what is left out, and why."""
    worth = precisions(tried, own)
    if tried != "auto" and own in tried:
        print(f"{own}: left out, the run itself has it")
    for name in TRIED_BY_ITSELF if tried == "auto" else []:
        if not computes_in(name):
            print(f"{name}: left out, {processor()} has no instructions for it and might take many times as long; "
                  f'PRECISIONS_TRIED = ["{name}"] measures it all the same')
    return worth


def loaded_before(model: ModelInfo | None) -> list[str]:
    """The models but this one that the process has loaded, as in "StyleGAN2-ADA 64 px, float32", each once.

    Their memory may still count in what the process holds, though they were let go.
    """
    return list(dict.fromkeys(f"{other.name}, {other.dtype}" for other in loaded if other is not model))


def free_memory() -> None:
    """Give back the memory of models that are no longer referenced."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def describe() -> Machine:
    """The machine as runs record it, with None for what it cannot tell."""
    gpu = pick()
    cpu = system.processor()
    machine = Machine(
        slug=f"cpu-{_folder_name(cpu)}", device=cpu, cpu=cpu, cores=told(psutil.cpu_count, False), threads=torch.get_num_threads(),
        waiting={name: os.environ[name] for name in WAITING if name in os.environ},
        ram_bytes=psutil.virtual_memory().total, ram_limit_bytes=system.limit("memory.max"), cpu_limit=system.limit("cpu.max"),
        os=platform.platform(terse=True), container=_container(),
        python=platform.python_version(), packages=_versions(), commit=_commit(), precision=_precision())
    if gpu.type == "cuda":
        properties = torch.cuda.get_device_properties(gpu)
        limit_mw = nvml.ask("nvmlDeviceGetEnforcedPowerLimit")
        machine.device, machine.slug = properties.name, _folder_name(properties.name)
        machine.vram_bytes, machine.cuda, machine.driver = properties.total_memory, torch.version.cuda, _driver()
        machine.power_limit_w = None if limit_mw is None else limit_mw / 1000
    elif gpu.type == "mps":
        machine.device, machine.slug = f"{cpu} GPU", _folder_name(f"{cpu} GPU")
        machine.vram_bytes = torch.mps.recommended_max_memory()
    return machine


def told(function, *arguments):
    """What a function of psutil tells; None where the system does not let it look, as in some containers."""
    try:
        return function(*arguments)
    except (psutil.Error, OSError, NotImplementedError):
        return None


def _folder_name(name: str) -> str:
    """The slug of a device; with a hash where the slug lacks a letter of the name or would be too long."""
    kept = slug(name)
    if kept and len(kept) <= LONGEST_NAME and not any(letter.isalnum() and not letter.isascii() for letter in name):
        return kept
    return f"{kept[:LONGEST_NAME]}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}".strip("-")


def processor() -> str:
    """The name of the processor that models run on."""
    kind = pick().type
    return torch.cuda.get_device_name() if kind == "cuda" else f"{system.processor()}{' GPU' * (kind == 'mps')}"


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # genlib itself, where it is used from its folder without being installed
        if version:  # what an installation that was broken off left behind has none
            versions[name] = version
    cudnn = torch.backends.cudnn.version()
    return versions | {"torch": torch.__version__} | ({"cudnn": str(cudnn)} if cudnn else {})


def _driver() -> str | None:
    version = nvml.ask("nvmlSystemGetDriverVersion")
    return version.decode(errors="replace") if isinstance(version, bytes) else version


def _container() -> str | None:
    if "COLAB_RELEASE_TAG" in os.environ:
        return f"colab {os.environ['COLAB_RELEASE_TAG']}"
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
        return "kaggle"
    return "docker" if Path("/.dockerenv").exists() else None


def _commit() -> str | None:
    """The last commit of genlib's files, with a + if they changed since; None if git does not know them."""
    last, tracked = _git("rev-list", "-1", "--abbrev-commit", "--abbrev=12", "HEAD", "--", "."), _git("ls-tree", "-rz", "HEAD", ".")
    if not last or not tracked:
        return None
    package, hashes = Path(__file__).parent, {}
    for line in filter(None, tracked.split(b"\0")):
        described, _, name = line.partition(b"\t")
        hashes[package / os.fsdecode(name)] = described.split()[2].decode()
    unchanged = set(package.rglob("*.py")) <= hashes.keys() and all(_is_blob(path, name) for path, name in hashes.items())
    return last.decode().strip() + ("" if unchanged else "+")


def _git(*question: str) -> bytes:
    """What git answers in genlib's folder; b"" if it cannot.

    A stranger's repository may lie around that folder, and its settings name programs. So git is asked for
    nothing that runs filters (as `git status` does), monitors, hooks or the fetching of what is missing.
    """
    command = ["git", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-C", str(Path(__file__).parent), *question]
    environment = os.environ | {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}  # the first is unknown before git 2.45
    try:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return b"" if done.returncode else done.stdout


def _is_blob(path: Path, name: str) -> bool:
    """Whether a file is the one that git calls by this hash, whichever line ends it has here."""
    def is_named(text: bytes) -> bool:
        algorithm = "sha1" if len(name) == 40 else "sha256"
        return hashlib.new(algorithm, b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest() == name

    try:
        data = path.read_bytes()
    except OSError:
        return False
    return is_named(data) or is_named(data.replace(b"\r\n", b"\n"))


def _precision() -> dict[str, bool | str]:
    return {
        "float32_matmul": torch.get_float32_matmul_precision(),
        "cudnn_allow_tf32": torch.backends.cudnn.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }
