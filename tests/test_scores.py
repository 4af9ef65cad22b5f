"""The record of how good a folder's pictures are: written, read back, and checked as a stranger's."""
import copy
import json

import hostile
import pytest

from genlib import scores
from genlib.scores import Against, Drawn, Figure, Memorised, Scores

MADE = Scores(
    "by-steps", 200, "2026-11-27T00:00:00+00:00",
    Drawn("stable-diffusion", "steps-5", "genlib", "Stable Diffusion", "demo", "tuned", "float32", "cpu", "A CPU", dict(steps=5), 0.1, 200),
    Against("drawn", 1000, "0" * 64), dict(reader="0" * 64),
    dict(frechet_reader=Figure(1.5, 1.2, 1.9, 200, 129), kid_reader=Figure(-0.01, -0.02, 0.0, 200, 50),
         faces=Figure(1.0, 0.98, 1.0, 200, 10)),
    dict(kid_dinov2="there is no network"),
    Memorised("training", 20000, "reader", 1.5, 1.25, 0.01, [("a.png", "b.png", 0.5)]))


def test_what_is_written_is_read_back(tmp_path):
    assert scores.read(MADE.save(tmp_path)) == MADE
    bare = Scores("x", 1, scores.now())
    assert scores.read(bare.save(tmp_path)) == bare


def changed(place, value):
    record = inner = copy.deepcopy(json.loads(json.dumps(MADE, default=vars)))
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return record


WRONG = {
    "text for a number": (("figures", "faces", "value"), "1"), "NaN": (("figures", "kid_reader", "value"), float("nan")),
    "a share above 1": (("figures", "faces", "high"), 1.5), "a distance below 0": (("figures", "frechet_reader", "value"), -1),
    "an interval that ends before it begins": (("figures", "kid_reader", "high"), -0.5), "too few": (("figures", "faces", "n"), 9),
    "no such figure": (("figures", "beauty_dinov2"), dict(value=1, low=None, high=None, n=1, least=1)),
    "a time below 0": (("drawn", "time_s"), -1), "no pictures": (("pictures",), 0), "a list": (("drawn",), []),
    "a name as long as a book": (("folder",), "x" * 200_000), "half a letter": (("left_out", "faces"), "\ud800"),
    "an endless number": (("drawn", "settings", "psi"), 1e300), "many entries": (("memorised", "closest"), [["a", "b", 0.1]] * 10_001)}


@pytest.mark.parametrize("place, value", WRONG.values(), ids=WRONG)
def test_a_record_with_an_impossible_value_is_refused_with_its_file_and_place(tmp_path, place, value):
    path = tmp_path / scores.FILE
    path.write_text(json.dumps(changed(place, value)))
    with pytest.raises(ValueError) as refused:
        scores.read(path)
    said = str(refused.value)
    assert str(path) in said and f"its {'.'.join(place)}" in said and len(said) < 700 and said.isprintable()


@pytest.mark.parametrize("data", hostile.NOT_RECORDS.values(), ids=hostile.NOT_RECORDS)
def test_what_is_no_record_is_refused_with_its_file(tmp_path, data):
    path = tmp_path / scores.FILE
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(ValueError, match="scores.json cannot be read"):
        scores.read(path)


def test_every_figure_is_shown_by_a_label_and_a_network_of_its_own():
    assert scores.split("kid_dinov2") == ("kid", "dinov2") and scores.split("clip_score") == ("clip_score", "")
    assert scores.reading("precision_clip").unit == "%" and scores.reading("psnr_db").label == "PSNR"
    with pytest.raises(KeyError):
        scores.reading("beauty")
