"""The sums that judge published figures without a run."""
from dataclasses import replace

import pytest

from genlib.locale import Language
from genlib.record import MB
from genlib.report.audit import arithmetic, verdicts

SUMS = {  # the judge: its verdict, and figures that its sentences show
    "time_of_stable_diffusion": (verdicts.SOUND, ["50 steps at 6.5 … 6.9 a second take 7.25 … 7.69 s of the 7.79 … 8.06 s"]),
    "vram_of_stable_diffusion": (None, ["5619.66", "2290 MB in float16, 2869 MB", "float32 4579 MB, and with the checker 5739 MB"]),
    "ram_of_stable_diffusion": (verdicts.CONTRADICTS, ["4278.79 MB", "4271 MB"]),
    "time_of_vae": (verdicts.IMPOSSIBLE, ["6.58 … 6.91 a second take 7.24 … 7.60 s of the 7.86 … 8.09 s: 92 … 94 % are diffusion"]),
    "vram_of_vae": (verdicts.IMPOSSIBLE, ["Published: 1136 MB.", "2034 MB even in half precision"]),
    "ram_of_vae": (None, ["Published: 3917 MB.", "4271 MB"]),
    "time_of_stylegan2": (None, ["Published: 0.15 s.", "120 GFLOP", "0.80 TFLOP/s, 13 times less than Stable Diffusion"]),
    "vram_of_stylegan2": (None, ["Published: 400 MB.", "115 MB"]),
    "ram_of_stylegan2": (verdicts.IMPOSSIBLE, ["260 of these units are 266240 MB"]),
    "float32_on_a_t4": (verdicts.REFUTED, ["1.607 TFLOP with direct", "6.5 … 6.9 calls a second are 10.4 … 11.1 TFLOP/s, above the 8.1"]),
    "slow_start": (verdicts.REFUTED, ["7.79 s, the other four 7.97 s"]),
    "alike_in_time": (verdicts.CONFIRMED, ["1.56 % and 1.34 %", "p = 0.654"]),
    "averages": (verdicts.CONFIRMED, ["7.934 s and 7.968 s, given as 7.93 s and 7.96 s"]),
    "guidance": (verdicts.CONFIRMED, ["u + s(u − u) = u"]),
    "unet_calls": (verdicts.CONFIRMED, ["51 calls for 50 steps"]),
    "one_picture": (verdicts.CONFIRMED, ["no prompt"]),
}


class English(Language):
    """What a judge asks of a report."""

    def text(self, label):
        return self.say(label)


@pytest.mark.parametrize("judge", SUMS)
def test_the_publication_is_judged_by_sums_that_are_shown(judge):
    verdict, sentences = getattr(arithmetic, judge)(English("en"))
    expected, figures = SUMS[judge]
    assert verdict == expected and [figure for figure in figures if figure not in " ".join(sentences)] == []


@pytest.mark.parametrize("judge, figures, changes, expected", [
    ("time_of_stable_diffusion", "DIFFUSION", dict(steps_per_s=(5.0, 5.1)), verdicts.CONTRADICTS),
    ("ram_of_stable_diffusion", "DIFFUSION", dict(ram_bytes=4271 * MB), verdicts.NOTHING_AGAINST),
    ("time_of_vae", "VAE", dict(steps_per_s=(50.0, 60.0)), verdicts.NOTHING_AGAINST),
    ("vram_of_vae", "VAE", dict(averages=dict(vram_peak_bytes=2100 * MB)), verdicts.NOTHING_AGAINST),
    ("ram_of_stylegan2", "GAN", dict(ram_divided_by=MB), verdicts.NOTHING_AGAINST),
    ("float32_on_a_t4", "DIFFUSION", dict(steps_per_s=(4.0, 5.0)), verdicts.NOTHING_AGAINST),
    ("slow_start", "DIFFUSION", dict(times_s=(9.0, 7.8, 7.9)), verdicts.CONFIRMED),
    ("alike_in_time", "VAE", dict(times_s=(5.0, 5.1, 5.0)), verdicts.REFUTED),
    ("averages", "VAE", dict(times_s=(7.9, 7.9)), verdicts.REFUTED),
])
def test_of_other_figures_the_sums_judge_otherwise(monkeypatch, judge, figures, changes, expected):
    monkeypatch.setattr(arithmetic, figures, replace(getattr(arithmetic, figures), **changes))
    assert getattr(arithmetic, judge)(English("en"))[0] == expected


def test_only_float32_with_the_safety_checker_is_above_the_printed_vram():
    least = arithmetic.least_vram()
    assert [case for case, size in least.items() if size > arithmetic.DIFFUSION.vram_bytes] == ["full_checked"]
