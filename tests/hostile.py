"""Small hostile inputs, made by code: records, pictures, archives and folders, as a stranger might send them.

Every reader and every writer of a format is to meet them all, and none may do harm: nothing runs, nothing
outside is read or written, and what is good beside them is still shown.
"""
import copy
import io
import json
import os
import struct
import zipfile
import zlib
from pathlib import Path

from PIL import Image

TEXTS = {  # which a record may hold, and which are live in some format unless they are escaped there
    "script": "<script>alert(1)</script>", "image": '<img src=x onerror="alert(1)">', "end of a tag": '"><svg/onload=alert(1)>',
    "entity": "&lt;b&gt; &#x3c;b&#x3e;", "comment": "--> <!-- ]]>", "bar": "a | b \\| c",
    "markdown": "[a](javascript:alert(1)) ![b](http://x/y.png) **c** `d`",
    "sum": "=1+1", "link of Excel": '=HYPERLINK("http://x","y")', "call": "@SUM(A1)", "plus": "+1+1", "minus": "-1+1",
    "tab": "\t=1+1", "return": "\r=1+1", "line": "a\n=1+1",
    "latex": "\\input{/etc/passwd} \\write18{ls} % & _ # ^ ~ { }", "formula": "$x^{2", "dollar": "a $5 b",
    "format": "{n} {0} {a.b} %s %(x)s", "catalogue": "a\x04b",
    "escape": "\x1b[2J\x1b]0;title\x07", "nul": "a\x00b", "control": "a\x08\x0b\x0c\x7fb", "c1": "a\x9b31mb",
    "right to left": "a\u202egnp.exe\u202c", "isolate": "a\u2066b", "zero width": "a\u200bb\ufeff", "separator": "a\u2028b\u2029c",
    "no character": "\ufffe\uffff", "beyond 16 bits": "\U0001f600\U000e0001", "combining": "a" + "\u0301" * 50, "long": "W" * 3000,
    "path": "../../etc/passwd", "windows path": "C:\\users\\me", "label": "Reading", "label of another": "VAE alone"}


def record(**changes) -> dict:
    """A record that is in order, with every field filled; it names one picture, `iteration_1.png`."""
    iteration = dict(
        time_s=1.5, cpu_time_s=1.25, vram_peak_bytes=10**9, vram_reserved_bytes=10**9, vram_device_bytes=10**9, vram_process_start_bytes=0,
        vram_process_bytes=10**9, vram_source="nvml", ram_bytes=10**9, ram_peak_bytes=10**9, ram_private_bytes=10**8, vram_others_bytes=0,
        energy_j=70.0, temperature_start_c=40.0, temperature_c=60.0, clock_start_hz=1.5e9, clock_hz=1.5e9, throttled=["power cap"],
        other_cpu_s=0.1, swapped_bytes=0, images=[], error=None)
    named = dict(file="iteration_1.png", sha256="0" * 64)
    machine = dict(
        slug="tesla-t4", device="Tesla T4", driver="580.1", cuda="12.8", vram_bytes=16 * 10**9, power_limit_w=70.0, cpu="Xeon", cores=2,
        threads=2, waiting={"GOMP_SPINCOUNT": "1000"},
        ram_bytes=13 * 10**9, ram_limit_bytes=None, cpu_limit=2.0, os="Linux", container="docker", python="3.13.1",
        packages={"torch": "2.11.0"}, commit="abc", precision={"allow_tf32": False}, matmul_flops_per_s=2e13, bandwidth_bytes_per_s=2e11)
    model = dict(name="Stable Diffusion v1-4", weights="published", profile="thesis", source="CompVis/stable-diffusion-v1-4",
                 revision="133a", sha256=None, dtype="float16", parameters={"unet": 10**8}, bytes={"unet": 2 * 10**8}, load_time_s=2.0,
                 ram_before_bytes=4 * 10**8, load_ram_bytes=10**8, switches={"vae_slicing": False})
    start = "2026-01-02T03:04:05.678901+00:00"
    return copy.deepcopy(dict(
        experiment="stable-diffusion", machine=machine, model=model, settings=dict(steps=50, prompt="", seed=0), variant="",
        method="genlib", started=start, finished=start, resumed=False, warmup=[iteration],
        iterations=[iteration | dict(time_s=1.5 + i / 10, images=[] if i else [named]) for i in range(3)], flops_per_image=8e13,
        quality={"psnr_db": 30.0}, warnings=["a warning"],
        loaded_before=["VAE of Stable Diffusion v1-4, float16"], weights="published", profile="thesis", schema=1) | changes)


def with_text(text: str, **changes) -> dict:
    """A record with this text wherever any text may stand."""
    made = record(experiment=text, variant=text, settings={"steps": 50, text: text}, quality={text: 1.0}, warnings=[text], profile=text,
                  loaded_before=[text])
    made["machine"] |= dict(slug=text, device=text, driver=text, cpu=text, os=text, packages={text: text}, precision={text: text},
                            waiting={text: text})
    made["model"] |= dict(name=text, source=text, dtype=text, profile=text, parameters={text: 1}, bytes={text: 1}, switches={text: True})
    for iteration in made["iterations"]:
        iteration |= dict(vram_source=text, throttled=[text])
    made["iterations"][-1]["error"] = text
    return made | changes


def setting(place: str, value):
    """A change to a record: this value at a place, as in "iterations.0.time_s"."""
    def change(made: dict) -> None:
        *way, last = [int(part) if part.isdecimal() else part for part in place.split(".")]
        for part in way:
            made = made[part]
        made[last] = value
    return change




NAN, INFINITE, HUGE = float("nan"), float("inf"), 10**400  # the last is beyond any float
_BAD = {  # values that may not stand at a place
    "iterations.0.time_s": [0, -1.5, True, "1.5", [1.5], {}, 1e-320, 1e300, HUGE, NAN, INFINITE, -INFINITE],
    "iterations.1.ram_bytes": [-1, True, "5", INFINITE, HUGE, 2**80, 1.5], "iterations.0.temperature_c": [1e300, NAN, -1e9],
    "iterations.0.energy_j": [-5.0, INFINITE], "iterations.0.throttled": ["power cap", [1], {"a": 1}],
    "iterations.0.error": [5, False, ["x"]], "iterations.0.images": ["a.png", [{"file": 5, "sha256": "0"}], [{}]],
    "iterations.0": [None, 5, "x", []], "iterations": [None, {}, "x", 5], "warmup.0.time_s": [NAN, -1],
    "machine": [None, [], "tesla-t4"], "machine.slug": [None, 5, "", "\ud800"], "machine.cores": [-2, True, "2", 10**30],
    "machine.matmul_flops_per_s": [0, -1, INFINITE, HUGE], "machine.packages": [[], {"torch": 2}],
    "model": ["SD", []], "model.name": [None, 5, "\udfff"], "model.weights": ["turbo", None], "model.parameters": [{"unet": "1"}, []],
    "model.bytes": [{"unet": -1}, {"unet": HUGE}], "model.load_time_s": [-1, "2"],
    "model.download_time_s": [-1, "2", HUGE],
    "model.ram_before_bytes": [-1, True, "5", 1.5, HUGE], "loaded_before": ["text", [5], {}, ["\ud800"]],
    "settings": [None, [], "steps"], "settings.steps": ["\ud800", HUGE, NAN, INFINITE],
    "quality": [[], {"a": "1"}, {"a": True}, {"a": HUGE}, {"a": None}], "flops_per_image": [-1, True, NAN, HUGE, "1"],
    "experiment": [None, 5, "", "a\udc80", "W" * 5000], "variant": [None, 5, "W" * 5000], "method": [None, 7],
    "started": [5, {}, True], "finished": [5, True], "warnings": ["text", [5], ["\ud800"]], "resumed": ["yes", 1],
    "schema": [True, 1.0, "1", None, 10**30, -1]}
_ODD = {  # values that may stand there, if only just
    "started": [None, "", "published", "2024-13-45", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2199-01-01"],
    "iterations.0.throttled": [["a reason that nobody knows"], [], None], "iterations.0.time_s": [None, 1e-6, 1e6],
    "iterations.0.error": ["", "out of memory"], "iterations.0.temperature_c": [-40.0], "iterations": [[]], "warmup": [[]],
    "settings": [{}, {"steps": "fifty"}, {"steps": [1, {"a": None}]}], "settings.steps": [None, True, "50", 12.5, 0, -3, 2**60],
    "quality": [{}, {"": 3.0}, {"psnr_db": INFINITE}, {"ssim": NAN}], "model": [None], "machine.device": [None, ""],
    "model.ram_before_bytes": [None, 0, 10**18], "loaded_before": [None, [], ["a model"] * 300],
    "machine.cores": [None, 0], "flops_per_image": [None, 0], "folder": ["/etc"], "archive": ["x.zip"], "reference": [True],
    "unknown": [{"a": 1}]}


def _named(values: dict) -> dict[str, tuple]:
    return {f"{place} = {value!r:.30}": (place, value) for place, several in values.items() for value in several}


BAD_RECORDS = {name: (setting(*what), what[0]) for name, what in _named(_BAD).items()}  # a change, and the field that a line must name
ODD_RECORDS = {name: setting(*what) for name, what in _named(_ODD).items()}
NOT_RECORDS = {  # the bytes of a run.json that holds no record
    "nothing": b"", "spaces": b" " * 1000, "null": b"null", "list": b"[]", "number": b"1", "text": b'"x"', "cut off": b'{"schema": 1, "ex',
    "deep lists": b"[" * 100_000, "deep records": b'{"a":' * 100_000,
    "deep setting": b'{"schema":1,"settings":' + b"[" * 900 + b"]" * 900 + b"}",
    "no UTF-8": b'{"schema": 1, "experiment": "\xff\xfe"}', "nul": bytes(1000), "long number": b'{"schema": 1' + b"0" * 10_000 + b"}",
    "two records": b'{"schema": 1}{"schema": 1}', "html": b"<!DOCTYPE html><html></html>", "no fields": b'{"schema": 1}',
    "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.", "utf-16": '{"schema": 1}'.encode("utf-16")}
PICTURE_NAMES = [  # which no record may make anybody open
    "/etc/passwd", "/tmp/secret.png", "../secret.png", "..", ".", "", "a/b.png", "./iteration_1.png", "..\\secret.png", "a\\b.png",
    "C:\\secret.png", "C:secret.png", "C:/secret.png", "\\\\server\\share\\secret.png", "iteration_1.png:stream", "iteration_1.png::$DATA",
    "NUL", "nul.png", "CON.png", "com1.png", "a.png ", "a.png.", "a\x00.png", "a\n.png", "~/secret.png", "run.json", "a.pdf", "a.svg",
    "x" * 300 + ".png", "file:///etc/passwd", "http://example.org/a.png", "\u202egnp.a"]


def png(width: int = 4, height: int = 4) -> bytes:
    """The bytes of a good PNG."""
    data = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(data, format="PNG")
    return data.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is so wide and so high."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", zlib.compress(bytes(1000))) + _chunk(b"IEND", b"")


def _as(kind: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(data, format=kind)
    return data.getvalue()


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nquit\n"
PICTURES = {  # the bytes of a picture of a run that cannot be shown
    "nothing": b"", "signature alone": png()[:8], "cut off": png(64, 64)[:-30], "eps": EPS, "jpeg": _as("JPEG"), "gif": _as("GIF"),
    "tiff": _as("TIFF"), "bmp": _as("BMP"), "pdf": b"%PDF-1.4\n", "svg": b"<svg onload='alert(1)'/>",
    "html": b"<script>alert(1)</script>", "eps behind a signature": png()[:8] + EPS,
    "too many pixels": png_that_claims(60_000, 60_000), "too wide": png_that_claims(2**31 - 1, 1), "no pixels": png_that_claims(0, 5),
    "wrong checksum": png()[:20] + b"\xff" + png()[21:], "no data": png_that_claims(30, 30)[:33],
    "long text": png()[:33] + _chunk(b"zTXt", b"a\x00\x00" + zlib.compress(bytes(80_000_000))) + png()[33:],
    "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"}


def save(folder: Path, made: dict | bytes, picture: bytes | None = None) -> Path:
    """Put a record into a folder, and beside it the picture that it names; its run.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_bytes(made if isinstance(made, bytes) else json.dumps(made).encode())
    if picture is not None:
        (folder / "iteration_1.png").write_bytes(picture)
    return folder / "run.json"


def archive(path: Path, members: dict[str, bytes], compression=zipfile.ZIP_DEFLATED) -> Path:
    """A .zip with these members, whatever their names are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name), data, compress_type=compression)
    return path


def link_in_archive(path: Path, name: str, target: str) -> Path:
    """A .zip with one member that is a symbolic link, as Unix tools pack them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        member = zipfile.ZipInfo(name)
        member.create_system, member.external_attr = 3, 0o120777 << 16
        file.writestr(member, target)
    return path


def special_files(folder: Path) -> None:
    """Put pipes, a device, folders, links and a cycle into a folder, named as records and archives are."""
    for name in "pipe", "device", "folder", "link", "nowhere":
        (folder / name).mkdir(parents=True)
    if hasattr(os, "mkfifo"):  # Windows has none
        os.mkfifo(folder / "pipe" / "run.json")
        os.mkfifo(folder / "pipe" / "x.zip")
    (folder / "device" / "run.json").symlink_to("/dev/zero")
    (folder / "device" / "x.zip").symlink_to("/dev/zero")
    (folder / "folder" / "run.json").mkdir()
    (folder / "folder" / "x.zip").mkdir()
    (folder / "link" / "run.json").symlink_to("/etc/passwd")
    (folder / "nowhere" / "run.json").symlink_to("/does/not/exist")
    (folder / "cycle").symlink_to(folder)
    (folder / "itself").symlink_to("itself")
