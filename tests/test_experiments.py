"""What is known of an experiment, held against the runs that lie in the repository."""
from pathlib import Path

import pytest

from genlib import runs
from genlib.experiments import EXPERIMENTS, STABLE_DIFFUSION, STEPS, VAE_AS_IN_THESIS, find
from genlib.record import MB, TABLE1

PUBLISHED = [STABLE_DIFFUSION, VAE_AS_IN_THESIS]  # with their iterations; of StyleGAN2-ADA it prints the averages only
THESIS = Path(__file__).resolve().parent.parent / "notebooks" / "reference" / "thesis"


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry.slug)
def test_the_reference_runs_hold_the_thesiss_published_iterations(entry):
    [path] = (THESIS / entry.slug).rglob("run.json")
    run = runs.read(path)
    assert tuple(iteration.time_s for iteration in run.iterations) == entry.published.times_s
    assert {iteration.vram_peak_bytes for iteration in run.iterations} == {entry.published.vram_bytes}
    assert {iteration.ram_bytes for iteration in run.iterations} == {entry.published.ram_bytes}
    assert (run.experiment, run.machine.slug, run.method, run.settings) == (entry.slug, "thesis", "thesis", dict(steps=STEPS))
    assert (run.model.name, run.weights, run.profile) == (STABLE_DIFFUSION.published.model, "published", "thesis")


def test_there_is_a_reference_run_of_every_published_iteration_and_of_nothing_else():
    assert sorted(run.experiment for run in map(runs.read, THESIS.rglob("run.json"))) == sorted(
        entry.slug for entry in EXPERIMENTS if entry.published and entry.published.times_s)


def test_the_thesiss_averages_follow_from_its_iterations_except_where_it_contradicts_itself():
    for published in (entry.published for entry in PUBLISHED):
        mean = sum(published.times_s) / len(published.times_s)
        assert abs(mean - published.averages["time_s"]) < 0.0151, "printed with two decimals, and not always rounded"
    published = STABLE_DIFFUSION.published
    assert published.vram_bytes // MB * MB == published.averages["vram_peak_bytes"]
    assert published.ram_bytes / MB == pytest.approx(4278.79), "its table says 4271"


def test_an_entry_says_of_every_reading_of_table_1_what_the_thesis_published_and_is_found_by_its_slug():
    assert len({entry.slug for entry in EXPERIMENTS}) == len(EXPERIMENTS)
    for entry in EXPERIMENTS:
        assert find(entry.slug) is entry and (entry.published is None or set(entry.published.averages) == set(TABLE1))
    unknown = find("my-own-model")
    assert unknown.label == "my-own-model" and unknown not in EXPERIMENTS and unknown.published is None
