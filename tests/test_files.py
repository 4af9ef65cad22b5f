"""Files written whole and never through links, and read only if they are regular and of bounded size."""
import errno
import os
from contextlib import suppress
from types import SimpleNamespace

import pytest

from genlib import files


@pytest.fixture
def private(tmp_path):
    file = tmp_path / "private.txt"
    file.write_text("private")
    return file


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "record.json"
    files.write_atomically(path, b"old")
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and [path] == list(tmp_path.iterdir())
    files.write_atomically(path, b"new")
    assert path.read_bytes() == b"new" and [path] == list(tmp_path.iterdir())
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask(), "as any new file"


@pytest.mark.parametrize("refusals, kept", [(0, b"new"), (2, b"new"), (3, b"old")])
def test_a_file_that_windows_lets_nobody_replace_for_a_moment_is_replaced_after_it(tmp_path, monkeypatch, refusals, kept):
    """As where a virus scanner has it open: the rename is tried anew after each wait, and once more."""
    path, replace, refused = tmp_path / "record.json", os.replace, [PermissionError(errno.EACCES, "Access is denied")] * refusals
    path.write_bytes(b"old")

    def refuses(*names):
        if refused:
            raise refused.pop()
        replace(*names)

    monkeypatch.setattr(os, "replace", refuses)
    monkeypatch.setattr(files, "WAITS_S", [0, 0])
    with suppress(OSError):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == kept and [path] == list(tmp_path.iterdir())


def _umask():
    os.umask(mask := os.umask(0o022))
    return mask


def test_what_a_link_points_to_is_neither_overwritten_nor_appended_to(tmp_path, private):
    link = tmp_path / "table1.md"
    link.symlink_to(private)
    with pytest.raises(OSError, match="table1.md is a link"):
        files.open_to_append(link)
    files.write_atomically(link, b"table")
    assert private.read_text() == "private" and link.read_bytes() == b"table" and not link.is_symlink()


def test_names_of_unfinished_files_differ_each_time(tmp_path):
    names = set()
    for _ in range(2):
        with files.replacing(tmp_path / "a") as file:
            names.add(file.name)
    assert len(names) == 2, "one that could be guessed could be a link to somebody's file"


def test_a_folder_that_is_a_link_is_written_to(tmp_path):
    (tmp_path / "drive").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "drive")
    files.write_atomically(tmp_path / "results" / "a", b"1")
    with files.open_to_append(tmp_path / "results" / "b") as file:
        file.write("2")
    assert {path.name: path.read_text() for path in (tmp_path / "drive").iterdir()} == {"a": "1", "b": "2"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes")
def test_only_regular_files_of_bounded_size_are_read(tmp_path, private):
    assert files.read_regular(private, 7) == b"private"
    with pytest.raises(ValueError, match="private.txt has 0.0 MB, and at most"):
        files.read_regular(private, 6)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(private)
    for name in "pipe", "link":
        with pytest.raises(ValueError, match=f"{name} is no regular file"):
            files.read_regular(tmp_path / name, 100)
    with pytest.raises(ValueError, match="null is no regular file"):
        files.read_regular("/dev/null", 100)
    with pytest.raises((ValueError, OSError)):
        files.read_regular(tmp_path, 100)


@pytest.mark.parametrize("number, said", [
    (errno.ENOSPC, "the disk is full .*free some space"), (errno.EDQUOT, "quota.*free some space"),
    (errno.EROFS, "can only be read: choose another folder"), (errno.EACCES, "you may not write here"),
    (errno.EPERM, "you may not write here")])
def test_an_error_of_the_disk_says_what_to_do_and_names_the_folder(tmp_path, number, said):
    with pytest.raises(OSError, match=said) as raised, files.explain_storage(tmp_path):
        raise OSError(number, "as the system says it")
    assert str(tmp_path) in str(raised.value) and raised.value.errno == number


@pytest.mark.parametrize("name, said", [
    ("file", "file is a file and no folder"), ("file/below", "file is a file and no folder"),
    ("link", "link is a link to a folder that is not there"), ("gone", "the folder is no longer there .*mount the drive again")])
def test_a_folder_in_whose_place_something_else_is_is_said(tmp_path, name, said):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match=said), files.explain_storage(tmp_path / name):
        raise FileNotFoundError(errno.ENOENT, "as the system says it")


def test_a_folder_in_a_file_s_place_is_named_and_kept(tmp_path):
    (tmp_path / "table1.csv").mkdir()
    with pytest.raises(OSError, match="a folder has the name of the file table1.csv: rename it"):
        files.write_atomically(tmp_path / "table1.csv", b"table")
    assert [path.name for path in tmp_path.iterdir()] == ["table1.csv"]


def test_other_errors_pass_as_they_are(tmp_path):
    with pytest.raises(OSError, match="^.Errno 5. broken$"), files.explain_storage(tmp_path):
        raise OSError(errno.EIO, "broken")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no such owners here")
@pytest.mark.parametrize("owner, another", [(0, False), (1000, False), (1001, True)])
def test_a_file_of_another_user_is_told_from_ones_own_and_the_administrators(owner, another, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert files.belongs_to_another(SimpleNamespace(stat=lambda: SimpleNamespace(st_uid=owner))) is another
