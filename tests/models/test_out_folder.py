"""The folder of `generate`: whatever lies there, no picture goes elsewhere, and refusals are sentences."""
import io
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from genlib.models import out_folder
from genlib.record import BLACKENED, DOUBT, MB, NOT_FINITE

HASH = "0" * 64


def line(number: int, **changes) -> bytes:
    return json.dumps(dict(seed=number, file=out_folder.name(number), sha256=HASH) | changes).encode()


def test_lines_that_name_no_picture_of_this_folder_are_passed_over_and_counted(tmp_path, capsys):
    odd = [b'{"seed": 5, "fi', b"\x00\xff", b"3", b"[1]", b"null", b"{}", b'"text"', b"[" * 100_000, b"9" * 5000, b" " * 10**6 + line(1),
           line(1, file="/etc/passwd"), line(1, file="../../x.png"), line(1, file=out_folder.name(2)), line(1, sha256=None),
           line(1, sha256="../x"), line(-1), line(10**8), line(10**400), json.dumps(dict(seed=True, file=out_folder.name(1))).encode(),
           line(1, seed=1.0), line(1, seed="1"), line(1, label="0"), line(1, label=True), line(1, blackened=1), line(1, file=None)]
    (tmp_path / "manifest.jsonl").write_bytes(b"\n".join([line(3, label=2, path="/home/me"), b"", *odd]))
    (tmp_path / "manifest-0.jsonl").write_bytes(b"\n" + line(4) + b"\r\n")
    (tmp_path / "manifest-mine.jsonl").write_bytes(line(7))
    assert out_folder.drawn(tmp_path) == {
        3: dict(seed=3, file="00000/seed00000003.png", sha256=HASH, label=2), 4: dict(seed=4, file="00000/seed00000004.png", sha256=HASH)}
    assert f"{len(odd)} lines of the manifest passed over, which name no picture" in capsys.readouterr().out
    assert sorted(out_folder.join(tmp_path)) == [3, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest-mine.jsonl", "manifest.jsonl"], "another's file is left alone"


def link(path: Path):
    (path.parent.parent / "elsewhere").write_text("{}")
    path.symlink_to(path.parent.parent / "elsewhere")


HOSTILE = {
    "a link": link, "a dangling link": lambda path: path.symlink_to("nowhere"), "a folder": Path.mkdir,
    "a pipe": getattr(os, "mkfifo", Path.mkdir),  # Windows has none
    "the endless device": lambda path: path.symlink_to("/dev/zero")}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", ["manifest.jsonl", "manifest-0.jsonl", "settings.json"])
def test_what_is_no_regular_file_is_refused_by_name(tmp_path, name, kind):
    out = tmp_path / "out"
    out.mkdir()
    HOSTILE[kind](out / name)
    with pytest.raises(ValueError, match=f"{name} is no regular file"):
        out_folder.drawn(out)
        out_folder.settings(out)


def test_a_manifest_or_settings_beyond_all_measure_are_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(out_folder, "MANIFEST_BYTES", 2 * MB)
    for name, limit in {"manifest.jsonl": out_folder.MANIFEST_BYTES, "settings.json": out_folder.SETTINGS_BYTES}.items():
        with (tmp_path / name).open("wb") as file:
            file.truncate(limit + 1)  # a file of holes
    with pytest.raises(ValueError, match="manifest.jsonl has 2.1 MB, and at most 2.1 MB are read"):
        out_folder.drawn(tmp_path)
    with pytest.raises(ValueError, match="settings.json has 1.0 MB"):
        out_folder.settings(tmp_path)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"9" * 5000], ids=range(7))
def test_damaged_settings_are_refused_where_pictures_were_drawn_by_them_and_else_written_anew(tmp_path, text):
    (tmp_path / "settings.json").write_bytes(text)
    with pytest.raises(ValueError, match="settings.json is damaged, .*: choose another --out"):
        out_folder.keep_settings(tmp_path, dict(steps=1), {0: {}})
    out_folder.keep_settings(tmp_path, dict(steps=1), {})
    assert out_folder.settings(tmp_path) == dict(steps=1)


@pytest.mark.parametrize("before", [dict(steps=list(range(10**4))), {"steps": 50, "x\x1b[2J" * 1000: 1},
                                    dict(steps=float("nan")), dict(steps="\x1b"), {}], ids=range(5))
def test_settings_that_differ_are_shown_in_one_short_line(tmp_path, before):
    (tmp_path / "settings.json").write_text(json.dumps(before))
    with pytest.raises(ValueError, match="holds pictures with .*: choose another --out") as error:
        out_folder.keep_settings(tmp_path, dict(steps=50), {0: {}})
    assert len(str(error.value)) < 300 + len(str(tmp_path)) and "\x1b" not in str(error.value)


@pytest.mark.parametrize("before, now, same", [
    ("/home/me/models/sd", "sd", True), ("models/sd", "sd", True), (r"C:\me\sd", "sd", True), ("sd", "sd", True),
    ("https://me:a@h.org/a.pkl?token=1", "https://h.org/a.pkl", True), ("/home/me/models/sd", "sd2", False),
    ("https://h.org/a.pkl?x=1", "https://h.org/b.pkl", False), ("one/sd", "other/sd", False), (5, "sd", False)])
def test_pictures_of_an_earlier_version_whose_settings_hold_a_whole_path_and_no_hash_are_continued(tmp_path, before, now, same):
    (tmp_path / "settings.json").write_text(json.dumps(dict(source=before, sha256=None)))
    if same:
        return out_folder.keep_settings(tmp_path, dict(source=now, sha256=HASH), {0: {}})
    with pytest.raises(ValueError, match="holds pictures with source"):
        out_folder.keep_settings(tmp_path, dict(source=now, sha256=HASH), {0: {}})


def test_pictures_of_a_model_of_the_same_name_and_another_hash_are_never_mixed(tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps(dict(source="/home/me/sd", sha256="1" * 64)))
    with pytest.raises(ValueError, match="holds pictures with sha256"):
        out_folder.keep_settings(tmp_path, dict(source="sd", sha256=HASH), {0: {}})


@pytest.mark.parametrize("make", [lambda path, other: path.symlink_to(other), lambda path, other: path.symlink_to("nowhere"),
                                  lambda path, other: path.write_text("")], ids=["a link", "a dangling link", "a file"])
def test_a_numbered_folder_that_would_lead_pictures_elsewhere_is_refused(tmp_path, make):
    (tmp_path / "out").mkdir()
    (tmp_path / "other").mkdir()
    make(tmp_path / "out" / "00042", tmp_path / "other")
    assert out_folder.missing(range(41_999, 42_000), 1, tmp_path / "out", {}) == [[41_999]], "pictures of other folders are drawn"
    with pytest.raises(ValueError, match="00042 is no folder of its own but a link or a file: delete it, or choose another --out"):
        out_folder.missing(range(41_999, 42_001), 1, tmp_path / "out", {})


def saved(out, seed, doubt=None):
    """The manifest's new lines, once a picture was saved."""
    picture, manifest = Image.new("RGB", (2, 2), "red"), io.StringIO()
    picture.info |= {DOUBT: doubt} if doubt else {}
    out_folder.save(picture, seed, out, manifest, {})
    return [json.loads(text) for text in manifest.getvalue().splitlines()]


def test_a_picture_replaces_a_link_and_never_writes_through_one(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "00000").mkdir()
    for name in "seed00000007.png", "seed00000007.part":
        (tmp_path / "00000" / name).symlink_to(tmp_path / "mine")
    there = {7: dict(file=out_folder.name(7))}
    assert out_folder.missing(range(7, 8), 1, tmp_path, there) == [[7]], "a link is no picture of ours"
    assert len(saved(tmp_path, 7)) == 1 and (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / out_folder.name(7)).is_symlink() and out_folder.missing(range(7, 8), 1, tmp_path, there) == []


def test_a_picture_that_is_not_finite_is_left_out_and_a_blackened_one_is_named(tmp_path):
    assert saved(tmp_path, 1, NOT_FINITE) == [] and not list(tmp_path.rglob("*.png"))
    [said] = saved(tmp_path, 2, BLACKENED)
    assert said["blackened"] is True and (tmp_path / said["file"]).exists()
    (tmp_path / "manifest.jsonl").write_text(json.dumps(said))
    assert out_folder.drawn(tmp_path) == {2: said}


def test_an_out_that_is_a_link_to_a_folder_is_filled_and_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "drive").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "drive")
    out_folder.claim(tmp_path / "out", make=True)
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in "file", "dangling", "file/below":
        with pytest.raises(ValueError, match=f"--out .*{name.partition('/')[0]} is no folder: choose another one"):
            out_folder.claim(tmp_path / name, make=False)
    out_folder.claim(tmp_path / "new" / "deep", make=False)
    assert not (tmp_path / "new").exists()


def test_an_out_that_may_not_be_made_is_said_with_the_folder(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(OSError, match="you may not write here") as error:
        out_folder.claim(tmp_path / "new" / "deep", make=True)
    assert error.value.filename == str(tmp_path)
