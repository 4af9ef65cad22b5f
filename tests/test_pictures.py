"""Pictures of runs are PNGs beside their record, and nothing else is opened, whatever a record says."""
import subprocess
import zipfile
from pathlib import Path

import hostile
import pytest
from PIL import Image
from saved_runs import save_run

from genlib import archives, pictures, runs
from genlib.report import Report


@pytest.mark.parametrize("data", hostile.PICTURES.values(), ids=hostile.PICTURES)
def test_what_is_no_whole_png_is_named_and_costs_its_picture_and_not_the_report(tmp_path, monkeypatch, data):
    monkeypatch.setattr(subprocess, "Popen", None)  # an EPS would start Ghostscript
    run = save_run(tmp_path, "stable-diffusion", [1.0, 2.0])
    (run.folder / "iteration_1.png").write_bytes(data)
    with pytest.raises(ValueError, match="iteration_1.png (is no PNG|cannot be shown)") as refused:
        pictures.read(run.folder / "iteration_1.png")
    assert " object at 0x" not in str(refused.value)
    with pytest.warns(UserWarning, match="left out .*iteration_1.png") as said:
        figure = Report(tmp_path).figure("pictures").canvas
    assert len(said) == 1 and [len(ax.images) for ax in figure.axes] == [1, 0, 0, 0, 0]


def test_pillow_is_asked_for_png_alone(tmp_path, monkeypatch):
    asked, usual = [], Image.open
    monkeypatch.setattr(Image, "open", lambda *arguments, **options: asked.append(options) or usual(*arguments, **options))
    save_run(tmp_path, "stable-diffusion", [1.0])
    Report(tmp_path).figure("pictures")
    assert asked == [{"formats": ["PNG"]}]


def test_a_reconstruction_without_its_original_is_left_out_and_the_other_pairs_are_shown(tmp_path):
    run = save_run(tmp_path, "vae-as-in-thesis", [1.0, 2.0], picture=2)
    (run.folder / "iteration_1_1.png").write_bytes(hostile.EPS)
    with pytest.warns(UserWarning, match="left out .*iteration_1_1.png is no PNG"):
        assert sum(len(ax.images) for ax in Report(tmp_path).figure("vae").canvas.axes) == 3


@pytest.mark.parametrize("name", hostile.PICTURE_NAMES)
def test_a_picture_named_by_a_record_lies_beside_it_or_is_not_read_and_a_line_says_so(tmp_path, name):
    made = hostile.record()
    made["iterations"][0]["images"][0]["file"] = name
    path = hostile.save(tmp_path / "results" / "a", made)
    for secret in tmp_path / "secret.png", tmp_path / "results" / "secret.png", path.parent / "b" / "b.png", path.parent / name[:200]:
        if "\0" not in name and not secret.is_dir() and secret.name != "run.json" and secret.resolve().is_relative_to(tmp_path):
            secret.parent.mkdir(parents=True, exist_ok=True)
            secret.write_bytes(hostile.png())
    with pytest.warns(UserWarning, match="left out pictures that records name"):
        df = runs.load(tmp_path / "results")
    assert df["images"].map(len).sum() == 0
    with pytest.warns(UserWarning):
        assert not any(ax.images for ax in Report(tmp_path / "results").figure("pictures").canvas.axes)
    with zipfile.ZipFile(archives.pack(tmp_path / "results")) as packed:
        assert packed.namelist() == ["a/run.json"]


@pytest.mark.parametrize("name", ["iteration_1.png", "a b.png", "ітерація.PNG", "a.b.png", "100%.png", "console.png", "~a.png",
                                  "нові\u00a0фото.png", "結果\u3000一.png"])
def test_an_ordinary_name_is_a_plain_one(name):
    assert pictures.is_plain(name)


def test_a_picture_that_is_a_link_is_neither_shown_nor_packed(tmp_path):
    (tmp_path / "private.png").write_bytes(hostile.png())
    path = hostile.save(tmp_path / "results" / "a", hostile.record())
    (path.parent / "iteration_1.png").symlink_to(tmp_path / "private.png")
    with pytest.warns(UserWarning, match="left out pictures"):
        assert not runs.load(tmp_path / "results")["images"].map(len).any()
    with zipfile.ZipFile(archives.pack(tmp_path / "results")) as packed:
        assert packed.namelist() == ["a/run.json"]


def test_only_records_and_their_own_pictures_are_packed_and_no_links(tmp_path):
    run = save_run(tmp_path / "results", "stable-diffusion", [1.0])
    save_run(tmp_path / "private", "stylegan2-ada", [1.0])
    (run.folder / "notes.png").write_bytes(hostile.png())
    (run.folder / "notes.txt").write_text("private")
    (tmp_path / "results" / "link").symlink_to(tmp_path / "private")
    (tmp_path / "results" / "record").mkdir()
    (tmp_path / "results" / "record" / "run.json").symlink_to(next((tmp_path / "private").rglob("run.json")))
    with pytest.warns(UserWarning) as said:
        archive = archives.pack(tmp_path / "results")
    lines = "\n".join(str(line.message) for line in said)
    assert "link: it is a link to another folder" in lines and "record/run.json is no regular file" in lines
    with zipfile.ZipFile(archive) as packed:
        assert sorted(Path(name).name for name in packed.namelist()) == ["iteration_1.png", "run.json"]


def test_a_picture_that_is_too_large_is_left_out_of_the_archive_and_the_rest_is_packed(tmp_path, monkeypatch):
    run = save_run(tmp_path / "results", "stable-diffusion", [1.0, 2.0])
    (run.folder / "iteration_1.png").write_bytes(hostile.png() + bytes(10_000))
    monkeypatch.setattr(archives, "PICTURE_BYTES", 10_000)
    with pytest.warns(UserWarning, match="left out .*iteration_1.png has 0.0 MB, and at most 0.0 MB are read"):
        archive = archives.pack(tmp_path / "results")
    with zipfile.ZipFile(archive) as packed:
        assert sorted(Path(name).name for name in packed.namelist()) == ["iteration_2.png", "run.json"]
