"""genlib record: pictures of a service and clocked times become a run; what will not do leaves nothing."""
import subprocess
from pathlib import Path

import hostile
import pytest
from PIL import Image

from genlib import runs
from genlib.__main__ import main
from genlib.pictures import FORMATS


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A picture of each format that is taken, and the times of the first two."""
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    for i, kind in enumerate(FORMATS):
        Image.new("RGB", (8, 6), (40 * i, 0, 0)).save(f"mine/{i}.{kind.lower()}", kind)
    Path("times.csv").write_text("file,time_s\n0.jpeg,35.5\n1.png,36\n")
    return tmp_path


def record(*more, name="midjourney", times="times.csv"):
    return main(["record", "mine", "--experiment", name, "--times", times, "--results", "results", *more])


def recorded():
    return runs.finished("results")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_pictures_and_times_become_a_run_by_hand_of_nobodys_machine(place, capsys):
    assert record(name="MidJourney") == 0
    [run] = recorded()
    assert (run.experiment, run.method, run.machine.slug, run.machine.device, run.model) == ("midjourney", "by-hand", "unknown", None, None)
    assert [iteration.time_s for iteration in run.iterations] == [35.5, 36.0]
    assert {iteration.ram_bytes for iteration in run.iterations} == {iteration.vram_peak_bytes for iteration in run.iterations} == {None}
    assert not any(runs.odd_pictures(run)) and [picture.size for i in run.iterations for picture in run.shown(i, 1)] == [(8, 6)] * 2
    out = capsys.readouterr().out
    assert "35.750" in out and f"results/unknown/midjourney/none-none/{run.folder.name}" in out
    assert main(["runs", "results"]) == 0 and "midjourney · none · none · by-hand · n = 2" in capsys.readouterr().out


def test_every_format_is_kept_as_png_and_what_has_no_time_is_named(place):
    Path("times.csv").write_text("file,time_s\n" + "".join(f"{i}.{kind.lower()},1\n" for i, kind in enumerate(FORMATS)))
    Path("mine/later.png").write_bytes(hostile.png())
    with pytest.warns(UserWarning, match="left out later.png in .*mine: times.csv has no time of it"):
        record()
    [run] = recorded()
    assert [path.name for path in run.image_files()] == [f"iteration_{i + 1}.png" for i in range(len(FORMATS))]


def test_a_further_command_adds_a_run_and_changes_nothing_of_the_first(place):
    with pytest.warns(UserWarning, match="left out"):
        record()
    first = {path: path.read_bytes() for path in Path("results").rglob("*.*") if path.is_file()}
    Path("times.csv").write_text("file,time_s\n2.webp,40\n")
    with pytest.warns(UserWarning, match="left out"):
        record()
    assert len(recorded()) == 2 and all(path.read_bytes() == data for path, data in first.items())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_picture_that_an_earlier_run_has_or_two_lines_name_is_refused(place, capsys):
    record()
    assert record() == 1
    assert "0.jpeg is the picture results/unknown/midjourney/none-none/" in capsys.readouterr().err
    Path("mine/copy.webp").write_bytes(Path("mine/2.webp").read_bytes())
    Path("times.csv").write_text("file,time_s\n2.webp,40\ncopy.webp,40\n")
    assert record() == 1 and "copy.webp is the picture mine/2.webp, and would count twice" in capsys.readouterr().err
    assert len(recorded()) == 1


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_command_that_was_killed_is_not_gone_on_with(place, monkeypatch):
    monkeypatch.setattr(runs.Run, "finish", lambda run: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        record()
    monkeypatch.undo()
    monkeypatch.chdir(place)
    record()
    [run] = recorded()
    assert len(run.iterations) == 2 and not run.resumed and len(list(run.folder.parent.iterdir())) == 2


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_excels_csv_with_semicolons_and_decimal_commas_is_read(place):
    Path("times.csv").write_bytes("\ufefffile;time_s;note\r\n0.jpeg;35,5;x\r\n".encode())
    record()
    assert [iteration.time_s for iteration in recorded()[0].iterations] == [35.5]


BAD_TIMES = {  # the text of times.csv, and what is said of it
    "nothing": ("", "has no column 'file'"), "no column": ("file,seconds\n1.png,3\n", "has no column 'time_s'"),
    "no times": ("file,time_s\n", "has 0 times"), "no number": ("file,time_s\n1.png,fast\n", "line 2, has the time 'fast': write seconds"),
    "zero": ("file,time_s\n1.png,0\n", "'0'"),
    "comma": ("file,time_s\n1.png,\"1,234\"\n", "'1,234'"), "below zero": ("file,time_s\n1.png,-3\n", "'-3'"),
    "nan": ("file,time_s\n1.png,nan\n", "'nan'"), "endless": ("file,time_s\n1.png,inf\n", "'inf'"),
    "no time": ("file,time_s\n1.png\n", "the time ''"), "twice": ("file,time_s\n1.png,1\n1.png,2\n", "line 3, has the file '1.png'"),
    "elsewhere": ("file,time_s\n../times.csv,1\n", "has the file '../times.csv'"),
    "hidden": ("file,time_s\n\u202egnp.x,1\n", r"has the file '\u202egnp.x'"),
    "missing": ("file,time_s\nother.png,1\n", "has a time of 'other.png', which is not in"),
    "nul": ("file,time_s\n\0,1\n", "line "), "huge": ("file,time_s\n" + "x" * 200_000 + ",1\n", "line "),
    "too large": ("file,time_s\n" + "1.png,1\n" * 200_000, "at most 1.0 MB are read")}


@pytest.mark.parametrize("text, said", BAD_TIMES.values(), ids=BAD_TIMES)
def test_times_that_will_not_do_are_one_sentence_and_nothing_is_kept(place, capsys, text, said):
    Path("times.csv").write_text(text)
    assert record() == 1
    error = capsys.readouterr().err
    assert error.startswith("genlib: ") and error.count("\n") == 1 and said in error and "times.csv" in error
    assert not Path("results").exists()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", sorted(hostile.PICTURES.keys() - {"jpeg", "gif", "tiff", "bmp"}))
def test_a_hostile_picture_is_one_sentence_and_nothing_is_kept(place, capsys, monkeypatch, kind):
    monkeypatch.setattr(subprocess, "Popen", None)  # an EPS would start Ghostscript
    Path("mine/1.png").write_bytes(hostile.PICTURES[kind])
    assert record() == 1
    error = capsys.readouterr().err
    assert "mine/1.png" in error and " object at 0x" not in error and error.count("\n") == 1 and not Path("results").exists()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["", "..", "a/b", "NUL", "a\u202eb", "x" * 300])
def test_a_name_that_is_no_folders_is_refused(place, capsys, name):
    assert record(name=name) == 1 and capsys.readouterr().err.startswith("genlib: ")
    assert not recorded() and not Path("results").exists()


def test_a_folder_or_a_file_that_is_not_there_is_named(place, capsys):
    assert main(["record", "nowhere", "--experiment", "x", "--times", "times.csv"]) == 1
    assert "nowhere is no folder" in capsys.readouterr().err
    assert record(times="nowhere.csv") == 1 and "nowhere.csv" in capsys.readouterr().err
