"""What paths mean that people write, and what is left of this machine's paths in texts for others."""
import os
import sys
import tempfile
from pathlib import Path

import pytest

from genlib import places


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder whose name is a person's."""
    folder = tmp_path / "home" / "anyone"
    folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.mark.parametrize("written, meant", [
    ("results", "base/results"), ("../results", "results"), ("./a/../b/", "base/b"), ("..\\results", "results"), (".", "base"),
    ("~", "home/anyone"), ("~/results", "home/anyone/results"), ("$HOME/results", "home/anyone/results"), ("${HOME}/r", "home/anyone/r"),
    ("  results \n", "base/results"), ('"my results"', "base/my results"), ("'~/r' ", "home/anyone/r"), ("результати", "base/результати"),
    ("$NOBODY_SET_THIS/r", "base/$NOBODY_SET_THIS/r"), (Path("results"), "base/results")])
def test_each_way_of_writing_a_folder_has_one_meaning(tmp_path, home, written, meant):
    assert places.resolve(written, tmp_path / "base") == tmp_path / meant
    assert places.resolve(str(tmp_path / "whole"), tmp_path / "base") == tmp_path / "whole"


def test_links_are_followed_once(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert places.resolve("link/results", tmp_path) == tmp_path / "real" / "results"


@pytest.mark.parametrize("written, said", [
    ("", "names no folder"), ("  ", "names no folder"), ("''", "names no folder"), ("https://drive.google.com/drive/x", "an address"),
    ("file:///home/x", "an address"), (Path("https://x/y"), "an address"), ("C:\\Users\\anyone\\results", "a folder of Windows"),
    ("d:/results", "a folder of Windows"), ("\\\\server\\share\\results", "a folder of Windows"), ("~nobody-of-this-name/r", "home folder"),
    ("a\0b", "is no path")])
def test_what_is_no_folder_of_this_machine_is_one_sentence_with_what_to_do(tmp_path, written, said):
    with pytest.raises(ValueError, match=said) as raised:
        places.resolve(written, tmp_path)
    assert ": " in str(raised.value) or "choose" in str(raised.value)


def test_folders_of_this_machine_become_names_and_other_text_stays(tmp_path, home, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("HF_HOME", "/media/anyone/disk")
    monkeypatch.setenv("HF_HUB_CACHE", "a")
    results = home / "thesis" / "results"
    names = {results: "results", home / "thesis": "project"}
    for text, public in [
            (f"the runs lie in {results}", "the runs lie in results"), (f"'{results}/a.json'", "'results/a.json'"),
            (f"\x1b[32m{home}/thesis/genlib/x.py:3\x1b[39m", "\x1b[32mproject/genlib/x.py:3\x1b[39m"), (f"file://{home}/x", "file://~/x"),
            (f"{sys.prefix}/lib/a.py", "python/lib/a.py"), (f"{home}s are many", f"{home}s are many"), (f"a{home}", f"a{home}"),
            (f"{tempfile.gettempdir()}/other", "tmp/other"), ("/media/anyone/disk/hub/a", "$HF_HOME/hub/a"),
            ("https://github.com/owner/name", "https://github.com/owner/name")]:
        assert places.without_paths(text, names) == public


def test_a_relative_folder_is_that_of_the_working_folder_at_the_time(tmp_path, monkeypatch):
    for name in "one", "other":
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert places.without_paths(f"{tmp_path / name}/results/x", {Path("results"): "public"}) == "public/x"


def test_a_home_that_is_the_root_and_a_linked_folder_are_no_trouble(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", os.sep)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    text = f"{tmp_path / 'real'}/x {tmp_path / 'link'}/x /usr_of_mine/x"
    assert places.without_paths(text, {tmp_path / "link": "results"}) == "results/x results/x /usr_of_mine/x"
