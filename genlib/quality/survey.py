"""A page on which people judge pictures: real or made, and how good. One file that needs no network."""
import base64
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from itertools import cycle
from pathlib import Path
from random import Random
from types import SimpleNamespace

from PIL import Image, ImageOps

from genlib.lines import say as tell
from genlib.pictures import foreign

PIXELS = 120_000_000  # of a photograph; a phone takes 108 million
SECONDS = 10  # for a picture
PAGE = Path(__file__).with_name("survey.html")


def photographs(folder: Path, side: int) -> Iterable[Image.Image]:
    """The photographs in a folder, upright, shuffled, so that the first of many are any of them.

    A line names what is no picture (see `pictures.foreign`), or is smaller than `side` pixels: enlarged, it
    would be known by that.
    """
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    for path in Random(0).sample(paths, len(paths)):
        try:
            picture = foreign(path, PIXELS)
        except (ValueError, OSError) as error:
            tell(f"skipped {error if str(path) in str(error) else f'{path}: {error}'}")
            continue
        if min(picture.size) >= side:
            yield picture
        else:
            tell(f"skipped {path}: it has {picture.width} x {picture.height} pixels: take one of at least {side} x {side}")


def alike(picture: Image.Image, side: int) -> bytes:
    """The picture as the page shows all of them: the square in its middle, a JPEG without metadata."""
    data, square = io.BytesIO(), ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.LANCZOS)
    Image.frombytes("RGB", square.size, square.tobytes()).save(data, "JPEG", quality=92, subsampling=0)
    return data.getvalue()


def page(kinds: Mapping[str, list[bytes]], say: Callable[..., str], language: str) -> str:
    """The page's HTML: of the same pictures the same each time.

    kinds: JPEGs by what they truly are. Each person sees them in an order of their own. What they are is not
    to be read off the page's source, though whoever can program may find it out.
    """
    from jinja2 import Environment

    pictures = {_letters(jpeg): (jpeg, kind) for kind, jpegs in kinds.items() for jpeg in jpegs}
    names = sorted(pictures)  # of hashes: in no order of kinds
    truth = json.dumps([pictures[name][1] for name in names]).encode()
    code = _letters("".join([*names, language]).encode())
    texts = _texts(say, len(names))
    data = dict(names=names, jpegs=[base64.b64encode(pictures[name][0]).decode() for name in names], code=code, progress=texts.progress,
                key=base64.b64encode(bytes(a ^ b for a, b in zip(truth, cycle(code.encode()), strict=False))).decode())
    return Environment(autoescape=True).from_string(PAGE.read_text(encoding="utf-8")).render(
        data=data, texts=texts, language=language)


def _letters(data: bytes) -> str:
    """A name that tells nothing, and in which no spreadsheet sees a number."""
    return "".join(chr(ord("a") + byte % 26) for byte in hashlib.sha256(data).digest()[:8])


def _texts(say: Callable[..., str], pictures: int) -> SimpleNamespace:
    """What the page says."""
    return SimpleNamespace(
        title=say("Photograph or not?"),
        intro=say("You will see {n} pictures, one at a time. Some are photographs, the others were made by a computer. Say of each what "
                  "you think it is, and how good the picture looks. There is no need to hurry: about {minutes} minutes are enough.",
                  n=pictures, minutes=-(-pictures * SECONDS // 60)),
        privacy=say("You are not asked who you are. Your answers stay on this device until you send them yourself."),
        begin=say("Show the first picture"), progress=say("Picture {i} of {n}"), question=say("What is it?"),
        real=say("a photograph"), made=say("made by a computer"), quality=say("How good does the picture look?"),
        worst=say("1 – very bad"), best=say("5 – very good"), back=say("One picture back"), next=say("Next picture"),
        stop=say("Stop here"), keys=say("Keys: ← a photograph, → made by a computer, 1 to 5, Enter – next picture"),
        thanks=say("Thank you!"), send=say("Save your answers, and send the file to the person who gave you this page."),
        save=say("Save the answers"), copy=say("If no file appears, copy this text and send it:"), resume=say("Back to the pictures"),
        other=say("Another person answers"),
        script=say("This page needs a browser with JavaScript: open it in Chrome, Firefox or Safari."))
