"""Table 1 and the table beside the thesis; written as CSV, Markdown, LaTeX and Word."""
import re
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from genlib.files import write_atomically
from genlib.report import layout, summary, thesis
from genlib.report.steps import newest_alike, numbers_of_steps, row_name
from genlib.report.words import MISSING, WORDS, number, say, significant, span

EXPERIMENTS = ["stable-diffusion", "vae-as-in-thesis", "vae-round-trip", "stylegan2-ada"]  # the rows, in the thesis's order
COLUMNS = ["time_s", "vram_peak_bytes", "ram_bytes"]
MB = 1024**2
FULL = {  # the rows of the full table, and what a figure is divided by
    "n": 1, "first_image_s": 1, "time_s": 1, "time_s_median": 1, "interval": 1, "time_s_cv": 0.01, "cpu_time_s": 1, "vram_peak_bytes": MB,
    "vram_reserved_bytes": MB, "vram_device_bytes": MB, "ram_bytes": MB, "ram_peak_bytes": MB, "ram_private_bytes": MB, "energy_j": 1,
    "flops_per_image": 1e9, "flops_per_s": 1e9, "machine_share": 0.01, "load_time_s": 1, "parameters": 1e6, "weights_bytes": MB}
TWIP = 635  # Word's unit of length, in python-docx's
FORMATS = ("csv", "md", "tex", "docx")
GROUP = ["machine", "weights", "profile"]  # a table is of one, and of own runs or of reference runs


def rows_of_table1(df: pd.DataFrame) -> pd.DataFrame:
    """The iterations that count for Table 1: our method, no variant, of the experiments that it knows."""
    return df[(df["method"] == "genlib") & (df["variant"] == "") & df["experiment"].isin(EXPERIMENTS)]


def groups(df: pd.DataFrame) -> pd.DataFrame:
    """The (machine, weights, profile) for which there is a table: own runs before reference runs, the newest first."""
    rows = rows_of_table1(df)
    found = rows.groupby([*GROUP, "reference"], as_index=False).agg(started=("started", "max"), experiments=("experiment", "nunique"))
    found = found.sort_values(["reference", "started"], ascending=[True, False], ignore_index=True)
    return found.assign(started=found["started"].str[:19])


def pick(df: pd.DataFrame, machine: str = "", weights: str = "", profile: str = "") -> pd.DataFrame:
    """The iterations of one group: the first of `groups` that is asked for, and in it `newest_alike`.

    Raises ValueError, naming what there is, if there is none.
    """
    found = groups(df)
    if found.empty:
        raise ValueError("there are no finished runs in what was given: run notebooks 1 to 3 first, or give the folder of their results")
    wanted = found
    for name, value in zip(GROUP, (machine, weights, profile), strict=True):
        wanted = wanted[wanted[name] == value] if value else wanted
    if wanted.empty:
        asked = " · ".join(filter(None, (machine, weights, profile)))
        raise ValueError(f"there is no run of {asked}; there are: {'; '.join(_named(found))}. Run notebooks 1 to 3, or choose another")
    rows = rows_of_table1(df)
    same = [*GROUP, "reference"]
    rows = rows[(rows[same] == wanted.iloc[0][same]).all(axis=1)]
    return rows[rows["folder"].isin(newest_alike(rows))]


def other_groups(df: pd.DataFrame, chosen: pd.DataFrame) -> list[str]:
    """The names of the groups that `pick` did not choose."""
    here = " · ".join(chosen[GROUP].iloc[0])
    return [name for name in dict.fromkeys(_named(groups(df))) if name != here]


def _named(found: pd.DataFrame) -> list[str]:
    return [" · ".join(row) for row in found[GROUP].to_numpy()]


def companions(df: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """The runs of every variant and method of the group that `pick` chose: for growth curves and the audit."""
    same = [*GROUP, "reference"]
    return df[(df[same] == chosen.iloc[0][same]).all(axis=1)]


def table1(df: pd.DataFrame, language: str = "en") -> pd.DataFrame:
    """Table 1 as the thesis prints it, of the iterations of one group (see `pick`): a row a model, "mean ± sd" as text."""
    runs = summary.summarize(df).set_index("experiment")
    rows = []
    for experiment in EXPERIMENTS:
        row = {say("model", language): row_name(df, experiment, language)}
        for name in COLUMNS:
            row[say(name, language)] = cell(runs.loc[experiment], name, language) if experiment in runs.index else MISSING
        rows.append(row)
    return pd.DataFrame(rows)


def cell(run: pd.Series, name: str, language: str) -> str:
    """The mean of a reading of a run (a row of summary.summarize) as text, with its standard deviation: bytes in MB, the rest as it is."""
    mean, sd = run[name], run[f"{name}_sd"]
    if pd.isna(mean):
        return MISSING
    if name.endswith("_bytes"):
        mean, sd = mean / MB, sd / MB
        decimals = 1 if sd < 0.5 else 0  # both figures to the place where they begin to vary
        text = number(mean, decimals, language)
    else:
        text = significant(mean, 3, language)
        decimals = len(text.replace(",", ".").partition(".")[2])
    return text if pd.isna(sd) else f"{text} ± {number(sd, decimals, language)}"


def full(df: pd.DataFrame, language: str = "en") -> pd.DataFrame:
    """Every reading of the iterations of one group: a row a reading, a column an experiment, as text; a dash where there is none.

    Energy and work are those of a call. The share is of the fastest large matrix product of that machine and precision among the runs.
    """
    runs = summary.summarize(df).set_index("experiment")
    runs = runs.reindex([name for name in EXPERIMENTS if name in runs.index])
    qualities = [name for name in runs.columns if name.startswith("quality.") and name in WORDS and runs[name].notna().any()]
    rows = []
    for name in [*FULL, *qualities]:
        row = {say("reading", language): say(name if name in qualities else f"full.{name}", language)}
        rows.append(row | {row_name(df, experiment, language, ".short"): _full_cell(run, name, language)
                           for experiment, run in runs.iterrows()})
    return pd.DataFrame(rows)


def _full_cell(run: pd.Series, name: str, language: str) -> str:
    if name == "n":
        return f"{run['n']} ({run['failed']})"
    if name == "interval":
        ends = [significant(run[end], 3, language) for end in ("time_s_low", "time_s_high")]
        return MISSING if MISSING in ends else " … ".join(ends)
    if name in summary.READINGS:
        return cell(run, name, language)
    value = run[name]
    if name in ("quality.different_pictures", "quality.largest_difference", "quality.unet_calls"):  # counts
        return number(value, 0, language)
    return significant(None if pd.isna(value) else value / FULL.get(name, 1), 3, language)


def beside_thesis(df: pd.DataFrame, language: str = "en") -> pd.DataFrame:
    """This run, the thesis's figure and their ratio for each reading that the thesis has.

    A ratio is given for published and random weights and the thesis's 50 steps; the demo's figures cannot be held against the
    thesis's, nor those of other experiments than its three. The thesis has no figure for the VAE alone.
    """
    runs = summary.summarize(rows_of_table1(df)).set_index("experiment")
    rows = []
    for experiment in EXPERIMENTS:
        if experiment not in runs.index:
            continue
        run, published = runs.loc[experiment], thesis.PUBLISHED.get(experiment, {})
        for name in COLUMNS:
            scale = MB if name.endswith("_bytes") else 1
            there = published.get(name)
            fair = there and not pd.isna(run[name]) and comparable(df, experiment, name)
            rows.append({
                say("model", language): row_name(df, experiment, language), say("reading", language): say(name, language),
                say("this_run", language): cell(run, name, language),
                say("thesis", language): number(there and there / scale, 0 if scale == MB else 2, language),
                say("ratio", language): significant(run[name] / there, 2, language) if fair else MISSING})
    return pd.DataFrame(rows)


def comparable(df: pd.DataFrame, experiment: str, reading: str) -> bool:
    """Whether a figure may be held against the thesis's: its model, weights of full size, its number of steps, the same way of reading."""
    rows = df[df["experiment"] == experiment]
    full_size = rows["weights"].isin(["published", "random"]).all()
    its_model = experiment != "stable-diffusion" or (rows["model"] == thesis.MODEL).all()
    return bool(full_size and its_model) and numbers_of_steps(rows) <= {thesis.STEPS} and (experiment, reading) not in thesis.OTHER_READINGS


def caption(number: str = "1", language: str = "en") -> str:
    """The caption above Table 1, with its number: "1", "3.1" ..."""
    return say("caption", language, number=number)


def number_after(first: str, places: int) -> str:
    """The number of the table that stands so many places after the first: 3.1 and 2 give 3.3. Raises ValueError if it cannot count."""
    counted = re.fullmatch(r"(.*?)(\d+)", first.strip())
    if not counted:
        raise ValueError(f"the number of Table 1 is {first!r}: end it in a whole number, as in 1 or 3.1")
    return f"{counted[1]}{int(counted[2]) + places}"


def full_caption(number: str = "2", language: str = "en") -> str:
    """The caption above the full table, with its number."""
    return say("full_caption", language, number=number)


def note(df: pd.DataFrame, language: str = "en", figures: str = "mean_sd") -> str:
    """What a reader has to know of the table: machine, weights, profile, precision, what the figures are, n, the unit, and what the
    figures cannot tell."""
    def names(column):
        return ", ".join(map(str, dict.fromkeys(df[column])))

    n = sorted(set(summary.summarize(df)["n"]))
    weights = df["weights"].iloc[0]
    vram = say("no_vram" if df["vram_peak_bytes"].isna().all() else "vram_is", language)
    doubt = f"{say('ram_is', language)} {vram} {say(f'{weights}_doubt', language)}"
    others = set(df[df["experiment"] == "stable-diffusion"]["model"]) - {thesis.MODEL}
    doubt = " ".join([*(say("other_model", language, model=model) for model in sorted(others)), doubt])
    steps = sorted(numbers_of_steps(df))
    conditions = "; ".join([names("dtype"), *([say("steps", language, steps=span(steps))] if steps else [])])
    return say("note", language, device=names("device"), weights=say(weights, language), profile=names("profile"),
               conditions=conditions, figures=say(figures, language), n=span(n), doubt=doubt)


def styled(frame: pd.DataFrame, caption: str):
    """The table for a notebook: caption above, no index; its HTML is the same each time."""
    table = frame.style.hide(axis="index").set_caption(caption).set_uuid("genlib")
    table.cell_ids = False
    return table.set_table_styles([{"selector": "caption", "props": "font-weight: bold; text-align: left; padding-bottom: 4px"},
                                   {"selector": ", ".join(f"td.col{i}, th.col{i}" for i, left in enumerate(layout.is_left(frame)) if left),
                                    "props": "text-align: left"}])


def save(frame: pd.DataFrame, stem, caption: str, note: str, language: str = "en", formats=FORMATS) -> list[Path]:
    """Write a table as <stem>.csv, .md, .tex and .docx; their paths. A Ukrainian .csv is what Excel with that language opens.

    Without the package python-docx the .docx is left out, and a line says so. Raises ValueError for a format that is none of FORMATS.
    """
    if "docx" in formats and not find_spec("docx"):
        print(f"{Path(stem).name}.docx left out: it needs `pip install python-docx`")
        formats = [name for name in formats if name != "docx"]
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ValueError(f"there is no format {unknown[0]!r}: use {', '.join(FORMATS)}")
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    separator, encoding = (";", "utf-8-sig") if language == "uk" else (",", "utf-8")
    write = {"csv": lambda: frame.to_csv(index=False, sep=separator).encode(encoding),
             "md": lambda: markdown(frame, caption, note).encode(),
             "tex": lambda: _latex(frame, caption, note).encode(), "docx": lambda: _docx(frame, caption, note)}
    for name in formats:
        write_atomically(stem.with_suffix(f".{name}"), write[name]())
    return [stem.with_suffix(f".{name}") for name in formats]


def markdown(frame: pd.DataFrame, caption: str, note: str) -> str:
    """The table as Markdown, caption above, note below."""
    def line(cells):
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    rules = ["---"] + ["---:"] * (len(frame.columns) - 1)
    return "\n".join([f"**{caption}**", "", line(frame.columns), line(rules), *map(line, frame.to_numpy()), "", note, ""])


def _latex(frame: pd.DataFrame, caption: str, note: str) -> str:
    special = str.maketrans({c: f"\\{c}" for c in "&%$#_{}"} | {
        "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "²": "\\textsuperscript{2}",
        "³": "\\textsuperscript{3}", "±": "$\\pm$", "\N{NARROW NO-BREAK SPACE}": "\\,"})
    style = frame.map(lambda cell: str(cell).translate(special)).rename(columns=lambda name: name.translate(special)).style
    lefts = layout.is_left(frame)
    columns = "".join(_latex_column(share, "right" if left else "left") for share, left in zip(layout.shares(frame), lefts, strict=True))
    long = sum(lefts) > 1  # with sentences it may take more than a page, which a float cannot
    body = style.hide(axis="index").to_latex(hrules=True, column_format=columns, environment="longtable" if long else None)
    body = body.replace("Continued on next page", "").strip()
    caption = f"{{\\raggedright {caption.translate(special)}\\par}}\\smallskip"
    note = f"\\par\\smallskip{{\\footnotesize\\raggedright {note.translate(special)}\\par}}"
    small = "\\footnotesize\\setlength{\\tabcolsep}{3pt}"
    packages = "\\usepackage{booktabs,array" + (",longtable}" if long else "}")
    lines = [f"% needs {packages}, and for Ukrainian with pdfLaTeX \\usepackage[T2A]{{fontenc}}"]
    if long:
        return "\n".join([*lines, caption, f"{{{small}", f"{body}}}", note, ""])
    lines += ["\\begin{table}[ht]", caption, "\\centering", *([small] if len(frame.columns) > 4 else []), body, note, "\\end{table}", ""]
    return "\n".join(lines)


def _latex_column(share: float, ragged: str) -> str:
    """A column that wraps, of a share of the line's width."""
    return f">{{\\ragged{ragged}\\arraybackslash}}p{{\\dimexpr {share - 5e-5:.4f}\\linewidth-2\\tabcolsep\\relax}}"


def _docx(frame: pd.DataFrame, caption: str, note: str) -> bytes:
    import io

    from docx import Document
    from docx.enum.table import WD_TABLE_ALIGNMENT
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn
    from docx.shared import Cm, Pt

    document = Document()
    page, size, lefts = document.sections[0], Pt(layout.size_pt(frame)), layout.is_left(frame)
    page.page_width, page.page_height, page.left_margin, page.right_margin = Cm(21), Cm(29.7), Cm(2.5), Cm(2)  # A4
    text_width = page.page_width - page.left_margin - page.right_margin
    widths = [int(text_width * share) // TWIP * TWIP for share in layout.shares(frame)]
    font = document.styles["Normal"].font
    font.name, font.size = "Times New Roman", Pt(14)
    document.styles["Normal"].element.rPr.rFonts.set(qn("w:eastAsia"), "Times New Roman")
    document.add_paragraph(caption).paragraph_format.keep_with_next = True
    table = document.add_table(rows=1, cols=len(frame.columns), style="Table Grid")
    table.alignment, table.autofit = WD_TABLE_ALIGNMENT.CENTER, False
    for column, width in zip(table.columns, widths, strict=True):
        column.width = width  # LibreOffice goes by the columns, Word by the cells
    for cells, values in [(table.rows[0].cells, frame.columns), *((table.add_row().cells, row) for row in frame.to_numpy())]:
        for i, (cell, value) in enumerate(zip(cells, values, strict=True)):
            paragraph = cell.paragraphs[0]
            paragraph.alignment = WD_ALIGN_PARAGRAPH.LEFT if lefts[i] else WD_ALIGN_PARAGRAPH.CENTER
            paragraph.add_run(layout.unbroken(str(value))).font.size = size
            cell.width = widths[i]
    for i, row in enumerate(table.rows):  # none is cut by the end of a page, and the first stands on each
        for rule in ["w:cantSplit"] + ["w:tblHeader"] * (i == 0):
            row._tr.get_or_add_trPr().append(OxmlElement(rule))
    document.add_paragraph().add_run(note).font.size = Pt(11)
    data = io.BytesIO()
    document.save(data)
    return data.getvalue()
