"""Look for inputs that make the reader of network files do anything but read them or refuse them.

    python tests/fuzz_nvidia_pickle.py -runs=100000      # takes libFuzzer's options

It starts from small good files, and stops at the first input that does otherwise, that imports, executes or
writes anything, or that takes 10 s or 1.5 GiB.
"""
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=[
        f"genlib.models.stylegan2.nvidia_file.{name}" for name in ("machine", "records", "unlike", "reader", "generator")]):
    from genlib.models.stylegan2 import nvidia_file

import network_files  # noqa: E402, after what is instrumented

counts = {"read": 0, "refused": 0}


def read_or_refuse(data: bytes) -> None:
    path = Path(folder, "network.pkl")
    path.write_bytes(data)
    try:
        with network_files.nothing_runs():
            found = nvidia_file.read(path)
    except nvidia_file.NetworkFileError as error:
        counts["refused"] += 1
        assert len(str(error)) < 1000
    else:
        counts["read"] += 1
        assert sum(tensor.numel() for tensor in found.state_dict.values()) <= len(data)
    if sum(counts.values()) % 10000 == 0:
        print(counts, flush=True)


with tempfile.TemporaryDirectory() as folder:
    seeds = Path(folder, "seeds")
    seeds.mkdir()
    for i, seed in enumerate(network_files.seeds()):
        (seeds / f"seed{i}").write_bytes(seed)
    limits = ["-timeout=10", "-rss_limit_mb=1536", "-max_len=60000", "-len_control=0"]
    atheris.Setup([sys.argv[0], str(seeds), *limits, *sys.argv[1:]], read_or_refuse)
    atheris.Fuzz()
