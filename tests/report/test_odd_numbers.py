"""The least and the largest numbers that a record may have stop no table, figure or sentence."""
import math

import pytest

from genlib import runs
from genlib.locale import languages
from genlib.report import Report
from genlib.report.tables import TABLES

ODD = [(1e-9, 0, 0.0), (1e9, 10**18, 1e18), (1.0, 0, math.inf), (1.0, 10**18, -math.inf), (1.0, 1, math.nan), (None, None, -1e30)]
USUAL = (1.0, 10**9, 20.0)
READINGS = ["vram_peak_bytes", "ram_bytes", "ram_peak_bytes", "energy_j", "other_cpu_s", "swapped_bytes", "vram_others_bytes"]


def run(experiment, odd, variant="", *, good=3, **settings):
    """A run whose every time, other reading and quality are the three."""
    time_s, value, quality = odd
    sizes = {"a": value or 0}
    info = runs.ModelInfo("m", "published", "thesis", "s", parameters=sizes, bytes=sizes, load_time_s=time_s)
    machine = runs.Machine("t4", "T4", cores=1, matmul_flops_per_s=max(1, value or 1))
    made = runs.Run(experiment, machine, info, {"steps": 50} | settings, variant, started="2026-01-01", finished="2026-01-01")
    made.warmup, made.flops_per_image = [runs.Iteration(time_s=time_s)], value
    made.quality = {"psnr_db": quality, "ssim": quality, "": quality}
    made.iterations = [runs.Iteration(time_s, **dict.fromkeys(READINGS, value)) for _ in range(good)] + [runs.Iteration(error="why")]
    return made


def of(patch, found, **options):
    patch.setattr(runs, "finished", lambda *folders, reference=None: found)
    return Report("anywhere", **options)


def shown(report):
    """Everything that a report says."""
    return [report.groups, report.everything._repr_html_(), *(str(report.table(kind.name)) for kind in TABLES), *report.doubts(),
            *report.conclusions()]


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # numpy, of what is infinite
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_number_anywhere_stops_no_table_and_no_sentence(monkeypatch, odd):
    found = [run(slug, odd) for slug in ("stable-diffusion", "vae-as-in-thesis", "stylegan2-ada", "mine")]
    found += [run("stylegan2-ada", odd, f"batch-{n}", batch_size=n) for n in (2, 4, 8)]
    for language in languages():
        assert shown(of(monkeypatch, found, language=language, price_per_hour=1.0, price_per_kwh=1.0))
    [usual] = [run("vae-round-trip", USUAL)]
    assert "1.00" in str(of(monkeypatch, [*found, usual]).table("results")), "and not that of others"


@pytest.mark.filterwarnings("ignore")  # matplotlib's and numpy's, of what cannot be drawn
@pytest.mark.parametrize("odd", ODD[:2])
def test_an_odd_number_stops_no_figure(monkeypatch, odd):
    found = [run("stable-diffusion", odd), run("stylegan2-ada", USUAL)]
    found += [run("stylegan2-ada", odd, f"batch-{n}", batch_size=n) for n in (2, 4, 8)]
    report = of(monkeypatch, found)
    for name in report.figures:
        if name not in ("pictures", "vae"):
            assert report.figure(name)._repr_png_().startswith(b"\x89PNG"), name


def test_runs_without_one_good_iteration_stop_nothing(monkeypatch):
    report = of(monkeypatch, [run("stable-diffusion", USUAL, good=0), run("stylegan2-ada", USUAL, "batch-2", good=0, batch_size=2)])
    assert shown(report) and report.figure("bars")._repr_png_()
