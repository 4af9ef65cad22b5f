"""The survey's page in a real browser, opened from the disk: answered, left and opened again, saved, read."""
import os

import pytest
from PIL import Image

from genlib.locale import Language, languages
from genlib.quality.survey import alike, page
from genlib.report import survey

KINDS = {"photograph": 4, "stable-diffusion": 2, "stylegan2-ada": 2}
N = sum(KINDS.values())
pytestmark = pytest.mark.slow


@pytest.fixture(params=languages())
def file(request, tmp_path):
    """A page in each language."""
    kinds = {kind: [alike(Image.new("RGB", (64, 64), (60 * place, 25 * i, 0)), 64) for i in range(number)]
             for place, (kind, number) in enumerate(KINDS.items())}
    path = tmp_path / "survey.html"
    path.write_text(page(kinds, Language(request.param).say, request.param), encoding="utf-8")
    return path


@pytest.fixture(params=[(360, 640), (1280, 720)], ids=["phone", "computer"])
def tab(request, browser, file):
    """The page at a phone's and at a computer's width; a request or an error of it fails the test."""
    width, height = request.param
    context = browser.new_context(viewport=dict(width=width, height=height), has_touch=width < 500)
    tab, faults = context.new_page(), []
    tab.on("request", lambda request: faults.append(request.url) if not request.url.startswith(("file:", "data:", "blob:")) else None)
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    tab.goto(file.as_uri())
    yield tab
    assert faults == []
    context.close()


def fits(tab):
    """Whether nothing is wider than the window, and no text wider than its button."""
    return tab.evaluate("""() => document.documentElement.scrollWidth <= innerWidth &&
        [...document.querySelectorAll("label, button, .button")].every(one => one.scrollWidth <= one.clientWidth + 1)""")


def judge(tab, answer, quality):
    tab.check(f"input[value={answer}]")
    tab.check(f"input[name=quality][value='{quality}']")
    tab.click("#question .main")


def look(tab, name):
    """Keep a picture of the tab for whoever wants to see it."""
    if folder := os.environ.get("LOOKS"):
        tab.screenshot(path=f"{folder}/{tab.evaluate('document.documentElement.lang')}-{tab.viewport_size['width']}-{name}.png")


def saved(tab, folder):
    with tab.expect_download() as download:
        tab.click("#save")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_a_page_is_answered_with_one_step_back_and_closed_in_the_middle_and_its_answers_are_read(tab, tmp_path):
    assert fits(tab) and tab.is_visible("#intro")
    look(tab, "intro")
    tab.click("#begin")
    assert fits(tab) and tab.is_hidden("#back") and tab.evaluate("picture.naturalWidth") == 64
    tab.evaluate("document.documentElement.style.fontSize = '32px'")
    assert fits(tab), "in letters twice as large"
    look(tab, "large")
    tab.evaluate("document.documentElement.style.fontSize = ''")
    look(tab, "question")
    tab.click("#question .main")
    assert tab.evaluate("bar.value") == 0, "without an answer there is no next picture"
    seen = [tab.get_attribute("#picture", "src")]
    judge(tab, "made", 1)
    seen.append(tab.get_attribute("#picture", "src"))
    tab.click("#back")
    assert tab.is_hidden("#back") and tab.get_attribute("#picture", "src") == seen[0]
    assert tab.is_checked("input[value=made]") and tab.is_checked("input[name=quality][value='1']")
    judge(tab, "real", 5)
    assert tab.get_attribute("#picture", "src") == seen[1]
    judge(tab, "made", 2)
    tab.reload()
    assert tab.evaluate("bar.value") == 2 and tab.is_visible("#question"), "the answers are kept"
    look(tab, "middle")
    for i in range(2, N):
        judge(tab, "real" if i % 2 else "made", 3)
    assert fits(tab) and tab.is_visible("#end")
    path = saved(tab, tmp_path)
    tab.reload()
    assert tab.is_visible("#end") and tab.is_hidden("#resume"), "who has seen the truth answers no more"
    tab.click("summary")
    look(tab, "end")
    assert path.read_bytes().decode() == tab.input_value("#text"), "for browsers that save no file"
    answers = survey.read([path])
    assert list(answers["number"]) == list(range(1, N + 1)) and answers["truth"].value_counts().to_dict() == KINDS
    assert list(answers["real"][:2]) == [True, False] and list(answers["quality"]) == [5, 2] + [3] * (N - 2)

    tab.click("#other")
    tab.click("#begin")
    judge(tab, "real", 4)
    tab.click("#stop")
    assert tab.is_visible("#end")
    tab.click("#resume")
    judge(tab, "made", 1)
    tab.click("#stop")
    both = survey.read([path, saved(tab, tmp_path)])
    assert both["person"].nunique() == 2 and len(both) == N + 2, "of who stops, the answers so far"


def test_keys_alone_answer_a_page(tab):
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    for i in range(N):
        tab.keyboard.press("ArrowLeft" if i % 2 else "ArrowRight")
        tab.keyboard.press(str(i % 5 + 1))
        tab.keyboard.press("Enter")
    rows = tab.input_value("#text").splitlines()[1:]
    assert [row.split(",")[4:6] for row in rows] == [["real" if i % 2 else "made", str(i % 5 + 1)] for i in range(N)]


def test_each_person_has_a_code_and_an_order_of_their_own_and_a_browser_that_keeps_nothing_will_do(browser, file):
    orders = []
    for _ in range(3):
        context = browser.new_context()
        context.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('denied'); }});")
        tab = context.new_page()
        tab.goto(file.as_uri())
        orders.append((tab.evaluate("state.person"), *tab.evaluate("state.order")))
        tab.click("#begin")
        judge(tab, "real", 4)
        assert tab.evaluate("bar.value") == 1
        with tab.expect_event("dialog") as dialog:
            tab.close(run_before_unload=True)
        assert dialog.value.type == "beforeunload", "the answers would be lost"
        dialog.value.accept()
        context.close()
    assert len(set(orders)) == 3 and {frozenset(order[1:]) for order in orders} == {frozenset(range(N))}


def test_what_somebody_else_left_in_the_browser_does_no_harm(browser, file):
    tab = browser.new_page()
    tab.goto(file.as_uri())
    for kept in ("", "null", "5", "{}", '{"person": "abcdefgh", "order": [0], "answers": []}',
                 '{"person": "=cmd", "order": [0,1,2,3,4,5,6,7], "answers": []}'):
        tab.evaluate("kept => localStorage.setItem(PLACE, kept)", kept)
        tab.reload()
        tab.click("#begin")
        judge(tab, "real", 4)
        assert tab.evaluate("bar.value") == 1 and tab.evaluate("/^[a-z]{8}$/.test(state.person)"), kept
    tab.close()
