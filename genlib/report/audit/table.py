"""The audit: a verdict on each published figure, by the publication's sums or by runs read in its way."""
from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from genlib.experiments import STABLE_DIFFUSION, STEPS, STYLEGAN2_ADA, VAE_AS_IN_THESIS, Experiment
from genlib.locale import N_
from genlib.report import cells, notes
from genlib.report.audit import arithmetic, measured
from genlib.report.audit.verdicts import DISTURBED

PUBLICATION, RUNS = N_("the publication"), N_("these runs")
CLOCK = N_("wall clock around the call, first image counted")
LAUNCH = N_("wall clock until the call returns, without synchronising")
ALLOCATOR = N_("torch’s peak, never reset")
GPUTIL = N_("GPUtil, whole device, once after the iteration")
RSS = N_("RSS at the end")
DESIGN = N_("how the experiment is set up")
PRINTED = N_("the printed iterations")
NOTEBOOK = N_("on a GPU, notebook {number} with {parameter}")


class Suspect(NamedTuple):
    """A published figure or a question that it raises, with its judges.

    sums(report) and runs(here) return a verdict or None, and sentences; see `arithmetic` and `measured`.
    """
    figure: str
    model: Experiment | None
    read: str
    sums: Callable
    runs: Callable = lambda here: (None, [])
    needs_gpu: bool = True
    decides: str = NOTEBOOK  # the run that does, where nothing at hand does


TIME, VRAM, RAM = N_("{model}: time"), N_("{model}: VRAM"), N_("{model}: RAM")
SUSPECTS = [
    Suspect(TIME, STABLE_DIFFUSION, CLOCK, arithmetic.time_of_stable_diffusion, measured.clock(STABLE_DIFFUSION, waits=True)),
    Suspect(VRAM, STABLE_DIFFUSION, ALLOCATOR, arithmetic.vram_of_stable_diffusion, measured.vram_of_stable_diffusion,
            decides=N_("on a GPU, “make gpu”: random weights in each precision, with and without the safety checker")),
    Suspect(RAM, STABLE_DIFFUSION, RSS, arithmetic.ram_of_stable_diffusion),
    Suspect(TIME, VAE_AS_IN_THESIS, CLOCK, arithmetic.time_of_vae, measured.time_of_vae),
    Suspect(VRAM, VAE_AS_IN_THESIS, GPUTIL, arithmetic.vram_of_vae, measured.vram_of_vae),
    Suspect(RAM, VAE_AS_IN_THESIS, RSS, arithmetic.ram_of_vae, measured.reproduces(VAE_AS_IN_THESIS, "ram_bytes")),
    Suspect(TIME, STYLEGAN2_ADA, LAUNCH, arithmetic.time_of_stylegan2, measured.clock(STYLEGAN2_ADA, waits=False)),
    Suspect(VRAM, STYLEGAN2_ADA, ALLOCATOR, arithmetic.vram_of_stylegan2, measured.reproduces(STYLEGAN2_ADA, "vram_peak_bytes")),
    Suspect(RAM, STYLEGAN2_ADA, RSS, arithmetic.ram_of_stylegan2, measured.ram_of_stylegan2),
    Suspect(N_("The published times follow from the printed iterations?"), None, PRINTED, arithmetic.averages),
    Suspect(N_("A slow first image raises the published mean time of {diffusion}?"), None, PRINTED, arithmetic.slow_start,
            measured.slow_start),
    Suspect(N_("{diffusion} and {vae} cannot be told apart in time?"), None, PRINTED, arithmetic.alike_in_time),
    Suspect(N_("{diffusion} was computed in float32 on a T4?"), None, PRINTED, arithmetic.float32_on_a_t4),
    Suspect(N_("Guidance is paid for and changes nothing?"), None, DESIGN, arithmetic.guidance, measured.guidance),
    Suspect(N_("50 steps are 51 UNet calls?"), None, DESIGN, arithmetic.unet_calls, measured.unet_calls, needs_gpu=False),
    Suspect(N_("The five pictures are one?"), None, DESIGN, arithmetic.one_picture, measured.one_picture),
]


def audit(report) -> tuple[pd.DataFrame, str]:
    """A row for each published figure: how it was read, a verdict, what decides it, and what shows it.

    Runs at full size with the published number of steps decide, on a GPU but for a count of calls; where they
    cannot, the sums of the publication do. Where both leave a figure open, the verdict is "cannot be judged
    here", with the reasons, the run that would decide it, and what was measured all the same.

    No time is called reproduced or not, since the published card is unknown: the way of reading is judged. An
    allocator's peak is comparable over cards, and what a process holds depends little on them.
    """
    here, rows, used = measured.Here(report), [], []
    for suspect in SUSPECTS:
        here.forget()
        verdict, by, sentences = _judge(report, suspect, here)
        used += here.used
        rows.append({
            report.say("Published figure"): report.say(suspect.figure, **_labels(report, suspect.model))
            + (cells.mark(pd.concat(here.used)) if here.used else ""),
            report.say("How it was read"): report.say(suspect.read), report.say(N_("Verdict", "column")): verdict,
            report.say(N_("Decided by", "column")): by, report.say("What shows it"): " ".join(sentences)})
    rows_of_note = pd.concat(used) if used else report.rows if len(report.rows) else report.summary
    no_card = report.say("The publication names no GPU, and GPUs differ in time, so no time is called reproduced.")
    return pd.DataFrame(rows), " ".join([notes.given(report), no_card, report.say("1 MB = 1024² bytes."),
                                         notes.note(report, rows_of_note, notes.ONLY_MEANS, memory=False)])


def _judge(report, suspect: Suspect, here: measured.Here) -> tuple[str, str, list[str]]:
    """The verdict, what decides it, and the sentences: those of runs that are like the published ones, or of
    any where nothing decides."""
    by_sums, sums = suspect.sums(report)
    by_runs, runs = suspect.runs(here)
    count = not here.unlike(suspect.needs_gpu) and not (by_sums and by_runs == DISTURBED)
    if count and (by_runs or by_sums):
        by = _what_decides(report, suspect) if by_runs == DISTURBED else report.say(RUNS if by_runs else PUBLICATION)
        return report.say(by_runs or by_sums), by, sums + runs
    if by_sums:
        here.used = []
        return report.say(by_sums), report.say(PUBLICATION), sums
    if not runs:
        steps = cells.steps_text(report, [STEPS])
        runs = [report.say("Not measured with {steps}.", steps=steps) if here.other_steps else report.say("Not measured.")]
    reasons = "; ".join(here.reasons_for(suspect.needs_gpu))
    return report.say("cannot be judged here ({reason})", reason=reasons), _what_decides(report, suspect), sums + runs


def _what_decides(report, suspect: Suspect) -> str:
    number = suspect.model.notebook.partition("_")[0]
    return report.say(suspect.decides, number=number, parameter='WEIGHTS = "published"')


def _labels(report, model: Experiment | None) -> dict[str, str]:
    entries = dict(model=model, diffusion=STABLE_DIFFUSION, vae=VAE_AS_IN_THESIS)
    return {name: report.text(entry.label) for name, entry in entries.items() if entry}
