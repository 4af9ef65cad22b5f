"""The reader's language. English is the text in the code; every other language is a catalogue in this folder.

A catalogue is `<code>/LC_MESSAGES/genlib.po` in gettext's format, and beside LC_MESSAGES lies chapter.md, the
template of the chapter. A further language is one more such folder;
tests/locale/test_language.py names the sentences that a catalogue lacks, and those that nothing says any
more.
"""
import gettext
import io
from functools import cache
from pathlib import Path

from genlib.locale import numbers
from genlib.spelling import meant

FOLDER = Path(__file__).parent
ENGLISH = "en"
CHAPTER = "chapter.md"


class Message(str):
    """An English text to be translated, with a context where the text alone would be ambiguous."""

    context: str | None = None


def N_(text: str, context: str | None = None) -> Message:
    """Mark a text that is kept as data, to be translated when it is shown. A single word says its context."""
    message = Message(text)
    message.context = context
    return message


def languages() -> list[str]:
    """The codes of the languages that there are, English first."""
    return [ENGLISH, *sorted(path.parent.parent.name for path in FOLDER.glob("*/LC_MESSAGES/genlib.po"))]


class Language:
    """A language's sentences and numbers. Raises ValueError for a language without a catalogue."""

    def __init__(self, code: str):
        if code not in languages():
            raise ValueError(f"language is {code!r}{meant(code, languages())}: use one of {', '.join(languages())}")
        self.code = code
        self._catalogue = _catalogue(FOLDER / code / "LC_MESSAGES" / "genlib.po") if code != ENGLISH else gettext.NullTranslations()

    @property
    def chapter(self) -> Path:
        """The template of the chapter, in English where this language has none."""
        path = FOLDER / self.code / CHAPTER
        return path if path.exists() else FOLDER / ENGLISH / CHAPTER

    def say(self, text: str, /, **values) -> str:
        """The sentence in this language, with its {places} filled."""
        if not text:
            return ""  # gettext has its header there
        context = getattr(text, "context", None)
        found = self._catalogue.pgettext(context, text) if context else self._catalogue.gettext(text)
        return found.format(**values) if values else str(found)

    def count(self, one: str, many: str, n: int, /, **values) -> str:
        """The sentence in the form that so many take, with its {places} filled, {n} among them."""
        return self._catalogue.ngettext(one, many, n).format(**({"n": n} | values))

    def rounded(self, value, decimals: int) -> str:
        """A number with so many decimals; see `numbers.number`."""
        return numbers.number(value, decimals, self.code)

    def significant(self, value, digits: int) -> str:
        """A number with so many significant digits; see `numbers.significant`."""
        return numbers.significant(value, digits, self.code)

    @property
    def decimal_sign(self) -> str:
        """A point or a comma."""
        return self.rounded(0.5, 1)[1]


@cache
def _catalogue(path: Path) -> gettext.GNUTranslations:
    """Read a .po file; compiled in memory, so that there is no compiled file that could be out of date."""
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, abort_invalid=True))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
