"""Runs that come from elsewhere, as .zip files dropped among the results."""
import zipfile

import pandas as pd
import pytest
from saved_runs import save_run

from genlib import runs


def packed(folder, archive, prefix="results/"):
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*"):
            file.write(path, prefix + str(path.relative_to(folder)))
    return archive


def test_a_zip_of_results_dropped_into_the_folder_is_read_with_its_pictures(tmp_path):
    save_run(tmp_path / "colab", "stable-diffusion", [1.0, 2.0], machine="tesla-t4")
    (tmp_path / "results").mkdir()
    save_run(tmp_path / "results", "stable-diffusion", [3.0, 4.0], machine="cpu")
    archive = packed(tmp_path / "colab", tmp_path / "results" / "from colab.zip")
    df = runs.load(tmp_path / "results")
    assert df.groupby("machine")["time_s"].mean().to_dict() == {"cpu": 3.5, "tesla-t4": 1.5}, "told apart, not averaged"
    assert pd.Series(df["image"]).map(lambda file: open(file, "rb").read(4)).eq(b"\x89PNG").all()
    assert runs.load(tmp_path / "results").equals(df), "unpacked once"
    save_run(tmp_path / "colab", "stable-diffusion", [9.0, 9.0], machine="new-card")
    packed(tmp_path / "colab", archive)
    assert "new-card" in set(runs.load(tmp_path / "results")["machine"]), "another archive of the same name"


@pytest.mark.parametrize("spoil", [
    lambda data: data[:len(data) // 2], lambda data: b"", lambda data: b"<html>",
    lambda data: data[:len(data) // 2] + bytes(60) + data[len(data) // 2 + 60:]])
def test_a_damaged_zip_is_named_and_skipped_and_the_other_runs_are_read(tmp_path, spoil):
    save_run(tmp_path / "colab", "stable-diffusion", [1.0])
    save_run(tmp_path / "results", "stylegan2-ada", [2.0])
    archive = packed(tmp_path / "colab", tmp_path / "results" / "r.zip")
    archive.write_bytes(spoil(archive.read_bytes()))
    with pytest.warns(UserWarning, match="skipped .*r.zip: it is not a whole .zip"):
        assert runs.load(tmp_path / "results")["time_s"].tolist() == [2.0]
    assert not [path for path in (tmp_path / "results").iterdir() if path.name.endswith(".part")]


def test_a_zip_with_backslashes_is_read_and_one_without_runs_is_named(tmp_path):
    save_run(tmp_path / "colab", "stable-diffusion", [1.0])
    (tmp_path / "results").mkdir()
    with zipfile.ZipFile(tmp_path / "results" / "windows.ZIP", "w") as file:
        for path in (tmp_path / "colab").rglob("*.*"):
            file.writestr(zipfile.ZipInfo("results\\" + str(path.relative_to(tmp_path / "colab")).replace("/", "\\")), path.read_bytes())
    with zipfile.ZipFile(tmp_path / "results" / "other.zip", "w") as file:
        file.writestr("readme.txt", "")
    with pytest.warns(UserWarning, match="skipped .*other.zip: there is no run.json in it"):
        df = runs.load(tmp_path / "results")
    assert len(df) == 1 and open(df["image"].iloc[0], "rb").read(4) == b"\x89PNG"


def test_nothing_of_a_zip_lands_outside_its_folder_and_a_bomb_is_refused(tmp_path, monkeypatch):
    archive = tmp_path / "results" / "r.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../run.json", "{}")
        file.writestr("/abs/evil.png", "x")
        file.writestr("evil.py", "x")
    with pytest.warns(UserWarning, match="its schema is None"):
        assert len(runs.load(archive.parent)) == 0
    [folder] = [path for path in archive.parent.iterdir() if path.is_dir()]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["evil.png", "r.zip", "run.json"]
    assert all(folder in path.parents for path in tmp_path.rglob("*") if path.is_file() and path != archive)
    monkeypatch.setattr("genlib.archives.UNPACKED_BYTES", 2)
    archive.write_bytes(archive.read_bytes() + b" ")
    with pytest.warns(UserWarning, match="would unpack to"):
        runs.load(archive.parent / "r.zip")
