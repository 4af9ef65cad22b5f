"""What people answered: files of answers, intervals and verdicts, the table, the figure, the chapter."""
import numpy as np
import pandas as pd
import pytest
from saved_runs import ANSWERS_HEAD as HEAD
from saved_runs import save_answers, save_run

from genlib.locale import languages
from genlib.report import Report, survey
from genlib.report.chapter import chapter, sources
from genlib.report.tables.survey import verdicts

GOOD = f"{HEAD}\nabcdefgh,1,pictureb,photograph,real,5,12\nabcdefgh,2,picturea,stable-diffusion,made,2,3\n"


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(files):
        (folder / f"{number:03}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return sorted(folder.glob("*.csv"))


@pytest.mark.parametrize("text", [
    GOOD, GOOD.replace("\n", "\r\n"), "\ufeff" + GOOD, GOOD.replace(",", ";"),
    GOOD.replace(HEAD, HEAD + ",note").replace(",12\n", ",12,=1+1\n"),
    "\n".join([HEAD[7:] + ",person", "1,pictureb,photograph,real,5,12,abcdefgh", "2,picturea,stable-diffusion,made,2,3,abcdefgh"])],
    ids=["as saved", "windows", "mark", "excel", "a column more", "other order"])
def test_a_file_of_answers_is_read_as_it_was_saved_and_as_excel_saves_it_again(tmp_path, text):
    answers = survey.read(put(tmp_path, [text]))
    assert answers[["person", "number", "picture", "truth", "quality", "seconds", "real"]].to_numpy().tolist() == [
        ["abcdefgh", 1, "pictureb", "photograph", 5, 12, True], ["abcdefgh", 2, "picturea", "stable-diffusion", 2, 3, False]]


BAD = {
    "nothing": "", "head alone": HEAD, "another table": "Model;Time\nSD;8", "binary": bytes(range(256)) * 20,
    "nul": GOOD.replace("real", "re\0al"),
    "formula": GOOD.replace("abcdefgh", "=cmd|' /C calc'!A0"), "number as person": GOOD.replace("abcdefgh", "12345678"),
    "letter of another alphabet": GOOD.replace("abcdefgh", "аbcdefgh"), "tag": GOOD.replace("stable-diffusion", "<script>"),
    "answer": GOOD.replace(",made,", ",maybe,"), "quality": GOOD.replace(",5,", ",6,"), "other digits": GOOD.replace(",5,", ",٥,"),
    "number too long": GOOD.replace(",12\n", f",{10**30}\n"), "no seconds": GOOD.replace(",12\n", ",\n"), "cut off": GOOD[:-9],
    "two people": GOOD.replace("abcdefgh,2", "abcdefgi,2"), "one picture twice": GOOD.replace("pictureb", "picturea"),
    "too large": GOOD + "x" * 200_000,
    "wide field": GOOD.replace("photograph", "p" * 90_000), "a line with a cursor": GOOD.replace("photograph", "\x1b[2J")}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_file_that_is_foreign_or_damaged_is_named_and_the_others_count(tmp_path, bad):
    paths = put(tmp_path, [bad, GOOD.replace("abcdefgh", "zbcdefgh")])
    with pytest.warns(UserWarning, match=r"skipped .*000\.csv") as said:
        answers = survey.read(paths)
    assert len(said) == 1 and "\x1b" not in str(said[0].message) and set(answers["person"]) == {"zbcdefgh"}


def test_links_and_folders_are_named(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.csv").symlink_to("/etc/passwd")
    with pytest.warns(UserWarning, match="no regular file"):
        assert survey.read(sorted(tmp_path.iterdir())).empty


def test_a_person_counts_once_with_the_longest_file(tmp_path):
    part = "".join(GOOD.splitlines(keepends=True)[:2])
    with pytest.warns(UserWarning, match="answers by abcdefgh the longest file counts: they are in .*000.csv and in .*001.csv"):
        assert len(survey.read(put(tmp_path, [part, GOOD, GOOD]))) == 2


def test_a_file_that_calls_a_picture_otherwise_than_the_others_is_left_out_and_named(tmp_path):
    paths = put(tmp_path, [GOOD.replace("abcdefgh", "changeds").replace("photograph", "stylegan2-ada")] +
                [GOOD.replace("abcdefgh", f"person{letter}a") for letter in "abc"])
    with pytest.warns(UserWarning, match=r"skipped .*000\.csv: other files say otherwise") as said:
        assert survey.read(paths)["person"].nunique() == 3
    assert len(said) == 1


def drawn(random, share, spread, people, pictures):
    """Answers of people, of whom each has a share of their own around this one."""
    own = 1 / (1 + np.exp(-np.log(share / (1 - share)) - spread))
    real = random.random((people, pictures)) < own[:, None]
    return pd.DataFrame(dict(person=np.repeat(np.arange(people), pictures), real=real.ravel()))


def test_wilsons_interval_of_independent_answers_covers_what_it_says():
    counts = np.random.default_rng(0).binomial(50, 0.4, 20_000)
    ends = np.array([survey.share(pd.DataFrame(dict(real=np.arange(50) < n)))[1:] for n in range(51)])
    assert np.mean((ends[counts, 0] <= 0.4) & (ends[counts, 1] >= 0.4)) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("apart, between", [(0, 0), (0, 1.5), (0.1, 0)])
def test_the_interval_of_a_difference_covers_it_and_equal_pictures_are_seldom_told_apart_also_where_people_differ(apart, between):
    """The wider of two intervals covers more than 95 %: at least 93 % here, of 500 surveys of 8 people."""
    random, found = np.random.default_rng(0), []
    for _ in range(500):
        spread = between * random.standard_normal(8)
        found.append(survey.difference(drawn(random, 0.7 - apart, spread, 8, 5), drawn(random, 0.7, spread, 8, 15)))
    assert np.mean([one.low <= -apart <= one.high for one in found]) >= 0.93
    if not apart:
        assert np.mean([one.told_apart for one in found]) <= 0.05
    else:
        assert np.mean([one.hard for one in found]) <= 0.05, "what is MARGIN away is not called hard to tell"


def test_fleisss_kappa_is_that_of_his_papers_definition_over_people_who_judged_the_same(tmp_path):
    ratings = ["rrm", "rmr", "rrr", "mmm"]  # of each picture by three people; P = 2/3, Pe = 1/2 + 2 (1/12)^2
    rows = [(person, f"picture{i}", letter == "r") for i, letters in enumerate(ratings) for person, letter in enumerate(letters)]
    rows += [(9, "picture0", True)]  # who stopped
    kappa, people, pictures = survey.agreement(pd.DataFrame(rows, columns=["person", "picture", "real"]))
    share = 7 / 12
    by_chance = share**2 + (1 - share)**2
    assert (kappa, people, pictures) == (pytest.approx((2 / 3 - by_chance) / (1 - by_chance)), 3, 4)
    alone = pd.DataFrame(rows, columns=["person", "picture", "real"]).query("person == 0")
    always = pd.DataFrame(rows[:2], columns=alone.columns).assign(real=True)
    assert np.isnan(survey.agreement(alone)[0]) and np.isnan(survey.agreement(always)[0])


@pytest.fixture
def folder(tmp_path):
    for experiment in "stable-diffusion", "stylegan2-ada":
        save_run(tmp_path, experiment, [1.0, 2.0], settings=dict(steps=50))
    return tmp_path


SHARES = {"photograph": 0.8, "stable-diffusion": 0.2, "stylegan2-ada": 0.8}


@pytest.mark.parametrize("people, shown", [(20, ["told apart", "hard to tell"]), (4, ["told apart", "open"]), (2, ["open", "open"])])
def test_a_verdict_needs_people_and_a_difference_within_ten_points_shown(folder, people, shown):
    save_answers(folder, SHARES, people, pictures=15)
    table = Report(folder).table("survey").data.set_index("Pictures")
    assert list(table.index) == ["photographs", "Stable Diffusion", "StyleGAN2-ADA"]
    assert list(table["Verdict"][1:3]) == shown and table["Verdict"].iloc[0] == table["Difference (points)"].iloc[0] == "—"
    assert table.loc["photographs", "Taken for a photograph (%)"].startswith("80 (")
    assert table.loc["Stable Diffusion", "Difference (points)"].startswith("−60")
    assert list(table["How many"]) == ["15", "15", "15"] and table.loc["photographs", "Answers"] == str(15 * people)


@pytest.mark.parametrize("language", languages())
def test_the_chapter_has_a_section_on_peoples_verdict_where_there_are_answers_and_none_without(folder, language):
    without = Report(folder, language=language, number="3.1")
    title = without.say("People’s verdict on the pictures")
    assert "survey" not in without.tables and without.figure("survey").empty and verdicts(without) == []
    save_answers(folder, SHARES, 5)
    report = Report(folder, language=language, number="3.1")
    assert "survey" in report.tables and not report.figure("survey").empty and len(verdicts(report)) == 2
    assert report.figure("survey").caption == title, "neither a device nor weights, which answers have not"
    assert "fleiss1971" in sources.sources(report) and "fleiss1971" not in sources.sources(without)
    contents = chapter.Contents(report)
    text = chapter.markdown(contents, report.chapter_template)
    for part in "{.table name=survey}", "{.figure name=survey}", "(#table:survey)", "(#source:fleiss1971)":
        assert text.count(part) == 1, part
    assert all(f"- {chapter._escaped(sentence)}\n" in text for sentence in verdicts(report))


def test_answers_on_pictures_by_demonstration_weights_stand_apart(folder):
    save_answers(folder, {"photograph": 0.8, "stylegan2-ada-demo": 0.2}, 5, pictures=15)
    report = Report(folder)
    assert list(report.table("survey").data["Pictures"]) == ["photographs", "StyleGAN2-ADA (demonstration weights)"]
    assert verdicts(report)[0].startswith("StyleGAN2-ADA (demonstration weights): people tell")


def test_answers_without_photographs_or_of_one_person_or_by_an_unknown_model_have_a_table(folder):
    save_answers(folder, {"my-model": 0.5}, 1)
    table = Report(folder).table("survey")
    assert list(table.data["Pictures"]) == ["my-model"] and list(table.data["Verdict"]) == ["—"]
    assert "Agreement is not known" in table.note and "1 person judged" in table.note and verdicts(Report(folder)) == []
