"""genlib survey: from runs and photographs to a page, from answers to a table and a figure."""
import base64
import json
import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageChops
from saved_runs import save_run

from genlib.__main__ import main

ANSWERS = "person,number,picture,truth,answer,quality,seconds\n{person},1,picturea,photograph,real,5,9\n" \
          "{person},2,pictureb,stylegan2-ada,made,2,4\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Runs of ten iterations, in which a pixel's level is 20 times the iteration, and twelve photographs."""
    monkeypatch.chdir(tmp_path)
    prompted = dict(steps=50, prompt="a face", seed=0)
    save_run("results", "stable-diffusion", [8.0] * 10, settings=dict(steps=50, prompt="", seed=0))
    save_run("results", "stable-diffusion", [8.0] * 10, settings=prompted, variant="face-prompt")
    save_run("results", "vae-as-in-thesis", [8.0] * 10, settings=prompted, picture=2)
    save_run("results", "vae-round-trip", [0.1] * 10, settings=prompted)
    for path in save_run("results", "stylegan2-ada", [0.1] * 10, settings=dict(seed=0)).folder.glob("*.png"):
        ImageChops.invert(Image.open(path)).save(path)  # other pictures than Stable Diffusion's
    (tmp_path / "photos").mkdir()
    for i in range(12):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path


def kinds_of(path):
    data = json.loads(re.search(r"const DATA = (.*);\n", path.read_text(encoding="utf-8"))[1])
    return json.loads(bytes(a ^ b for a, b in zip(base64.b64decode(data["key"]), data["code"].encode() * 100, strict=False)))


def test_the_page_has_five_pictures_of_each_kind_of_model_no_face_twice_and_photographs_as_far_as_there_are(place, capsys):
    assert main(["survey", "results", "--photos", "photos", "--language", "uk"]) == 0
    out = capsys.readouterr().out
    kinds = Counter(kinds_of(place / "results" / "survey" / "survey.html"))
    assert kinds == {"stable-diffusion": 5, "vae-as-in-thesis": 5, "stylegan2-ada": 5, "photograph": 12}
    assert "pictures: stable-diffusion 5, vae-as-in-thesis 5, stylegan2-ada 5, photograph 12\nmore photographs would help: with 15" in out
    assert "results/survey/survey.html (" in out and "demonstration" not in out


def test_models_of_one_prompt_and_seed_take_turns_so_that_no_face_is_seen_twice(place):
    from genlib.commands.survey import _made
    from genlib.report import Report

    levels = {kind: [picture.getpixel((0, 0))[0] // 20 for picture in pictures] for kind, pictures in _made(Report("results")).items()}
    assert levels == {"stable-diffusion": [0, 2, 4, 6, 8], "vae-as-in-thesis": [1, 3, 5, 7, 9], "stylegan2-ada": [12, 11, 10, 9, 8]}


def test_the_page_is_the_same_each_time_and_copies_of_a_photograph_count_once(place):
    pages = []
    for folder in "01":
        (place / "photos" / f"copy {folder}.png").write_bytes((place / "photos" / "0.png").read_bytes())
        assert main(["survey", "results", "--photos", "photos", "--out", folder]) == 0
        pages.append((place / folder / "survey.html").read_text())
    assert pages[0] == pages[1] and kinds_of(place / "0" / "survey.html").count("photograph") == 12


def test_a_model_whose_iterations_all_failed_is_left_out_and_one_without_a_prompt_is_named(place, capsys):
    save_run("few", "stylegan2-ada", [1.0, 2.0])
    run = save_run("few", "vae-as-in-thesis", [1.0], errors=2)
    run.iterations = run.iterations[1:]
    run.save()
    save_run("few", "stable-diffusion", [1.0, 2.0], settings=dict(prompt="", seed=0))
    with pytest.warns(UserWarning, match="stable-diffusion has no run 'face-prompt'"):
        assert main(["survey", "few", "--photos", "photos", "--out", "few"]) == 0
    assert "pictures: stable-diffusion 2, stylegan2-ada 2, photograph 4\n" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, said", [
    ([], "a survey is made or read"), (["results", "--read", "answers"], "a survey is made or read"),
    (["results"], "no photographs to tell the pictures from"), (["results", "--photos", "nowhere"], "nowhere is not here"),
    (["nowhere", "--photos", "photos"], "nowhere is not here"),
    (["results", "--photos", "empty"], "empty has no photograph"),
    (["results", "--photos", "photos/0.png"], "0.png is no folder"), (["random", "--photos", "photos"], "random weights, which draw"),
    (["bare", "--photos", "photos"], "no pictures in these runs"), (["--read", "nowhere"], "nowhere is not here"),
    (["--read", "empty"], "no answers in what was given"), (["--read", "photos/0.png"], "no answers in what was given")])
def test_what_is_missing_is_one_sentence(place, capsys, arguments, said):
    (place / "empty").mkdir()
    save_run("random", "stylegan2-ada", [1.0, 2.0], weights="random")
    save_run("bare", "stylegan2-ada", [1.0, 2.0], picture=False)
    assert main(["survey", *arguments]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "skipped" not in line]
    assert len(lines) == 1 and said in lines[0] and lines[0].startswith("genlib: ")


def test_runs_of_demonstration_weights_are_said_to_tell_nothing(place, capsys):
    save_run("demo", "stylegan2-ada", [1.0, 2.0], weights="demo")
    assert main(["survey", "demo", "--photos", "photos"]) == 0
    out = capsys.readouterr().out
    assert "stylegan2-ada-demo" in kinds_of(place / "results" / "survey" / "survey.html"), "no answer counts for the published model"
    assert "demonstration weights: the page shows how a survey goes" in out and "fewer than 5 pictures of stylegan2-ada" in out


def test_answers_are_read_without_runs_into_a_table_and_a_figure_in_the_language(place, capsys):
    (place / "answers").mkdir()
    for person in "abcdefgh", "abcdefgi", "abcdefgj":
        (place / "answers" / f"answers-{person}.csv").write_text(ANSWERS.format(person=person))
    (place / "answers" / "notes.csv").write_text("x")
    files = ["answers", "answers/answers-abcdefgh.csv"]
    with pytest.warns(UserWarning, match="skipped .*notes.csv") as said:
        assert main(["survey", "--read", *files, "--language", "uk", "--out", "out"]) == 0
    out = capsys.readouterr().out
    assert "| фотографії | 1 | 3 | 100 (44 … 100) |" in out and "\nStyleGAN2-ADA: зображення відрізняють" in out
    assert sum("skipped" in str(one.message) for one in said) == 1
    for path in [f"tables/survey.{kind}" for kind in ("csv", "md", "tex", "docx")] + [f"figures/survey.{kind}" for kind in ("png", "pdf")]:
        assert (place / "out" / path).stat().st_size and f"out/{path}" in out
