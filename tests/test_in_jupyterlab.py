"""The notebooks in a real JupyterLab, used as a person does, and the pages that are left, in a browser."""
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time

import nbformat
import pytest

from genlib import notebook, runs
from genlib.commands import page
from genlib.commands.run import notebooks
from genlib.report import Report
from genlib.report.tables import TABLES

NOTEBOOKS = notebook.PROJECT / "notebooks"
QUICKEST = "3_stylegan2_ada"
ITERATIONS = 20  # enough of them to interrupt it while it measures
SCREEN = dict(width=1280, height=800)
PAPER = dict(width=697, height=1000)  # A4 less the margins of nbconvert's pages
TOO_WIDE = """async area => {
    (area.closest(".jp-Cell") ?? area).scrollIntoView();  // JupyterLab lays out only what is near
    for (let frames = 0; frames < 99 && !area.clientWidth; frames++) await new Promise(requestAnimationFrame);
    const edge = area.getBoundingClientRect().right + 1, cut = one => getComputedStyle(one).overflowX != "visible";
    return [area, ...area.querySelectorAll("*")].filter(one => !area.clientWidth || one.getBoundingClientRect().right > edge
            || one.clientWidth && one.scrollWidth > one.clientWidth + 1 && cut(one))
        .map(one => `${one.tagName}.${one.className}: ${one.scrollWidth} px in ${one.clientWidth}: ${one.textContent.slice(0, 60)}`);
}"""
pytestmark = pytest.mark.slow


def too_wide(tab, areas):
    """What is wider than its place within a page's areas, which a selector names; at least one is there."""
    assert (found := tab.locator(areas)).count()
    wide = []
    for area in found.all():
        wide += area.evaluate(TOO_WIDE)
    return wide


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab over a copy of the project: its address with the token, and the copy's folder."""
    project, home = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("home")
    for folder in "genlib", "notebooks":
        shutil.copytree(notebook.PROJECT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(notebook.PROJECT / "pyproject.toml", project)
    more_iterations(project / "notebooks" / f"{QUICKEST}.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port, token = free.getsockname()[1], secrets.token_hex(16)
    environment = os.environ | {f"JUPYTER_{kind}_DIR": str(home / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    environment |= {"HOME": str(home), "GENLIB_WEIGHTS": "demo", "GENLIB_RESULTS": str(project / "results"), "JUPYTER_TOKEN": token}
    with (home / "log").open("w") as log, subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.root_dir={project}",
             f"--ServerApp.port={port}", "--ServerApp.port_retries=0"], env=environment, stdout=log, stderr=log) as server:
        try:
            wait_for(lambda: answers(port) or server.poll() is not None)
            assert server.poll() is None, (home / "log").read_text()
            yield f"http://127.0.0.1:{port}/lab/workspaces/{{0}}/tree/notebooks/{{0}}.ipynb?token={token}", project
        finally:
            server.terminate()


def more_iterations(path):
    book = nbformat.read(path, as_version=4)
    [cell] = [cell for cell in book.cells if "parameters" in cell.metadata.get("tags", [])]
    assert "ITERATIONS = 5 " in cell.source
    cell.source = cell.source.replace("ITERATIONS = 5 ", f"ITERATIONS = {ITERATIONS} ")
    nbformat.write(book, path)


def answers(port):
    with socket.socket() as server:
        return server.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition, seconds=300):
    until = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < until:
        time.sleep(0.05)
    assert met, f"not within {seconds} s"
    return met


def choose(tab, menu, item):
    tab.get_by_role("menuitem", name=menu, exact=True).first.click()
    tab.locator(".lm-Menu").get_by_text(item, exact=True).click()


def opened(browser, lab, name):
    address, _ = lab
    tab = browser.new_page(viewport=SCREEN)
    tab.goto(address.format(name))
    tab.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    return tab


def run_all(tab):
    """Run all cells. Returns a function that tells whether none is waiting or at work any more."""
    def prompts():
        return tab.locator(".jp-CodeCell .jp-InputPrompt").all_text_contents()

    before = prompts()
    choose(tab, "Run", "Run All Cells")
    wait_for(lambda: prompts() != before)
    return lambda: "[*]:" not in prompts()


def executed(tab, lab):
    """The code cells as they are on the disk after saving."""
    unsaved = tab.locator(".lm-TabBar-tab.jp-mod-dirty")
    wait_for(unsaved.count)
    choose(tab, "File", "Save Notebook")
    wait_for(lambda: not unsaved.count())
    return [cell for cell in nbformat.read(lab[1] / "notebooks" / f"{QUICKEST}.ipynb", as_version=4).cells if cell.cell_type == "code"]


def failures(cells):
    return [output.ename for cell in cells for output in cell.outputs if output.output_type == "error"]


def look(tab, name):
    """Keep a picture of the tab for whoever wants to see it."""
    if folder := os.environ.get("LOOKS"):
        tab.screenshot(path=f"{folder}/{name}.png")


@pytest.mark.parametrize("name", notebooks().values())
def test_no_output_of_a_notebook_as_committed_is_wider_than_jupyterlab_shows(browser, lab, name):
    tab = opened(browser, lab, name)
    assert too_wide(tab, ".jp-OutputArea-output") == []
    tab.close()


def test_all_cells_run_and_run_again_after_an_interruption_in_the_midst_of_measuring(browser, lab):
    results, shown = lab[1] / "results", re.compile("stream|display_data|execute_result")
    tab = opened(browser, lab, QUICKEST)
    wait_for(run_all(tab))
    look(tab, "run-all")
    cells = executed(tab, lab)
    assert not failures(cells) and [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    committed = [cell for cell in nbformat.read(NOTEBOOKS / f"{QUICKEST}.ipynb", as_version=4).cells if cell.cell_type == "code"]
    for cell, before in zip(cells, committed, strict=True):
        assert bool(cell.outputs) == bool(before.outputs) and all(shown.match(output.output_type) for output in cell.outputs), cell.source
    assert too_wide(tab, ".jp-OutputArea-output") == []
    first = set(results.rglob("run.json"))
    assert first and all(read(path)["finished"] for path in first)

    done = run_all(tab)
    wait_for(lambda: [path for path in results.rglob("run.json") if path not in first and len(read(path)["iterations"]) > 3])
    choose(tab, "Kernel", "Interrupt Kernel")
    wait_for(done)
    look(tab, "interrupted")
    assert failures(executed(tab, lab)) == ["KeyboardInterrupt"]
    [interrupted] = set(results.rglob("run.json")) - first
    kept = read(interrupted)
    assert not kept["finished"] and 3 < len(kept["iterations"]) < ITERATIONS

    wait_for(run_all(tab))
    look(tab, "run-again")
    assert not failures(executed(tab, lab))
    assert len(set(results.rglob("run.json"))) == 2 * len(first), "the interrupted run goes on"
    assert all(read(path)["finished"] for path in results.rglob("run.json"))
    again = read(interrupted)
    assert again["resumed"] and len(again["iterations"]) == ITERATIONS
    assert again["iterations"][:len(kept["iterations"])] == kept["iterations"]
    assert {run.experiment for run in runs.read_all(results)} == {"drawn-faces", "stylegan2-ada"}
    tab.close()


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(params=[*notebooks().values(), "tables", "chapter"])
def left(request, tmp_path):
    """A page that genlib leaves, and the number of formulas in its source if that is a notebook."""
    report, file = Report(NOTEBOOKS / "reference", language="uk", number="3.1"), tmp_path / "page.html"  # in the longest words
    if request.param == "chapter":
        report.save_chapter(tmp_path)
        return tmp_path / "chapter.html", None
    if request.param == "tables":
        shown = [nbformat.v4.new_output("display_data", {"text/html": report.table(kind.name)._repr_html_()}) for kind in TABLES]
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=shown)])
    else:
        book = nbformat.read(NOTEBOOKS / f"{request.param}.ipynb", as_version=4)
    page.save(book, file)
    text = "\n\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    return file, len(re.findall(r"\$\$.+?\$\$|\$.+?\$", text))


def test_a_page_needs_no_network_and_is_no_wider_than_the_screen_or_paper(browser, left):
    file, formulas = left
    context = browser.new_context(viewport=SCREEN, offline=True)
    tab, faults = context.new_page(), []
    tab.on("request", lambda request: faults.append(request.url) if not request.url.startswith(("file:", "data:")) else None)
    tab.on("requestfailed", lambda request: faults.append(request.url))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("console", lambda message: faults.append(message.text))
    tab.goto(file.as_uri(), wait_until="networkidle")
    if formulas is not None:
        assert tab.locator("math").count() == formulas
    assert too_wide(tab, "body") == []
    look(tab, file.parent.name)
    tab.set_viewport_size(PAPER)
    tab.emulate_media(media="print")
    assert too_wide(tab, "body") == []
    assert faults == []
    context.close()
