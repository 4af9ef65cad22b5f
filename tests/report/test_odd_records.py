"""A record that is odd costs what it lacks, and not the rest of the report."""
import pytest
from saved_runs import MB, save_run

from genlib import experiments, record
from genlib.experiments import Published
from genlib.report import Report
from genlib.report.tables import TABLES


def everything(report):
    """Every table and figure, made."""
    made = [report.table(kind.name)._repr_html_() for kind in TABLES] + [report.figure(name) for name in report.figures]
    return [*made, *report.doubts(), *report.conclusions()]


def fail(run, error="out of memory: too large"):
    """Make every iteration of a saved run one that failed."""
    run.iterations = [record.Iteration(error=error)]
    run.save()


@pytest.mark.parametrize("error, count, cell", [("out of memory: too large", "3", "out of memory"), (record.NOT_FINITE, "0", "failed")])
@pytest.mark.parametrize("setting, conditions", [("batch_size", [8, 16]), ("precision", ["bfloat16"])])
def test_a_loop_of_which_every_condition_failed_is_shown_so_with_the_cause(tmp_path, setting, conditions, error, count, cell):
    fail(save_run(tmp_path, "stylegan2-ada", [0.1], settings=dict(seed=0)), error)
    for condition in conditions:
        is_batch = setting == "batch_size"
        fail(save_run(tmp_path, "stylegan2-ada", [0.1], settings=dict(seed=0) | ({setting: condition} if is_batch else {}),
                      variant=f"{'batch' if is_batch else 'precision'}-{condition}", dtype="float16" if is_batch else condition), error)
    report = Report(tmp_path)
    everything(report)
    if setting == "batch_size":
        assert report.table("growth").data["Out of memory"].tolist() == [count]
        assert [text.get_text() for text in report.figure("growth").canvas.axes[0].texts][:3] == [cell] * 3
    else:
        assert report.table("precisions").data["Time (s)"].tolist() == [cell] * 2


@pytest.mark.parametrize("steps", [None, "auto", [10, 20], True])
def test_a_number_of_steps_that_is_none_is_no_number_of_steps(tmp_path, steps):
    save_run(tmp_path, "stable-diffusion", [8.0, 8.1], settings=dict(steps=steps))
    save_run(tmp_path, "stable-diffusion", [4.0], settings=dict(steps=steps), variant="steps-x")
    report = Report(tmp_path)
    everything(report)
    assert report.table("results").data.iloc[0, 1] == "8.05 ± 0.07" and " step" not in report.table("results").note


def test_half_a_step_is_not_rounded_away(tmp_path):
    save_run(tmp_path, "stable-diffusion", [8.0, 8.1], settings=dict(steps=12.5))
    assert "12.5 steps" in Report(tmp_path).table("results").note


@pytest.mark.parametrize("settings", [dict(batch_size="auto"), dict(batch_size=[1, 2])])
def test_a_setting_that_is_no_number_is_no_condition_of_a_line(tmp_path, settings):
    save_run(tmp_path, "stylegan2-ada", [0.1], settings=settings)
    for n in 2, 4:
        save_run(tmp_path, "stylegan2-ada", [0.1 * n], settings=dict(batch_size=n), variant=f"batch-{n}")
    report = Report(tmp_path)
    everything(report)
    assert report.table("growth").data["Conditions"].tolist() == ["2"]


def test_a_machine_that_does_not_name_its_device_is_called_by_its_slug(tmp_path):
    run = save_run(tmp_path, "stylegan2-ada", [0.1, 0.1])
    run.machine.device = None
    run.save()
    report = Report(tmp_path)
    everything(report)
    assert report.table("results").note.startswith("tesla-t4; ") and "tesla-t4 · " in report.figure("bars").canvas.get_suptitle()


def test_a_good_iteration_without_a_time_is_left_out_of_the_times(tmp_path):
    run = save_run(tmp_path, "stylegan2-ada", [0.1] * 5, readings=dict(other_cpu_s=0.2))
    run.iterations[2].time_s = None
    run.save()
    everything(Report(tmp_path))
    assert any("“Time”: StyleGAN2-ADA (4 of 5)" in doubt for doubt in Report(tmp_path).doubts())


def test_a_finished_run_without_iterations_is_no_run(tmp_path):
    save_run(tmp_path, "stable-diffusion", [8.0])
    run = save_run(tmp_path, "stylegan2-ada", [0.1])
    run.iterations = []
    run.save()
    report = Report(tmp_path)
    everything(report)
    assert list(report.rows.index) == ["stable-diffusion"]


def test_a_publication_need_not_have_every_reading(tmp_path, monkeypatch):
    entry = experiments.Experiment("half-published", "Half published", published=Published(dict(time_s=1.0)))
    monkeypatch.setattr(experiments, "EXPERIMENTS", [*experiments.EXPERIMENTS, entry])
    save_run(tmp_path, "half-published", [0.5, 0.5], vram=100 * MB)
    report = Report(tmp_path)
    everything(report)
    assert report.table("beside_thesis").data[["published", "ratio"]].to_numpy().tolist() == [["1.00", "0.50"], ["—", "—"], ["—", "—"]]


def test_a_quality_without_a_name_shows_no_catalogue(tmp_path):
    save_run(tmp_path, "stylegan2-ada", [0.1, 0.1], quality={"": 3.0})
    assert "Content-Type" not in str(Report(tmp_path, language="uk").table("readings"))


def test_of_too_many_experiments_ours_and_the_first_of_others_are_shown_and_a_line_says_so(tmp_path, monkeypatch):
    for slug in "b", "a", "stylegan2-ada":
        save_run(tmp_path, slug, [0.1])
    monkeypatch.setattr("genlib.report.choice.MOST", 2)
    with pytest.warns(UserWarning, match="there are 3 experiments, and the first 2 are shown: give a part") as said:
        report = Report(tmp_path)
        assert list(report.rows.index) == ["stylegan2-ada", "a"]
        everything(report)
    assert len(said) == 1


def test_two_tables_of_one_name_on_a_page_do_not_restyle_each_other(tmp_path):
    save_run(tmp_path, "stable-diffusion", [8.0, 8.1])
    pages = [Report(tmp_path, language=language).table("results")._repr_html_() for language in ("en", "uk")]
    ids = [page.split('<table id="')[1].split('"')[0] for page in pages]
    assert ids[0] != ids[1] and pages[0] == Report(tmp_path).table("results")._repr_html_(), "and each is the same every time"


def test_saving_leaves_no_table_of_earlier_runs_behind(tmp_path):
    save_run(tmp_path / "old", "stylegan2-ada", [0.1], settings={})
    save_run(tmp_path / "old", "stylegan2-ada", [0.2], settings={}, variant="precision-bfloat16", dtype="bfloat16")
    save_run(tmp_path / "new", "stylegan2-ada", [0.1], settings={})
    for name in "old", "new":
        for kind in "precisions", "results":
            Report(tmp_path / name).table(kind).save(tmp_path / "out", ["md"])
    assert "bfloat16" not in (tmp_path / "out" / "precisions.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("number, second", [(1, "2"), (3.1, "3.2"), ("3.09", "3.10"), ("А.9", "А.10")])
def test_a_number_may_be_given_as_one_and_stays_as_it_was_given(tmp_path, number, second):
    save_run(tmp_path, "stylegan2-ada", [0.1, 0.1])
    report = Report(tmp_path, number=number)
    assert report.table("results").caption.startswith(f"Table {number} – ")
    assert report.table("beside_thesis").caption.startswith(f"Table {second} – ")
