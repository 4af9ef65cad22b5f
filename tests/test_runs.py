import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from saved_runs import save_run

from genlib import archives, runs
from genlib.report import Report


def make_run(tmp_path, **changes):
    values = dict(experiment="e", machine=runs.Machine("some-gpu", device="Some GPU"), settings={"steps": 2},
                  model=runs.ModelInfo("M", "demo", "thesis", "seed 0", parameters={"unet": 3}, bytes={"unet": 12}))
    return runs.begin(runs.Run(**(values | changes)), tmp_path)


def finish(run, *times):
    run.iterations = [runs.Iteration(time_s=time) for time in times]
    run.finished = run.started
    run.save()
    return run


def test_a_run_read_back_is_the_run_that_was_saved(tmp_path):
    run = make_run(tmp_path)
    run.warmup.append(runs.Iteration(time_s=3.5, ram_bytes=7))
    run.iterations.append(runs.Iteration(time_s=1.25, images=[runs.Picture("a.png", "0" * 64)], throttled=["power cap"]))
    run.quality["psnr_db"] = 30.5
    run.save()
    assert runs.read(run.folder / "run.json") == run


def test_the_folder_is_machine_experiment_weights_profile_variant_and_start(tmp_path):
    run = make_run(tmp_path, variant="steps-2")
    assert run.folder.parent == tmp_path / "some-gpu" / "e" / "demo-thesis-steps-2"
    assert run.folder.name == run.started[:19].replace(":", "-")


def test_nothing_is_overwritten_when_two_finished_runs_start_in_the_same_second(tmp_path):
    first, second = finish(make_run(tmp_path), 1.0), finish(make_run(tmp_path), 2.0)
    assert first.folder != second.folder
    assert runs.read(first.folder / "run.json").iterations[0].time_s == 1.0


def test_an_unfinished_run_of_the_same_settings_is_continued(tmp_path):
    run = make_run(tmp_path)
    run.iterations.append(runs.Iteration(time_s=1.0))
    run.warmup.append(runs.Iteration(time_s=9.0))
    run.save()
    again = make_run(tmp_path)
    assert again.resumed and again.folder == run.folder
    assert [i.time_s for i in again.iterations] == [1.0] and again.warmup == []


@pytest.mark.parametrize("first, second, both", [(["a"], ["b", "a"], ["a", "b"]), ([], [], []), (None, [], None), (["a"], None, None)])
def test_a_continued_run_names_what_either_of_its_processes_had_loaded_before(tmp_path, first, second, both):
    make_run(tmp_path, loaded_before=first)
    again = make_run(tmp_path, loaded_before=second)
    assert again.resumed and again.loaded_before == both


@pytest.mark.parametrize("change", [
    dict(settings={"steps": 3}), dict(variant="v"), dict(method="thesis"), dict(machine=runs.Machine("some-gpu", packages={"torch": "9"})),
    dict(model=runs.ModelInfo("M", "demo", "thesis", "seed 1")), dict(model=runs.ModelInfo("M", "demo", "tuned", "seed 0")),
    *(dict(machine=runs.Machine("some-gpu", **({"device": "Some GPU"} | {name: "other"}))) for name in
      ("device", "driver", "python", "commit")),
    *(dict(model=runs.ModelInfo("M", "demo", "thesis", "seed 0", **{name: value})) for name, value in
      dict(revision="r", sha256="0", dtype="float16", switches={"vae_slicing": True}).items()),
])
def test_an_unfinished_run_of_other_settings_is_left_alone(tmp_path, change):
    run = make_run(tmp_path)
    other = make_run(tmp_path, **change)
    assert not other.resumed and other.folder != run.folder


@pytest.mark.parametrize("value, said", [
    ([0.5] * 12_000, "its settings.x is wrong .it has 12000 entries.*: change it$"), (float("nan"), "its settings.x is wrong"),
    (2**200, "its settings.x is wrong"), ("a\udc80", "its settings.x is wrong"), (np.float32(1), "a setting is no number.*float32"),
    (Path("a"), "a setting is no number")])
def test_a_run_that_could_not_be_read_back_is_not_begun(tmp_path, value, said):
    with pytest.raises(ValueError, match=said):
        make_run(tmp_path, settings={"x": value})
    assert not list(tmp_path.iterdir())


def test_a_warning_of_letters_that_no_file_holds_costs_only_these_letters(tmp_path):
    run = make_run(tmp_path)
    run.warnings.append("a\udc80b")
    finish(run, 1.0)
    assert runs.read(run.folder / "run.json").warnings == ["a?b"]


def test_of_two_unfinished_runs_the_newer_is_continued(tmp_path):
    older = make_run(tmp_path)
    older.finished = older.started
    older.save()
    newer = make_run(tmp_path)
    older.finished = None
    older.save()
    assert older.folder != newer.folder and make_run(tmp_path).folder == newer.folder


def test_the_table_of_a_run_is_in_seconds_and_mb_of_1024_squared_bytes(tmp_path):
    run = make_run(tmp_path)
    run.iterations = [runs.Iteration(time_s=1.5, vram_peak_bytes=3 * 1024**2, ram_bytes=7 * 1024**2)]
    assert run.table().iloc[0].tolist() == [1.5, 3, 7]


@pytest.mark.parametrize("text, word", [("[" * 200_000, "not valid JSON"), ('{"schema": 1, "weights": "turbo"}', "weights|experiment")])
def test_json_nested_without_end_and_weights_that_do_not_exist_are_named_and_skipped(tmp_path, text, word):
    run = finish(make_run(tmp_path), 1.0)
    broken = run.folder.parent / "2030-01-01T00-00-00"
    broken.mkdir()
    (broken / "run.json").write_text(text)
    (run.folder.parent / "2031-01-01T00-00-00" / "run.json").mkdir(parents=True)  # a folder of that name
    with pytest.warns(UserWarning, match=word):
        assert len(runs.load(tmp_path)) == 1
    assert not make_run(tmp_path).resumed


def test_a_finished_run_is_measured_anew(tmp_path):
    finish(make_run(tmp_path), 1.0)
    assert not make_run(tmp_path).resumed


def test_load_has_one_row_an_iteration_of_every_session_in_the_newest_environment_of_each_key(tmp_path):
    old = finish(make_run(tmp_path, machine=runs.Machine("some-gpu", packages={"torch": "2.6"})), 9.0)
    old.started = "2020-01-01T00:00:00+00:00"
    old.save()
    finish(make_run(tmp_path), 1.0)
    finish(make_run(tmp_path), 2.0, 3.0)
    finish(make_run(tmp_path, settings={"steps": 4}), 5.0)
    make_run(tmp_path, settings={"steps": 6})  # unfinished
    df = runs.load(tmp_path)
    assert sorted(zip(df["settings"], df["session"], df["iteration"], df["time_s"], strict=True)) == [
        ('{"steps": 2}', 1, 1, 1.0), ('{"steps": 2}', 2, 1, 2.0), ('{"steps": 2}', 2, 2, 3.0), ('{"steps": 4}', 1, 1, 5.0)]
    assert set(runs.KEY) <= set(df.columns) and set(df["weights_bytes"]) == {12}


def test_load_takes_several_folders_and_an_empty_one_gives_no_rows(tmp_path):
    finish(make_run(tmp_path / "a"), 1.0)
    finish(make_run(tmp_path / "b", experiment="f"), 2.0)
    assert len(runs.load(tmp_path / "a", tmp_path / "b")) == 2
    empty = runs.load(tmp_path / "nothing")
    assert len(empty) == 0 and set(runs.KEY) <= set(empty.columns)


@pytest.mark.parametrize("text, complaint", [
    ("", "not valid JSON"), ('{"schema": 1', "not valid JSON"), ("[]", "schema is None"), ('{"schema": 0}', "measure again"),
    ('{"schema": 99}', "update genlib"), ('{"schema": 1}', "its experiment is wrong"),
])
def test_a_run_that_cannot_be_read_is_named_and_skipped_and_the_rest_is_loaded(tmp_path, text, complaint):
    finish(make_run(tmp_path), 1.0)
    broken = tmp_path / "broken" / "run.json"
    broken.parent.mkdir()
    broken.write_text(text)
    with pytest.warns(UserWarning, match=complaint) as caught:
        df = runs.load(tmp_path)
    assert str(broken) in str(caught[0].message) and len(df) == 1


def test_a_wrong_type_in_a_run_is_refused_with_its_place(tmp_path):
    run = finish(make_run(tmp_path), 1.0)
    record = json.loads((run.folder / "run.json").read_text())
    record["iterations"][0]["time_s"] = "fast"
    with pytest.raises(ValueError, match=r"iterations\.0\.time_s"):
        runs.parse(json.dumps(record))


def test_a_kill_while_writing_leaves_the_earlier_record_whole(tmp_path, monkeypatch):
    run = finish(make_run(tmp_path), 1.0)
    run.iterations.append(runs.Iteration(time_s=2.0))

    def killed(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        run.save()
    assert len(runs.read(run.folder / "run.json").iterations) == 1


def test_a_full_disk_is_said_with_the_remedy_and_what_was_saved_stays(tmp_path, monkeypatch):
    run = finish(make_run(tmp_path), 1.0)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="the disk is full .* free some space and run again"):
        run.save()
    assert len(runs.read(run.folder / "run.json").iterations) == 1


def test_pictures_are_kept_with_their_hash(tmp_path):
    run = make_run(tmp_path)
    [one] = run.save_images([Image.new("RGB", (4, 4), "red")], "iteration_1")
    two = run.save_images([Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")], "iteration_2")
    assert [one.file, *(p.file for p in two)] == ["iteration_1.png", "iteration_2_0.png", "iteration_2_1.png"]
    assert one.sha256 == two[0].sha256 != two[1].sha256
    assert run.save_images(None, "iteration_3") == []


def test_the_table_has_a_row_an_iteration_then_mean_and_sample_standard_deviation(tmp_path):
    run = finish(make_run(tmp_path), 1.0, 3.0)
    run.iterations.append(runs.Iteration(time_s=100.0, error="out of memory"))
    table = run.table()
    assert list(table.index) == [1, 2, 3, "mean", "standard deviation"]
    assert table.loc["mean", "Time (s)"] == 2.0 and table.loc["standard deviation", "Time (s)"] == 1.414
    assert "VRAM (MB)" not in table.columns, "a reading that the machine does not have is no column of zeros"


def test_neither_the_package_nor_the_record_nor_reports_load_torch():
    code = ("import sys, genlib, genlib.experiments, genlib.runs, genlib.notebook, genlib.__main__, genlib.locale, genlib.report\n"
            "assert not {'torch', 'diffusers', 'transformers', 'matplotlib'} & set(sys.modules), 'a heavy import'")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_run_without_any_picture_says_why(tmp_path):
    run = make_run(tmp_path)
    run.iterations = [runs.Iteration(time_s=1.0, error="out of memory: tried 20 GiB")]
    with pytest.raises(ValueError, match="no iteration succeeded .*tried 20 GiB.* smaller batch"):
        run.image_files()


HOLD = """
import sys, time
from genlib import runs
run = runs.begin(runs.Run(experiment="e", machine=runs.Machine("some-gpu", device="Some GPU")), sys.argv[1])
run.iterations.append(runs.Iteration(time_s=1.0))
run.save()
print(run.folder, flush=True)
time.sleep(60)
"""


def test_a_run_that_another_process_is_at_work_on_is_left_to_it_and_taken_up_after_its_death(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        folder = other.stdout.readline().strip()
        beside = make_run(tmp_path, model=None, settings={})
        assert not beside.resumed and str(beside.folder) != folder
        assert make_run(tmp_path, model=None, settings={}).folder == beside.folder, "this process may take up its own"
    finally:
        other.kill()
        other.wait()
    beside.finished = beside.started
    beside.save()
    again = make_run(tmp_path, model=None, settings={})
    assert again.resumed and str(again.folder) == folder and len(again.iterations) == 1


def test_where_the_file_system_knows_no_locks_every_process_may_have_a_run(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def unsupported(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    run = make_run(tmp_path)
    assert make_run(tmp_path).resumed and run.folder.is_dir()


@pytest.mark.parametrize("change", [dict(threads=7), dict(precision={"allow_tf32": True}), dict(power_limit_w=50.0), dict(cuda="13.0")])
def test_a_run_is_not_continued_under_other_threads_precision_power_or_cuda(tmp_path, change):
    make_run(tmp_path)
    machine = runs.Machine("some-gpu", device="Some GPU", **change)
    assert not make_run(tmp_path, machine=machine).resumed and make_run(tmp_path).resumed


# --- runs of earlier versions

EARLIER = Path(__file__).parent / "data" / "schema1"  # as genlib 0.1.0 wrote them, before experiments had entries


def test_runs_of_an_earlier_version_are_read_to_the_figures_that_it_printed():
    report = Report(EARLIER)
    assert report.table("results").data.to_numpy().tolist() == [
        ["Stable Diffusion", "0.722 ± 0.091", "—", "538 ± 2"], ["Variational Autoencoders", "0.596 ± 0.045", "—", "542 ± 2"],
        ["VAE alone", "0.0170 ± 0.0014", "—", "551.2 ± 0.0"], ["Generative Adversarial Networks", "0.00766 ± 0.00028", "—", "409.4 ± 0.1"]]
    readings = report.table("readings").data.set_index("Reading")["Stable Diffusion"]
    assert readings[["First image (s)", "95 % interval of the mean (s)", "Work (GFLOP)", "UNet calls"]].tolist() == [
        "0.639", "0.609 … 0.835", "18.9", "51"]
    assert report.table("growth").data.iloc[0].tolist()[2:] == ["−0.0193 ± 0.0461", "0.0141 ± 0.0014", "0.982", "4", "0"]
    assert report.table("precisions").data.iloc[1].tolist()[3:] == ["0.616 ± 0.035", "0.85", "—", "580.2 ± 0.0", "48.1"]
    assert "By the published method: 0.0104 s." in " ".join(report.table("audit").data["What shows it"])


def test_a_run_of_an_earlier_version_is_written_back_as_it_was():
    for file in (EARLIER / "cpu-amd-epyc").rglob("run.json"):
        made = json.loads(file.read_text(encoding="utf-8"))
        made["model"] |= dict.fromkeys(["ram_before_bytes", "download_time_s"])
        made["machine"]["waiting"] = None
        assert json.loads(runs.read(file).to_json()) == made | dict.fromkeys(["call", "loaded_before", "set_aside"]), file


# --- which run counts

def save_at(folder, time_s, started, written=None, **changes):
    """A finished run, with the time of its file set to `written` (seconds since 1970)."""
    run = save_run(folder, "stable-diffusion", [time_s, time_s], **changes)
    run.started = started
    run.save()
    if written:
        os.utime(run.folder / "run.json", (written, written))
    return run


def counting(*folders, **options):
    return [run.iterations[0].time_s for run in runs.read_all(*folders, **options)]


def test_one_s_own_run_counts_before_an_archives_though_that_claims_a_later_start(tmp_path):
    save_at(tmp_path / "theirs", 9.0, "2024-01-01T00:00:00+00:00")
    archives.pack(tmp_path / "theirs").rename(tmp_path / "theirs.zip_")
    shutil.rmtree(tmp_path / "theirs")
    (tmp_path / "results").mkdir()
    (tmp_path / "theirs.zip_").rename(tmp_path / "results" / "theirs.zip")
    assert counting(tmp_path / "results") == [9.0], "there is no other"
    save_at(tmp_path / "results", 1.0, "2020-01-01T00:00:00+00:00")
    assert counting(tmp_path / "results") == [1.0]


def test_of_two_runs_that_claim_one_start_the_file_written_last_counts_and_a_line_says_so(tmp_path):
    start = "2024-01-01T00:00:00+00:00"
    save_at(tmp_path / "a", 2.0, start, written=2e9 - 1)
    save_at(tmp_path / "b", 1.0, start, written=1e9)
    for order in ("a", "b"), ("b", "a"):
        with pytest.warns(UserWarning, match="started at the same time: the file that was written last counts"):
            assert counting(*(tmp_path / name for name in order)) == [2.0]


def test_a_run_that_is_given_twice_is_one_run_and_no_warning(tmp_path, recwarn):
    run = save_at(tmp_path, 1.0, "2024-01-01T00:00:00+00:00")
    assert counting(run.folder, tmp_path, run.folder) == [1.0] and not recwarn.list


def test_a_start_in_the_future_does_not_hide_the_newest_run_and_a_line_says_so(tmp_path):
    save_at(tmp_path / "wrong-clock", 9.0, "2199-01-01T00:00:00+00:00", written=1e9)
    save_at(tmp_path / "newest", 1.0, "2024-01-01T00:00:00+00:00", written=1.7e9)
    with pytest.warns(UserWarning, match="claims to have started in the future .*: the time of its file counts"):
        assert Report(tmp_path).everything["run"].iloc[0].iterations[0].time_s == 1.0


@pytest.mark.parametrize("started", ["published", "", None, "2024-13-45", "0001-01-01T00:00:00"])
def test_what_is_no_date_comes_before_any_date(tmp_path, started):
    save_at(tmp_path / "no-date", 9.0, started, written=1.9e9)
    save_at(tmp_path / "dated", 1.0, "1999-01-01T00:00:00+00:00", written=1e9)
    assert Report(tmp_path).everything["run"].iloc[0].iterations[0].time_s == 1.0


def test_what_an_overwritten_archive_held_is_a_session_but_not_ones_own(tmp_path):
    for time_s, year in (1.0, 2023), (9.0, 2024):
        save_at(tmp_path / f"colab{year}", time_s, f"{year}-01-01T00:00:00+00:00")
        (tmp_path / "results").mkdir(exist_ok=True)
        archives.pack(tmp_path / f"colab{year}").replace(tmp_path / "results" / "colab.zip")
        runs.load(tmp_path / "results")
    assert sorted(counting(tmp_path / "results")) == [1.0, 9.0]
    save_at(tmp_path / "results", 5.0, "2020-01-01T00:00:00+00:00")
    assert counting(tmp_path / "results") == [5.0]


def test_two_archives_of_the_same_run_bring_no_warning(tmp_path, recwarn):
    save_at(tmp_path / "runs", 1.0, "2024-01-01T00:00:00+00:00")
    (tmp_path / "results").mkdir()
    for name in "a.zip", "b.zip":
        archives.pack(tmp_path / "runs").replace(tmp_path / "results" / name)
    assert counting(tmp_path / "results") == [1.0] and not recwarn.list


def test_a_start_in_the_future_is_said_once(tmp_path):
    save_at(tmp_path, 9.0, "2199-01-01T00:00:00+00:00", written=1e9)
    with pytest.warns(UserWarning) as said:
        Report(tmp_path)
    assert len(said) == 1


@pytest.mark.parametrize("condition, variant", [(4, "batch-4"), (0.5, "batch-0.5"), ("CompVis/v1-4", "batch-CompVis-v1-4"),
                                                ("../../up", "batch-----up"), ("a b\\c:d", "batch-a-b-c-d")])
def test_a_condition_is_a_name_of_one_folder(condition, variant):
    assert runs.variant_of("batch_size", condition) == variant and len(Path(variant).parts) == 1


def test_a_disk_that_is_full_before_the_runs_folder_is_made_is_said(tmp_path, monkeypatch):
    make_run(tmp_path)
    mkdir = Path.mkdir

    def full(path, *arguments, **options):
        if path.is_relative_to(tmp_path / "some-gpu") and not path.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OSError, match="the disk is full .*free some space") as raised:
        make_run(tmp_path, settings={"steps": 3})
    assert str(tmp_path) in str(raised.value)
