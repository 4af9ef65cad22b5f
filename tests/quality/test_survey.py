"""The survey's page as a file: what is in it, and what must not be."""
import base64
import io
import json
import re
import struct

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from genlib.locale import Language, languages
from genlib.quality import survey
from genlib.report.survey import FIELDS

NAME = "Grandmother at 48.4 N"


def pictures(kind):
    return [survey.alike(Image.effect_noise((64, 64), 20 * number + 30 * kind), 64) for number in range(1, 6)]


KINDS = {"photograph": pictures(0), "stable-diffusion": pictures(1), "stylegan2-ada": pictures(2)}


def made(kinds=KINDS, language="en", say=None):
    return survey.page(kinds, say or Language(language).say, language)


def data_of(html):
    return json.loads(re.search(r"const DATA = (.*);\n", html)[1])


def save_photographs(folder):
    """Photographs as phones leave them, with a name in each kind of metadata; taken sideways."""
    folder.mkdir()
    picture = Image.effect_noise((300, 200), 60).convert("RGB")
    picture.paste("red", (0, 0, 150, 200))  # the left half, which upright is the upper one
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = NAME, 6
    text = PngInfo()
    text.add_text("Comment", NAME)
    picture.save(folder / f"{NAME}.jpg", exif=exif, comment=NAME, icc_profile=NAME.encode())
    picture.save(folder / f"{NAME}.webp", exif=exif, xmp=NAME.encode())
    picture.save(folder / f"{NAME}.png", exif=exif, pnginfo=text)
    return folder


def test_photographs_are_upright_and_square_and_keep_neither_name_nor_metadata(tmp_path):
    shown = [survey.alike(picture, 64) for picture in survey.photographs(save_photographs(tmp_path / "photos"), 64)]
    assert len(shown) == 3
    for jpeg in shown:
        picture = Image.open(io.BytesIO(jpeg))
        assert (picture.format, picture.size, picture.mode) == ("JPEG", (64, 64), "RGB") and not picture.getexif()
        assert picture.getpixel((32, 5))[0] > 200 > picture.getpixel((32, 5))[1] + 100, "the red half is above"
        assert set(picture.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert NAME.encode() not in jpeg and jpeg[:jpeg.index(b"\xff\xdb")] == KINDS["stylegan2-ada"][0][:20], "headed as a model's"
    assert "Grandmother" not in made(KINDS | {"photograph": shown})


BAD = {"text.txt": b"x", "phone.heic": b"\0\0\0\x18ftypheic", "cut.jpg": b"\xff\xd8\xff\xe0", "nothing.png": b"",
       "huge.png": b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0) + bytes(4),
       "vector.svg": b"<svg onload='alert(1)'/>", "print.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n"}


def test_what_is_no_photograph_is_named_and_the_others_are_taken(tmp_path):
    folder = save_photographs(tmp_path / "photos")
    for name, content in BAD.items():
        (folder / name).write_bytes(content)
    Image.new("RGB", (500, 63)).save(folder / "small.png")
    Image.new("I;16", (64, 64)).save(folder / "deep.png")
    (folder / "link.jpg").symlink_to(folder / f"{NAME}.jpg")
    (folder / "folder").mkdir()
    (folder / ".DS_Store").write_bytes(b"x")
    with pytest.warns(UserWarning) as said:
        assert len(list(survey.photographs(folder, 64))) == 3
    lines = [str(one.message) for one in said]
    assert len(lines) == len(BAD) + 4 and all(line.startswith("skipped ") for line in lines)
    for name in [*BAD, "small.png", "deep.png", "link.jpg", "folder"]:
        assert sum(f"photos/{name}" in line for line in lines) == 1, name
    assert any("it has 500 x 63 pixels: take one of at least 64 x 64" in line for line in lines)


def test_the_page_shows_each_picture_once_and_its_source_tells_not_which_is_made():
    html = made()
    data = data_of(html)
    jpegs = [base64.b64decode(jpeg) for jpeg in data["jpegs"]]
    assert sorted(jpegs) == sorted(sum(KINDS.values(), [])) and len(set(data["names"])) == 15
    truth = base64.b64decode(data["key"])
    assert not any(kind in html or kind.encode() in truth for kind in ("stable-diffusion", "stylegan2", '"photograph"'))
    kinds = json.loads(bytes(a ^ b for a, b in zip(truth, data["code"].encode() * 100, strict=False)))
    assert [jpeg in KINDS[kind] for jpeg, kind in zip(jpegs, kinds, strict=True)] == [True] * 15
    assert kinds != sorted(kinds) and len({len(Image.open(io.BytesIO(jpeg)).tobytes()) for jpeg in jpegs}) == 1
    assert all(re.fullmatch(FIELDS["picture"], name) for name in data["names"]) and re.fullmatch(FIELDS["person"], data["code"])


def test_the_page_is_the_same_each_time_and_keeps_answers_by_language():
    assert made() == made()
    assert data_of(made())["code"] != data_of(made(language="uk"))["code"], "where answers are kept"


@pytest.mark.parametrize("language", languages())
def test_the_page_is_in_its_language_and_can_ask_nobody_anything(language):
    html = made(language=language)
    assert f'<html lang="{language}">' in html and Language(language).say("Thank you!") in html and "built-in" not in html
    assert "default-src 'none'; img-src data:" in html and not re.search(r"https?:|<link|<iframe|\bsrc=|@import|url\(", html)
    assert ",".join(FIELDS) in html, "the columns that are read are those that are saved"


def test_what_the_page_says_stays_text():
    html = made({"</script><script>alert(1)": pictures(0)}, say=lambda text, **_: f"</script><img onerror=alert(1)>{text}")
    assert "<img onerror" not in html and html.count("</script>") == 1
