"""Runs that come from elsewhere, as .zip files dropped among the results."""
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
import zipfile

import hostile
import pandas as pd
import pytest
from saved_runs import save_run

from genlib import archives, runs


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


# --- archives of strangers


def unpacked(folder):
    """The folders that archives in a folder were unpacked into, and what is left of unpacking."""
    return [path for path in folder.iterdir() if path.is_dir()]


def record(**changes):
    return json.dumps(hostile.record(**changes)).encode()


@pytest.mark.parametrize("members, line", [
    ({"a/run.json": b" " * (20 * 1024**2)}, "left out a/run.json: it has 21 MB, and at most 17 MB are read"),
    ({"a/run.json": b"{}", "a/x.png": bytes(70 * 1024**2)}, "left out a/x.png: it has 73 MB"),
    ({f"{i}/x.png": bytes(20 * 1024**2) for i in range(4)} | {"run.json": b"{}"}, "would unpack to 84 MB, and at most 67 MB"),
    ({f"{i}/run.json": b"" for i in range(51)}, "it has 51 runs, and at most 50 are read"),
    ({f"{i}": b"" for i in range(501)}, "it has 501 files, and at most 500 are read"),
    ({"x" * 60_000 + str(i): b"" for i in range(150)}, "its list of files has more than 8 MB")],
    ids=["a record", "a picture", "in all", "records", "files", "a list"])
def test_a_small_zip_that_holds_very_much_is_refused_before_it_is_unpacked_and_says_the_limit(tmp_path, members, line, monkeypatch):
    monkeypatch.setattr(archives, "RECORDS", 50)  # 5000
    monkeypatch.setattr(archives, "MEMBERS", 500)  # 50,000
    save_run(tmp_path, "stylegan2-ada", [2.0])
    archive = hostile.archive(tmp_path / "bomb.zip", members)
    assert archive.stat().st_size < 20e6
    with pytest.warns(UserWarning, match=re.escape(line)):
        assert runs.load(tmp_path)["time_s"].tolist() == [2.0]
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.*") if path != archive) < 100_000


def test_of_a_large_zip_that_is_none_of_ours_only_the_list_of_files_is_read(tmp_path, monkeypatch):
    archive = hostile.archive(tmp_path / "film.zip", {"film.mp4": b""})
    with zipfile.ZipFile(archive, "w") as file, file.open("film.mp4", "w") as member:
        for _ in range(64):
            member.write(bytes(1024**2))
    tracemalloc.start()
    with pytest.warns(UserWarning, match="skipped .*film.zip: there is no run.json in it"):
        runs.load(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_that_may_ask_for_gigabytes_is_not_unpacked(tmp_path, method):
    hostile.archive(tmp_path / "x.zip", {"run.json": record()}, method)
    with pytest.warns(UserWarning, match="packed by a method other than deflate"):
        assert len(runs.load(tmp_path)) == 0


@pytest.mark.parametrize("name", ["C:/run.json", "a:b/run.json", "NUL/run.json", "a /run.json", "a\n/run.json", "a/" * 31 + "run.json",
                                  "x" * 300 + "/run.json"])
def test_a_member_with_a_name_that_not_every_system_can_store_is_left_out_and_the_rest_is_read(tmp_path, name):
    hostile.archive(tmp_path / "x.zip", {name: record(experiment="odd"), "b/run.json": record()})
    with pytest.warns(UserWarning, match="left out what has a name that not every system can store \\(1\\)"):
        assert set(runs.load(tmp_path)["experiment"]) == {"stable-diffusion"}


def test_a_member_without_a_name_is_passed_over(tmp_path):
    data = hostile.archive(tmp_path / "x.zip", {"run.json": record(), "?": b""}).read_bytes()
    at = data.rindex(b"PK\1\2")  # the last entry of the list of files, whose name is now none and its comment one letter
    (tmp_path / "x.zip").write_bytes(data[:at + 28] + bytes(2) + data[at + 30:at + 32] + b"\1\0" + data[at + 34:])
    assert len(runs.load(tmp_path / "x.zip")) == 3


def test_a_zip_with_a_password_one_of_zips_and_a_record_for_a_zip_are_what_they_are(tmp_path):
    inner = hostile.archive(tmp_path / "r.zip", {"run.json": record()}).read_bytes()
    outer = hostile.archive(tmp_path / "drive.zip", {"results.zip": inner})
    with pytest.warns(UserWarning, match="drive.zip: there is no run.json in it: .*unpack it if it holds other .zip files"):
        runs.load(outer)
    locked = bytearray(inner)
    locked[6] |= 1
    locked[locked.rfind(b"PK\1\2") + 8] |= 1
    (tmp_path / "r.zip").write_bytes(locked)
    with pytest.warns(UserWarning, match="r.zip: it needs a password"):
        runs.load(tmp_path / "r.zip")
    assert len(runs.load(hostile.save(tmp_path / "a", hostile.record(), hostile.png()))) == 3


def test_a_link_in_a_zip_is_no_link_afterwards(tmp_path):
    (tmp_path / "secret.json").write_bytes(record())
    hostile.link_in_archive(tmp_path / "results" / "x.zip", "a/run.json", str(tmp_path / "secret.json"))
    with pytest.warns(UserWarning, match="skipped .*run.json"):
        assert len(runs.load(tmp_path / "results")) == 0
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]


@pytest.mark.parametrize("spoil", ["changed", "added", "link", "linked file", "made before", "file"])
def test_a_folder_of_an_unpacked_zip_s_name_is_not_taken_for_what_the_zip_holds(tmp_path, spoil):
    archive = hostile.archive(tmp_path / "results" / "x.zip", {"a/run.json": record()})
    folder = archives.unpack(archive)
    theirs = record(method="theirs")
    if spoil == "changed":
        (folder / "a" / "run.json").write_bytes(theirs)
    elif spoil == "added":
        hostile.save(folder / "b", theirs)
    elif spoil == "linked file":
        (folder / "a" / "run.json").rename(tmp_path / "run.json")
        (folder / "a" / "run.json").symlink_to(tmp_path / "run.json")
    else:
        folder.rename(tmp_path / "theirs")
        if spoil == "made before":
            hostile.save(folder / "a", theirs)
        elif spoil == "link":
            (tmp_path / "theirs" / "a" / "run.json").write_bytes(theirs)
            folder.symlink_to(tmp_path / "theirs")
        else:
            folder.write_bytes(theirs)
    with pytest.warns(UserWarning, match="is not what x.zip holds"):
        again = archives.unpack(archive)
    assert (again / "a" / "run.json").read_bytes() == record() and again != folder and os.stat(again.parent).st_mode & 0o777 == 0o700
    with pytest.warns(UserWarning):
        df = runs.load(tmp_path / "results")
    assert set(df.loc[df["method"] == "genlib", "origin"]) == {"x.zip"} and "x.zip" not in set(df.loc[df["method"] == "theirs", "origin"])


@pytest.mark.parametrize("error", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_zip_in_a_folder_that_cannot_be_written_is_unpacked_in_a_folder_of_the_process(tmp_path, monkeypatch, error):
    archive = hostile.archive(tmp_path / "x.zip", {"a/run.json": record(), "a/iteration_1.png": hostile.png()})
    mkdir = os.mkdir

    def refused(path, *arguments, **options):
        if os.path.dirname(path) == str(tmp_path):
            raise OSError(error, os.strerror(error), str(path))
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(os, "mkdir", refused)
    df = runs.load(archive)
    assert len(df) == 3 and open(df["image"][0], "rb").read(4) == b"\x89PNG" and not unpacked(tmp_path)
    assert runs.load(archive).equals(df) and set(df["origin"]) == {"x.zip"}


def test_a_full_disk_is_said_with_the_archive_and_leaves_nothing(tmp_path, monkeypatch):
    hostile.archive(tmp_path / "x.zip", {"a/run.json": record()})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.warns(UserWarning, match="skipped .*x.zip: .*the disk is full"):
        runs.load(tmp_path)
    assert not unpacked(tmp_path)


@pytest.mark.parametrize("names", [("results-20261126T1000Z-001", "results-20261126T1000Z-002"),
                                   ("a b-20240115T123456Z-1-001", "a b-20240115T123456Z-1-002", "a b-20240115T123456Z-1-002 (1)")])
def test_the_zips_into_which_drive_divides_a_folder_are_one_result(tmp_path, names, recwarn):
    members = {"results/a/run.json": record(), "results/a/iteration_1.png": hostile.png()}
    hostile.archive(tmp_path / f"{names[0]}.zip", {"results/a/run.json": members["results/a/run.json"]})
    for name in names[1:]:
        hostile.archive(tmp_path / f"{name}.zip", {"results/a/iteration_1.png": members["results/a/iteration_1.png"]})
    for given in [tmp_path], [tmp_path / f"{name}.zip" for name in names]:
        df = runs.load(*given)
        assert df["images"].map(len).tolist() == [1, 0, 0]
    assert len(unpacked(tmp_path)) == 1 and not recwarn.list


def test_a_part_of_a_divided_download_that_is_missing_or_damaged_is_said(tmp_path):
    first, second = (tmp_path / f"results-20261126T1000Z-00{i}.zip" for i in (1, 2))
    hostile.archive(first, {"a/run.json": record()})
    with pytest.warns(UserWarning, match="left out pictures that records name .1., such as 'iteration_1.png'"):
        assert len(runs.load(tmp_path)) == 3
    second.write_bytes(b"cut off")
    with pytest.warns(UserWarning, match="skipped .*002.zip: it is not a whole .zip"):
        assert len(runs.load(tmp_path)) == 3
    first.unlink()
    shutil.rmtree(*unpacked(tmp_path))
    hostile.archive(second, {"a/iteration_1.png": hostile.png()})
    with pytest.warns(UserWarning, match="002.zip: there is no run.json in it: put the other .zip files of this download beside it"):
        assert len(runs.load(tmp_path)) == 0


LOAD = "import sys; from genlib import runs; print(len(runs.load(sys.argv[1])))"


def test_processes_that_unpack_the_same_zip_at_once_all_read_it_whole_and_leave_one_folder(tmp_path):
    hostile.archive(tmp_path / "x.zip", {f"{i}/run.json": record(variant=str(i), iterations=[{"time_s": 1.0}]) for i in range(100)})
    processes = [subprocess.Popen([sys.executable, "-W", "error", "-c", LOAD, tmp_path], stdout=subprocess.PIPE) for _ in range(3)]
    assert [int(process.communicate()[0]) for process in processes] == [100] * 3
    assert len(unpacked(tmp_path)) == 1


def test_a_folder_that_is_being_unpacked_is_not_read(tmp_path):
    hostile.save(tmp_path / ".x-00000000.0123456789abcdef.part" / "a", hostile.record())
    assert len(runs.load(tmp_path)) == 0


def test_every_line_about_an_archive_names_it_and_says_something(tmp_path):
    good = hostile.archive(tmp_path / "good.zip", {"a/run.json": record()}).read_bytes()
    for i, at in enumerate(range(0, len(good), 7)):
        (tmp_path / f"{i}.zip").write_bytes(good[:at] + b"\xff\xff" + good[at + 2:])
    with pytest.warns(UserWarning) as said:
        df = runs.load(tmp_path)
    assert len(df) == 3
    assert all(re.search(r"(\d+|good)(-\w{8}/a:|.zip)", str(line.message)) and len(str(line.message)) > 40 for line in said)
