"""One odd record never costs the table: it is checked when it is read, and a line names file and field."""
import json
import os
import shutil
import warnings

import fuzz_records
import hostile
import pytest
from saved_runs import save_run

from genlib import checks, runs
from genlib.__main__ import main
from genlib.archives import pack
from genlib.report import Report
from genlib.report.tables import TABLES


@pytest.fixture
def folder(tmp_path):
    """Results with one good run, of StyleGAN2-ADA."""
    save_run(tmp_path / "own", "stylegan2-ada", [0.1, 0.2])
    return tmp_path


def shown(folder, language="en"):
    """Everything that a report can say of the runs in a folder."""
    report = Report(folder, language=language)
    return [report.table(kind.name)._repr_html_() for kind in TABLES] + report.doubts() + report.conclusions() + [report.groups]


def changed(change, **changes):
    made = hostile.record(**changes)
    change(made)
    return made


@pytest.mark.parametrize("change, place", hostile.BAD_RECORDS.values(), ids=hostile.BAD_RECORDS)
def test_a_record_with_an_impossible_value_is_refused_with_its_place(change, place):
    with pytest.raises(ValueError) as refused:
        runs.parse(json.dumps(changed(change)))
    assert f"its {place}" in str(refused.value) and len(str(refused.value)) < 600 and str(refused.value).isprintable()


def test_what_is_refused_is_skipped_with_a_line_that_names_file_and_field_and_the_rest_is_shown(folder):
    bad = {str(hostile.save(folder / f"bad{i}", changed(change))): place for i, (change, place) in enumerate(hostile.BAD_RECORDS.values())}
    bad |= {str(hostile.save(folder / name, data)): "" for name, data in hostile.NOT_RECORDS.items()}
    with pytest.warns(UserWarning) as said:
        df = runs.load(folder)
    assert df["time_s"].tolist() == [0.1, 0.2] and len(said) == len(bad)
    lines = [str(line.message) for line in said]
    for path, place in bad.items():
        assert any(f"skipped {path}: it" in line and place in line for line in lines), path


def test_a_command_and_a_report_show_the_rest_too(folder, tmp_path, capsys, monkeypatch):
    for i, (change, _) in enumerate(hostile.BAD_RECORDS.values()):
        hostile.save(folder / f"bad{i}", changed(change))
    hostile.special_files(folder / "special")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings(record=True):
        assert main(["table", str(folder), "--out", str(tmp_path / "tables"), "--format", "csv"]) == 0
        assert list(Report(folder).rows.index) == ["stylegan2-ada"]
    assert "0.15" in capsys.readouterr().out


@pytest.mark.parametrize("change", hostile.ODD_RECORDS.values(), ids=hostile.ODD_RECORDS)
def test_a_record_that_is_only_just_in_order_is_read_and_shown(tmp_path, change):
    hostile.save(tmp_path / "odd", changed(change), hostile.png())
    save_run(tmp_path / "own", "stylegan2-ada", [0.1, 0.2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs.parse(json.dumps(changed(change)))
        shown(tmp_path)


@pytest.mark.parametrize("slug", ["Reading", "Показник", "Model", "Stable Diffusion", "VAE alone"])
@pytest.mark.parametrize("language", ["en", "uk"])
def test_an_experiment_that_is_called_as_a_column_is_takes_no_columns_place(tmp_path, slug, language):
    save_run(tmp_path, "stable-diffusion", [1.0])
    hostile.save(tmp_path / "odd", hostile.record(experiment=slug))
    assert len(Report(tmp_path, language=language, weights="published").table("readings").data.columns) == 3


def test_ten_thousand_iterations_are_read_and_twenty_thousand_are_not_and_none_begins_what_cannot_be_read(tmp_path):
    made = hostile.record()
    iteration = made["iterations"][1]
    assert len(runs.parse(json.dumps(made | {"iterations": [iteration] * checks.ITERATIONS})).iterations) == checks.ITERATIONS
    with pytest.raises(ValueError, match="its iterations is wrong .it has 20000 entries, and at most 10000 are read"):
        runs.parse(json.dumps(made | {"iterations": [iteration] * 20_000}))
    with pytest.raises(ValueError, match="at most 10000"):
        runs.begin(runs.Run("e", runs.Machine("m")), tmp_path, iterations=20_000)


def test_a_record_of_gigabytes_is_refused_by_its_size_and_not_read(tmp_path):
    path = hostile.save(tmp_path, hostile.record())
    with open(path, "ab") as file:
        file.truncate(3 * 1024**3)  # a sparse file
    with pytest.raises(ValueError, match=r"run.json has 3221.2 MB, and at most 16.8 MB are read"):
        runs.read(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes")
def test_pipes_devices_folders_links_and_cycles_are_named_and_never_hang(folder):
    hostile.special_files(folder / "special")
    with pytest.warns(UserWarning) as said:
        assert len(runs.load(folder)) == 2
    lines = "\n".join(str(line.message) for line in said)
    for name in "pipe/run.json", "pipe/x.zip", "device/run.json", "device/x.zip", "folder/run.json", "link/run.json", "nowhere/run.json":
        assert f"special/{name} is no regular file" in lines


def test_a_results_folder_that_is_a_link_is_read_and_each_linked_folder_once(tmp_path):
    run = save_run(tmp_path / "elsewhere", "stable-diffusion", [1.0])
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "drive").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "results" / "again").symlink_to(tmp_path / "elsewhere" / "tesla-t4")
    (tmp_path / "results" / "up").symlink_to(tmp_path / "results")
    (tmp_path / "link").symlink_to(tmp_path / "results")
    df = runs.load(tmp_path / "link")
    assert len(df) == 1 and open(df["image"][0], "rb").read(4) == b"\x89PNG"
    assert len(runs.load(tmp_path / "link", tmp_path / "results", run.folder)) == 1


def test_a_folder_with_more_files_than_are_looked_at_is_named(folder, monkeypatch):
    monkeypatch.setattr("genlib.folders.FILES", 3)
    with pytest.warns(UserWarning, match="there are more than 3 files below .*: give the folder of the results alone"):
        runs.load(folder)
    monkeypatch.undo()
    monkeypatch.setattr("genlib.folders.RECORDS", 1)
    hostile.save(folder / "second", hostile.record())
    with pytest.warns(UserWarning, match="has 2 runs, and the first 1 are read"):
        assert len(runs.load(folder)) > 0


def test_a_folder_that_cannot_be_read_is_named_and_skipped(folder, monkeypatch):
    hostile.save(folder / "closed", hostile.record())
    listdir = os.listdir

    def closed(place):
        if str(place).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(place))
        return listdir(place)

    monkeypatch.setattr(os, "listdir", closed)
    with pytest.warns(UserWarning, match="skipped .*closed: Permission denied"):
        assert len(runs.load(folder)) == 2


def test_fields_that_say_where_a_run_was_read_are_not_taken_from_the_record(tmp_path):
    hostile.save(tmp_path, hostile.record(folder="/etc", archive="x.zip", origin="mine", displaced=["y"], reference=True))
    [run] = runs.read_all(tmp_path)
    assert (run.folder, run.archive, run.reference, run.origin, run.displaced) == (tmp_path, None, False, tmp_path.name, [])


# --- where a row comes from


def test_each_row_says_which_folder_or_archive_it_is_from_and_names_no_path(tmp_path):
    from genlib import archives
    save_run(tmp_path / "results", "stylegan2-ada", [1.0])
    save_run(tmp_path / "results" / "from anna", "stable-diffusion", [2.0])
    save_run(tmp_path / "colab", "vae-round-trip", [3.0])
    (tmp_path / "results" / "zips").mkdir()
    shutil.move(archives.pack(tmp_path / "colab"), tmp_path / "results" / "zips" / "colab.zip")
    origins = runs.load(tmp_path / "results").set_index("experiment")["origin"].to_dict()
    assert origins == {"stylegan2-ada": "results", "stable-diffusion": "from anna", "vae-round-trip": "zips/colab.zip"}
    assert set(runs.load(tmp_path / "results" / "zips" / "colab.zip")["origin"]) == {"colab.zip"}
    [run] = runs.read_all(tmp_path / "results" / "tesla-t4")
    assert run.origin == "results" == runs.read_all(run.folder)[0].origin


@pytest.mark.parametrize("language, beside, instead", [
    ("en", "come from several places: results (Stable Diffusion, StyleGAN2-ADA); theirs (Stable Diffusion).",
     "those of results count and those of theirs.zip do not"),
    ("uk", "з кількох джерел: results (Stable Diffusion, StyleGAN2-ADA); theirs (Stable Diffusion).", "а не запуски з «theirs.zip»")])
def test_a_report_says_where_sessions_are_from_and_whose_do_not_count(tmp_path, language, beside, instead):
    save_run(tmp_path / "results", "stable-diffusion", [1.0])
    save_run(tmp_path / "results", "stylegan2-ada", [1.0])
    assert "results" not in "".join(Report(tmp_path / "results").doubts())
    save_run(tmp_path / "theirs", "stable-diffusion", [9.0])
    assert beside in "\n".join(Report([tmp_path / "results", tmp_path / "theirs"], language=language).doubts())
    archive = pack(tmp_path / "theirs")
    assert instead in "\n".join(Report([tmp_path / "results", archive], language=language).doubts())


def test_what_is_no_date_is_no_date_anywhere(tmp_path):
    for i, started in enumerate(("zzzz", "", None, "<b>", "9999-99-99")):
        hostile.save(tmp_path / str(i), hostile.record(started=started, variant=str(i)))
    hostile.save(tmp_path / "dated", hostile.record())
    report = Report(tmp_path)
    assert report.groups["started"].tolist() == ["2026-01-02T03:04:05"]
    assert set(report.everything["started"]) == {"", "2026-01-02T03:04:05.678901+00:00"}


# --- continuing


@pytest.mark.parametrize("source, sha256, continues", [
    ("/home/me/models/my-sd", None, True), ("C:\\Users\\me\\my-sd", None, True), ("/home/me/models/my-sd", "a", True), ("my-sd", "a", True),
    ("/home/me/models/other", None, False), ("/home/me/models/my-sd", "b", False), ("my-sd", None, False), ("owner/my-sd", None, False)])
def test_a_run_of_a_local_model_begun_by_an_earlier_version_is_continued_and_keeps_no_path(tmp_path, source, sha256, continues):
    def begin(source, sha256):
        return runs.begin(runs.Run("e", runs.Machine("m"), runs.ModelInfo("M", "published", "thesis", source, sha256=sha256)), tmp_path)

    begin(source, sha256)
    again = begin("my-sd", "a")
    assert again.resumed is continues and again.model.source == "my-sd" and again.model.sha256 == "a"


def begin_again(folder):
    return runs.begin(runs.Run("stable-diffusion", runs.Machine("tesla-t4"), settings={}), folder)


def unfinished(folder, **changes):
    run = begin_again(folder)
    made = json.loads(run.to_json()) | changes
    (run.folder / "run.json").write_text(json.dumps(made))
    return run.folder


@pytest.mark.parametrize("change, place", [pair for pair in hostile.BAD_RECORDS.values() if pair[1].startswith("iterations.")])
def test_an_unfinished_run_with_an_impossible_value_is_not_continued(tmp_path, change, place):
    made = changed(change)
    unfinished(tmp_path, iterations=made["iterations"])
    assert not begin_again(tmp_path).resumed


@pytest.mark.parametrize("name", [*hostile.PICTURE_NAMES, "iteration_1.png"])
def test_an_unfinished_run_is_not_continued_without_the_pictures_that_it_drew(tmp_path, name):
    folder = unfinished(tmp_path, iterations=[dict(time_s=1.0, images=[dict(file=name, sha256="0" * 64)])])
    (folder / "iteration_1.png").write_bytes(hostile.png())  # another picture than the record says
    assert not begin_again(tmp_path).resumed


def test_a_run_is_not_continued_in_a_folder_that_is_a_link(tmp_path):
    folder = unfinished(tmp_path)
    folder.rename(tmp_path / "theirs")
    folder.symlink_to(tmp_path / "theirs")
    again = begin_again(tmp_path)
    assert not again.resumed and not again.folder.is_symlink()


@pytest.mark.parametrize("names", [dict(experiment="../up"), dict(experiment="a/b"), dict(variant="../../x"), dict(experiment="x" * 300)])
def test_a_run_is_begun_in_the_results_folder_only(tmp_path, names):
    with pytest.raises(ValueError, match="is to be a folder's name"):
        runs.begin(runs.Run(**(dict(experiment="e", machine=runs.Machine("m")) | names)), tmp_path / "results")
    assert not list(tmp_path.iterdir())


# --- a clock that was set back


class _Clock(runs.datetime):
    """Stands at a time of the tests' choice."""

    @classmethod
    def now(cls, tz=None):
        return cls.fromisoformat("2020-01-01T00:00:00+00:00").astimezone(tz)


def test_a_run_under_a_clock_that_was_set_back_is_the_newest_now_and_when_the_clock_is_right_again(tmp_path, monkeypatch):
    earlier = save_run(tmp_path, "stable-diffusion", [1.0])
    with monkeypatch.context() as patched, pytest.warns(UserWarning, match="claims to have started in the future"):
        patched.setattr(runs, "datetime", _Clock)
        patched.setattr("genlib.record.datetime", _Clock)
        patched.setattr("genlib.sessions.datetime", _Clock)
        later = save_run(tmp_path, "stable-diffusion", [2.0])
        assert [run.iterations[0].time_s for run in runs.read_all(tmp_path)] == [1.0, 2.0]
    assert later.started > earlier.started and "it was set back" in later.warnings[0]
    os.utime(later.folder / "run.json", (1.6e9, 1.6e9))
    right = type("Later", (_Clock,), {"now": classmethod(lambda cls, tz=None: cls.max.replace(tzinfo=tz))})
    monkeypatch.setattr("genlib.sessions.datetime", right)
    assert [run.iterations[0].time_s for run in runs.read_all(tmp_path)] == [1.0, 2.0]


def test_a_start_that_was_bogus_moves_no_later_run_into_the_future(tmp_path):
    run = save_run(tmp_path, "stable-diffusion", [1.0])
    run.started = "2199-01-01T00:00:00+00:00"
    (run.folder / "run.json").write_text(run.to_json())
    os.utime(run.folder / "run.json", (1.6e9, 1.6e9))
    assert save_run(tmp_path, "stable-diffusion", [2.0]).started < "2199"


@pytest.mark.slow
def test_a_thousand_changed_records_and_a_hundred_archives_bring_no_traceback():
    counts = fuzz_records.fuzz(1000, seed=10**6)
    assert counts["records"] == 1000 and counts["archives"] == 100 and counts["runs shown"] > 100
