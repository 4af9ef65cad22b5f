"""How cost grows: lines with a fixed and a per-unit time through the conditions of a loop; and what another precision costs."""
import json
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from genlib.report import summary, tables
from genlib.report.words import MISSING, number, say, significant

LOOPS = [("stable-diffusion", "steps"), ("stable-diffusion", "batch_size"), ("vae-round-trip", "size"), ("vae-round-trip", "batch_size"),
         ("stylegan2-ada", "batch_size"), ("stylegan2-ada", "resolution")]  # experiment, and the setting that a loop varies
OWN = {"stable-diffusion": "", "vae-round-trip": "photograph", "stylegan2-ada": ""}  # the variant from which the loops set out
SIDES = ("size", "resolution")  # settings in pixels of a square's side, drawn as megapixels
LINE = 3  # conditions: a line goes through any two


def _rows(df: pd.DataFrame, experiment: str, setting: str) -> pd.DataFrame:
    """The iterations of a loop's conditions, with `units`: variants named after the setting, and the run from which they set out."""
    rows = df[(df["experiment"] == experiment) & (df["method"] == "genlib")]
    prefix = f"{setting.removesuffix('_size')}-"
    rows = rows[(rows["variant"] == OWN[experiment]) | rows["variant"].str.startswith(prefix)]
    settings = [json.loads(text) for text in rows["settings"]]
    units = [values.pop(setting, 1 if setting == "batch_size" else None) for values in settings]
    others = [json.dumps(values, sort_keys=True) for values in settings]
    model = "" if setting == "resolution" else rows["model"]  # a generator's name has its resolution in it
    units, others = pd.Series(units, rows.index, dtype=float), pd.Series(others, rows.index, dtype=str)
    rows = rows.assign(units=units**2 / 1e6 if setting in SIDES else units, alike=rows["dtype"] + model + others)
    loop = rows[rows["variant"].str.startswith(prefix)].sort_values("started")
    rows = rows[rows["units"].notna() & (rows["alike"] == loop["alike"].iloc[-1])] if len(loop) else loop
    return rows[rows["started"] == rows.groupby("units")["started"].transform("max")]


def conditions(df: pd.DataFrame, experiment: str, setting: str) -> pd.DataFrame:
    """The conditions of a loop over a setting: units (steps, megapixels or images in a batch), time_s (NaN out of memory), time_s_sd,
    and the steps of denoising, where the loop varies another setting.

    df: runs of one machine, weights and profile (tables.companions). All are of the model, dtype and other settings of the loop's
    newest run; of several runs of a condition the newest counts. No rows where no loop was run.
    """
    rows = _rows(df, experiment, setting)
    runs = summary.summarize(rows).assign(units=rows.drop_duplicates("started")["units"].to_numpy())
    runs["steps"] = [None if setting == "steps" else json.loads(text).get("steps") for text in runs["settings"]]
    return runs.sort_values("units", ignore_index=True)[["units", "time_s", "time_s_sd", "steps"]]


def lines(df: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Experiment, setting and `conditions` of every loop that was run."""
    for experiment, setting in LOOPS:
        if len(found := conditions(df, experiment, setting)):
            yield experiment, setting, found


class Line(NamedTuple):
    """A line through the conditions of a loop: its two parts, R², and the standard errors of the parts."""
    fixed_s: float
    unit_s: float
    r2: float
    fixed_error: float
    unit_error: float

    @property
    def below_zero(self) -> bool:
        """Whether the fixed part is negative beyond its error: no time is, so that the line does not reach down to zero units."""
        return self.fixed_s + self.fixed_error < 0


def line_through(found: pd.DataFrame) -> Line:
    """The least-squares line through `conditions`; NaN for fewer than three that succeeded."""
    from scipy.stats import linregress

    good = found.dropna(subset=["time_s"])
    if len(good) < LINE:
        return Line(*[float("nan")] * 5)
    line = linregress(good["units"], good["time_s"])
    return Line(*map(float, (line.intercept, line.slope, line.rvalue**2, line.intercept_stderr, line.stderr)))


def unit(setting: str, found: pd.DataFrame, language: str) -> str:
    """What a loop counts; with the steps of denoising, if there are any: a loop may have fewer than Table 1's runs."""
    steps = found["steps"].dropna()
    return say(f"unit.{setting}", language) + (f" ({say('steps', language, steps=int(steps.iloc[0]))})" if len(steps) else "")


def table(df: pd.DataFrame, language: str = "en") -> pd.DataFrame:
    """The lines as numbers, a row a loop, as text: model, unit, fixed time and time a unit (s) ± their standard errors, R², how many
    conditions were measured and how many ran out of memory."""
    names = [say(key, language) for key in ("model", "unit", "fixed_s", "unit_s", "r2", "conditions", "out_of_memory")]
    rows = []
    for experiment, setting, found in lines(df):
        line, failed = line_through(found), int(found["time_s"].isna().sum())
        rows.append([say(f"{experiment}.short", language), unit(setting, found, language),
                     _with_error(line.fixed_s, line.fixed_error, language), _with_error(line.unit_s, line.unit_error, language),
                     number(line.r2, 3, language), str(len(found) - failed), str(failed)])
    return pd.DataFrame(rows, columns=names)


def _with_error(value: float, error: float, language: str) -> str:
    """Both to the decimals that three digits of the larger take, but for less than a microsecond, which is no time that was read."""
    decimals = min(6, len(significant(max(abs(value), error), 3, "en").partition(".")[2]))
    return MISSING if pd.isna(value) else f"{number(value, decimals, language)} ± {number(error, decimals, language)}"


def _precision_rows(df: pd.DataFrame) -> pd.DataFrame:
    """The iterations of each experiment's own run, then of the same in other precisions; of experiments that have both."""
    found = [df.iloc[:0]]
    for experiment, own in OWN.items():
        rows = df[(df["experiment"] == experiment) & (df["method"] == "genlib")]
        rows = rows.assign(alike=rows["model"] + rows["settings"]).sort_values("started", kind="stable")
        tried = rows[rows["variant"].str.startswith("precision-")]
        tried = tried[tried["alike"] == tried["alike"].iloc[-1]] if len(tried) else tried
        base = rows[(rows["variant"] == own) & rows["alike"].isin(tried["alike"])]
        base = base[base["started"] == base["started"].max()]
        others = tried[~tried["dtype"].isin(base["dtype"])]  # asked for by two names, it may be one precision
        found += [base, others] if len(base) and len(others) else []
    return pd.concat(found)


def precisions(df: pd.DataFrame, language: str = "en") -> pd.DataFrame:
    """Each experiment's own precision and those tried beside it, a row each, as text: model, precision, n, time (s), its ratio to the
    first row's, VRAM and RAM (MB), PSNR (dB) of the same latent's picture against the first row's."""
    names = ["model", "precision", "n", "time_axis", "ratio", "vram", "ram", "quality.psnr_db"]
    rows, own_s = [], None
    for _, run in summary.summarize(_precision_rows(df)).iterrows():
        is_own = not run["variant"].startswith("precision-")
        own_s = run["time_s"] if is_own else own_s
        psnr = None if is_own else run.get("quality.psnr_db")
        cells = [tables.cell(run, name, language) if run["n"] else MISSING for name in tables.COLUMNS]
        rows.append([say(f"{run['experiment']}.short", language), run["dtype"], str(run["n"]),
                     cells[0] if run["n"] else say("did_not_fit", language), significant(run["time_s"] / own_s, 2, language), *cells[1:],
                     significant(psnr, 3, language)])
    return pd.DataFrame(rows, columns=[say(name, language) for name in names])


def note(df: pd.DataFrame, kind: str, language: str = "en") -> str:
    """What a reader has to know of the table of `kind` "growth" or "precisions"."""
    rows = _precision_rows(df) if kind == "precisions" else pd.concat([df.iloc[:0], *(_rows(df, *loop) for loop in LOOPS)])
    good = rows[rows["error"].isna()].drop_duplicates(["folder", "iteration"])  # one run may be on two lines
    if good.empty:
        return say(f"no_{kind}", language)
    if kind == "precisions":
        return f"{say('note_precisions', language)} {tables.note(good, language)}"
    return " ".join([say("note_growth", language), *_below_zero(df, language), tables.note(good, language, figures="part_error")])


def _below_zero(df: pd.DataFrame, language: str) -> list[str]:
    """The sentence on lines whose fixed part is no time, if there are any."""
    rows = [f"{say(f'{experiment}.short', language)}, {unit(setting, found, language)}" for experiment, setting, found in lines(df)
            if line_through(found).below_zero]
    return [say("note_below_zero", language, rows="; ".join(rows))] if rows else []
