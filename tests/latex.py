"""Programs that only some machines have, and LaTeX compiled by them, in tests."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from genlib.report.formats import LATEX_PREAMBLE

ENGINES = ["pdflatex", "xelatex", "lualatex"]
FAULTS = re.compile(r"^(?:Overfull|Missing character|LaTeX Warning: .*(?:undefined|multiply|too large)).*", re.MULTILINE)


def document(body: str, preamble: str = LATEX_PREAMBLE) -> str:
    """An A4 page's text in Ukrainian, in which " is a command, with lines of 16.5 cm."""
    return "\n".join(["\\documentclass{report}\\usepackage[a4paper,left=25mm,right=20mm]{geometry}", preamble,
                      "\\usepackage[ukrainian]{babel}\\begin{document}", body, "\\end{document}"])


def needs(program: str) -> None:
    """Skip the test without the program; fail where CI is set, since there it is to be installed."""
    if not shutil.which(program):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{program} is not installed: see .ci/run")


def compiled(source: str, engine: str, folder: Path) -> tuple[str, dict[str, tuple[str, int]]]:
    """What LaTeX printed, and of each label its number and page; the .pdf lies in the folder."""
    needs(engine)
    (folder / "main.tex").write_text(source, encoding="utf-8")
    for _ in "labels", "references":
        run = subprocess.run([engine, "-halt-on-error", "main.tex"], cwd=folder, capture_output=True, text=True, errors="replace",
                             env=os.environ | {"max_print_line": "1000"})
        assert run.returncode == 0, run.stdout[-2000:]
    labels = re.findall(r"\\newlabel{(.+?)}{{(.*?)}{(\d+)}", (folder / "main.aux").read_text(encoding="utf-8", errors="replace"))
    log = (folder / "main.log").read_text(encoding="utf-8", errors="replace")
    return log, {name: (number, int(page)) for name, number, page in labels}
