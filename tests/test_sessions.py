"""Which runs count, which are sessions of one figure, and how reports show them."""
import pytest
from saved_runs import save_run

from genlib import runs
from genlib.archives import pack
from genlib.report import Report

CHANGES = [dict(driver="550"), dict(threads=7), dict(cpu_limit=1.0), dict(power_limit_w=50.0), dict(os="Windows-11"),
           dict(precision={"allow_tf32": True}), dict(commit="abc"), dict(packages={"torch": "9"}), dict(packages={"genlib": "9"})]


def measure(folder, times, day="2026-01-01", experiment="stable-diffusion", hour=10, environment=None, **options):
    known = {"slug": "tesla-t4", "device": "Tesla T4", "os": "Linux-6.1", "packages": {"torch": "2.11"}}
    machine = runs.Machine(**(known | (environment or {})))
    run = save_run(folder, experiment, times, machine=machine, **options)
    run.started = run.finished = f"{day}T{hour:02}:00:00+00:00"
    run.save()
    return run


def row(report, experiment="stable-diffusion"):
    return report.rows.loc[experiment]


def test_runs_of_one_environment_are_sessions_and_the_mean_is_over_them(tmp_path):
    measure(tmp_path, [1.0, 1.2, 1.1, 1.0, 1.2])
    measure(tmp_path, [1.5, 1.7, 1.6], "2026-01-02")
    found = row(Report(tmp_path))
    assert (found["sessions"], found["n"], len(found["runs"])) == (2, 8, 2) and found["run"].started.startswith("2026-01-02")
    assert found["time_s"] == pytest.approx((1.1 + 1.6) / 2) and found["time_s_low"] < 1.1 < 1.6 < found["time_s_high"]
    assert found["time_s_sd"] == pytest.approx((found["time_s_within"] ** 2 + found["time_s_between"] ** 2) ** 0.5)


def test_a_slower_second_run_replaces_no_first_one_and_the_table_shows_both(tmp_path):
    for day, slower in ("2026-01-01", 1.0), ("2026-01-02", 1.5), ("2026-01-03", 1.0):
        measure(tmp_path, [slower * time for time in (1.0, 1.02, 0.98, 1.01, 0.99)], day)
    report = Report(tmp_path)
    table = report.table("sessions")
    [line] = table.data.to_dict("records")
    assert line["n"] == "3 × 5" and line["Mean time (s)"] == "1.17" and line["Date"] == "2026-01-01 … 2026-01-03"
    assert (line["Within a session (s)"], line["Between sessions (s)"]) == ("0.02", "0.29")
    assert "n = 3 × 5 (sessions × iterations)" in report.table("results").note and "one session" not in report.table("results").note
    lines = report.table("iterations-stable-diffusion").data
    assert lines["Session"].tolist() == [*"1" * 6, *"2" * 6, *"3" * 6, "", ""]


@pytest.mark.parametrize("change", CHANGES)
def test_another_environment_is_not_pooled_the_newest_makes_the_row_and_the_other_one_stands_in_the_table_of_sessions(tmp_path, change):
    measure(tmp_path, [9.0, 9.0], environment=change)
    measure(tmp_path, [1.0, 1.0], "2026-01-02")
    report = Report(tmp_path)
    assert row(report)["time_s"] == 1.0 and row(report)["sessions"] == 1
    newest, other = report.table("sessions").data.to_dict("records")
    assert (newest["Mean time (s)"], other["Mean time (s)"]) == ("1.00", "9.00") and other["Differs in"] not in ("—", "")


@pytest.mark.parametrize("before, said", [({}, "as the library has it"), (None, "unknown")])
def test_on_a_processor_runs_whose_idle_threads_waited_otherwise_are_not_pooled_and_beside_a_gpu_they_are(tmp_path, before, said):
    for slug, sessions in ("cpu-amd-epyc", 1), ("tesla-t4", 2):
        for day, waiting in (1, before), (2, {"GOMP_SPINCOUNT": "1000"}):
            measure(tmp_path / slug, [float(day)] * 2, f"2026-01-0{day}", environment=dict(slug=slug, waiting=waiting))
        report = Report(tmp_path / slug)
        assert row(report)["sessions"] == sessions
        if sessions == 1:
            differs = report.table("sessions").data["Differs in"].iloc[-1]
            assert differs == f"waiting of idle threads {said} instead of GOMP_SPINCOUNT = 1000"
            assert "GOMP_SPINCOUNT = 1000" in str(report.table("environment"))
            in_ukrainian = Report(tmp_path / slug, language="uk").table("sessions").data.iloc[-1, -1]
            assert said not in in_ukrainian and "GOMP_SPINCOUNT" in in_ukrainian


def test_a_model_with_other_weights_parts_or_switches_is_not_pooled(tmp_path):
    for day, change in (1, {}), (2, dict(parameters={"unet": 1, "safety_checker": 2})), (3, dict(switches={"vae_slicing": True})), (
            4, dict(source="another")):
        run = measure(tmp_path, [float(day)], f"2026-01-0{day}")
        for name, value in change.items():
            setattr(run.model, name, value)
        run.save()
    table = Report(tmp_path).table("sessions").data
    assert table["Mean time (s)"].tolist() == ["4.00", "3.00", "2.00", "1.00"]
    assert set(table["Differs in"][1:]) == {"weights, parts or switches of the model"}


def test_of_two_environments_without_a_date_one_makes_the_row(tmp_path):
    for started, torch in ("", "2.10"), (None, "2.11"):
        run = measure(tmp_path, [1.0, 1.0], environment={"packages": {"torch": torch}})
        run.started = started
        run.save()
    report = Report(tmp_path)
    assert (len(report.sessions), len(report.everything), len(runs.load(tmp_path))) == (2, 1, 2)


@pytest.mark.parametrize("change", [dict(os="Linux-6.9"), dict(cpu="another"), dict(python="3.13"), dict(ram_bytes=1),
                                    dict(precision={"cpu_capability": "AVX2"})])
def test_what_changes_from_one_machine_of_a_service_to_the_next_is_one_environment(tmp_path, change):
    measure(tmp_path, [1.0, 1.0], environment=change)
    measure(tmp_path, [1.2, 1.2], "2026-01-02")
    assert row(Report(tmp_path))["sessions"] == 2


def test_a_row_of_another_environment_or_day_is_marked_and_the_note_says_in_what(tmp_path):
    measure(tmp_path, [1.0, 1.1])
    measure(tmp_path, [1.0, 1.1], experiment="vae-as-in-thesis", hour=11)
    measure(tmp_path, [0.1, 0.1], "2025-12-30", experiment="stylegan2-ada", environment={"packages": {"torch": "2.9"}}, dtype="mixed")
    table = Report(tmp_path).table("results")
    assert table.data["Model"].tolist()[:2] == ["Stable Diffusion", "Variational Autoencoders"]
    assert table.data["Model"].iloc[-1] == "Generative Adversarial Networks†"
    assert ("† Measured under other conditions than most rows of the main table: StyleGAN2-ADA (torch 2.9 instead of 2.11; "
            "precision mixed instead of float16; date 2025-12-30 instead of 2026-01-01).") in table.note
    assert "than most rows of the main table: StyleGAN2-ADA (torch 2.9" in Report(tmp_path).conclusions()[-1]


def test_where_no_more_than_half_of_the_rows_are_alike_the_note_names_the_row_that_others_are_unlike(tmp_path):
    measure(tmp_path, [1.0, 1.1])
    measure(tmp_path, [0.1, 0.1], experiment="stylegan2-ada", environment={"precision": {"allow_tf32": True}, "power_limit_w": 50.0})
    assert ("† Measured under other conditions than Stable Diffusion in the main table: StyleGAN2-ADA (power limit 50 instead of unknown; "
            "allow_tf32 True instead of unknown).") in Report(tmp_path).table("results").note


@pytest.mark.parametrize("days", [["2026-01-02"], ["2026-01-01", "2026-01-09"], ["2025-12-01", "2026-01-02"]])
def test_rows_of_which_a_session_is_of_the_same_day_bear_no_mark(tmp_path, days):
    measure(tmp_path, [1.0, 1.1])
    for day in days:
        measure(tmp_path, [0.1, 0.1], day, experiment="stylegan2-ada", hour=9)
    assert "†" not in str(Report(tmp_path).table("results"))


def test_another_precision_is_marked_in_table_1_which_names_the_table_in_one_and_in_no_table_that_compares_precisions(tmp_path):
    measure(tmp_path, [1.0, 1.1])
    measure(tmp_path, [0.1, 0.1], experiment="stylegan2-ada", dtype="mixed")
    report = Report(tmp_path)
    assert "†" in str(report.table("results")) and "Comparison in one precision" not in report.table("results").note
    measure(tmp_path, [0.2, 0.2], experiment="stylegan2-ada", dtype="float16", variant="precision-float16")
    report = Report(tmp_path)
    assert "The rows differ in precision; the table “Comparison in one precision” has them in one." in report.table("results").note
    for name in "common_precision", "precisions":
        assert len(report.table(name).data) and "†" not in str(report.table(name)) + report.table(name).note


def test_of_several_machines_a_row_with_other_software_than_the_first_is_marked_and_what_was_set_aside_is_said(tmp_path):
    measure(tmp_path, [1.0, 1.1])
    h100 = dict(slug="h100", device="H100", driver="9", packages={"torch": "2.9"})
    for day in "2026-03-01", "2026-03-02":
        run = measure(tmp_path, [0.1, 0.1], day, environment=h100)
        run.resumed = day == "2026-03-01"
        run.save()
    runs.set_aside(run.folder, "hot")
    table = Report(tmp_path, machine="t4,h100").table("machines")
    assert table.data["Machine"].tolist() == ["Tesla T4", "H100*†"]
    assert "† With other software than the model’s first row: H100 (torch 2.9 instead of 2.11)." in table.note
    assert "Set aside and not counted: H100, Stable Diffusion, 2026-03-02 10:00:00 (hot)." in table.note and "* The run" in table.note


def test_of_one_session_the_note_says_what_it_cannot_tell(tmp_path):
    measure(tmp_path, [1.0, 1.1])
    report = Report(tmp_path)
    assert "so that whether another day would give the same is not known: Stable Diffusion." in report.table("results").note
    assert report.table("sessions").data.empty and "sessions" not in report.tables
    measure(tmp_path, [1.0, 1.1], "2026-01-02")
    measure(tmp_path, [0.1, 0.1], "2026-01-02", experiment="stylegan2-ada")
    assert "so that whether another day would give the same is not known: StyleGAN2-ADA." in Report(tmp_path).table("results").note


def test_a_session_without_a_date_is_called_unknown_where_it_lies_far_from_the_others(tmp_path):
    for times, day in ([1.0, 1.1], "2026-01-02"), ([2.0, 2.1], "no date"):
        measure(tmp_path, times, day)
    said = "Stable Diffusion (unknown: 2.05 s, median of the sessions 1.55 s; 2026-01-02"
    assert any(said in doubt for doubt in Report(tmp_path).doubts())


def test_of_sessions_on_one_day_the_note_says_what_they_cannot_tell(tmp_path):
    for hour in 9, 10:
        measure(tmp_path, [1.0, 1.1], hour=hour)
    said = "All sessions are of one day, so whether another day would give the same is not known."
    assert said in Report(tmp_path).table("results").note
    measure(tmp_path, [0.1, 0.1], experiment="stylegan2-ada")
    note = Report(tmp_path).table("results").note
    assert said in note and note.count("another day") == 1, "a single session of that day needs no sentence of its own"
    measure(tmp_path, [0.1, 0.1], "2026-01-02", experiment="stylegan2-ada")
    assert "Measured on one day, so that whether another would give the same is not known: Stable Diffusion." in \
        Report(tmp_path).table("results").note
    measure(tmp_path, [1.0, 1.1], "2026-01-02")
    assert "another" not in Report(tmp_path).table("results").note


def test_what_is_set_aside_counts_no_more_and_the_note_says_why(tmp_path):
    measure(tmp_path, [1.0, 1.1])
    bad = measure(tmp_path, [9.0, 9.1], "2026-01-02")
    runs.set_aside(bad.folder, "another program ran")
    report = Report(tmp_path)
    assert row(report)["time_s"] == pytest.approx(1.05) and runs.load(tmp_path)["time_s"].tolist() == [1.0, 1.1]
    for note in report.table("results").note, Report(tmp_path, language="uk").table("results").note:
        assert "2026-01-02 10:00:00 (another program ran)" in note
    runs.set_aside(bad.folder, None)
    assert row(Report(tmp_path))["sessions"] == 2


def test_the_runs_of_a_loop_and_of_a_model_without_a_row_that_were_set_aside_are_named_where_they_would_stand(tmp_path):
    measure(tmp_path, [1.0, 1.1])
    loop = [measure(tmp_path, [0.02 * n] * 2, variant=f"steps-{n}", settings=dict(steps=n)) for n in (10, 20, 30)]
    for run in loop[0], measure(tmp_path, [9.0], experiment="stylegan2-ada"):
        runs.set_aside(run.folder, "a <b>film</b>\nran")
    report = Report(tmp_path)
    assert report.table("growth").note.count("Stable Diffusion, 10 steps") == 1
    assert "Set aside and not counted: StyleGAN2-ADA, 2026-01-01 10:00:00 (a <b>film</b> ran)." in report.table("results").note
    assert ("Set aside and not counted: Stable Diffusion, 10 steps, 2026-01-01 10:00:00; StyleGAN2-ADA, 2026-01-01 10:00:00 "
            "(a <b>film</b> ran).") in report.doubts()


def test_a_copy_in_an_archive_of_what_was_set_aside_does_not_come_back_and_is_named_once(tmp_path):
    bad = measure(tmp_path / "results", [9.0, 9.1])
    measure(tmp_path / "results", [1.0, 1.1], "2026-01-02")
    pack(tmp_path / "results").rename(tmp_path / "results" / "before.zip")
    runs.set_aside(bad.folder, "a film ran")
    assert row(Report(tmp_path / "results"))["time_s"] == pytest.approx(1.05)
    pack(tmp_path / "results").rename(tmp_path / "results" / "after.zip")
    assert Report(tmp_path / "results").table("results").note.count("a film ran") == 1
    runs.set_aside(bad.folder, None)
    assert "Set aside" not in Report(tmp_path / "results").table("results").note


def test_if_all_runs_are_set_aside_the_report_says_so(tmp_path):
    runs.set_aside(measure(tmp_path, [1.0]).folder, "a film ran")
    with pytest.raises(ValueError, match=r"all finished runs in what was given \(1\) are set aside"):
        Report(tmp_path)


def test_a_run_that_is_read_from_a_folder_and_its_archive_is_one_session(tmp_path):
    measure(tmp_path / "results", [1.0, 1.1])
    pack(tmp_path / "results").rename(tmp_path / "results" / "mine.zip")
    assert row(Report(tmp_path / "results"))["sessions"] == 1


def test_sessions_of_several_archives_are_pooled_where_none_is_ones_own(tmp_path):
    for day in "2026-01-01", "2026-01-02":
        measure(tmp_path / day, [1.0, 1.1], day)
        (tmp_path / "results").mkdir(exist_ok=True)
        pack(tmp_path / day).rename(tmp_path / "results" / f"{day}.zip")
    assert row(Report(tmp_path / "results"))["sessions"] == 2


def test_a_session_in_which_every_iteration_failed_is_in_no_mean(tmp_path):
    measure(tmp_path, [1.0, 1.1])
    measure(tmp_path, [5.0], "2026-01-02")
    [record] = (path for path in tmp_path.rglob("run.json") if '"time_s": 5.0,' in path.read_text())
    run = runs.read(record)
    run.iterations = [runs.Iteration(error="out of memory: too large")]
    run.save()
    found = row(Report(tmp_path))
    assert (found["sessions"], found["n"], found["failed"], found["time_s"]) == (1, 2, 1, pytest.approx(1.05))
