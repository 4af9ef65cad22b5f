"""A report has one language from the start; every sentence is translated, and every translation is used."""
import ast
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from saved_runs import save_run

from genlib import locale
from genlib.locale import N_, Language
from genlib.report import Report

PACKAGE = Path(locale.__file__).parent.parent
NAMES_OF_A_LANGUAGE = {"language", "languages", "lang", "locale", "code", "words", "say", "count", "translate", "translations",
                       "translator", "catalogue", "gettext", "_"}


def said() -> set[tuple]:
    """Every sentence in genlib's code, with its context: the texts that say, count and N_ are given."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)):
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            texts = [argument.value for argument in call.args if isinstance(argument, ast.Constant) and isinstance(argument.value, str)]
            if name == "say" and texts:
                found.add((texts[0], None))
            elif name == "count" and len(texts) == 2:
                found.add((tuple(texts), None))
            elif name == "N_" and texts:
                found.add((texts[0], texts[1] if len(texts) > 1 else None))
    return found


def catalogue(code):
    with (locale.FOLDER / code / "LC_MESSAGES" / "genlib.po").open("rb") as file:
        return read_po(file, locale=code)


@pytest.mark.parametrize("code", locale.languages()[1:])
def test_every_sentence_has_its_translation_and_no_translation_is_of_a_sentence_that_nothing_says(code):
    translated = {(message.id, message.context): message.string for message in catalogue(code) if message.id and not message.fuzzy}
    assert len(said()) > 150 and said() == set(translated)
    for (text, _), forms in translated.items():
        assert all(forms) if isinstance(text, tuple) else forms, text
        assert isinstance(text, str) or len(forms) == catalogue(code).num_plurals, text


@pytest.mark.parametrize("code", locale.languages()[1:])
def test_a_catalogue_passes_babels_own_checks(code):
    checked = catalogue(code)
    for message in checked:
        message.flags.discard("python-format")  # which Babel takes "% of" for; places in {braces} are tested elsewhere
    assert [(message.id, errors) for message, errors in checked.check()] == []


def test_a_single_word_says_in_which_context_it_stands():
    assert [message for message, context in said() if isinstance(message, str) and " " not in message and not context] == []


def functions_of_the_report():
    for path in (PACKAGE / "report").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.Lambda)):
                yield path, tree, node


def test_no_function_of_the_report_takes_a_language_but_the_reports_constructor():
    takers = []
    for path, _, function in functions_of_the_report():
        arguments = function.args
        names = {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg] if a}
        takers += [(path.name, getattr(function, "name", "lambda"), name) for name in names & NAMES_OF_A_LANGUAGE]
    assert takers == [("report.py", "__init__", "language")]


def test_no_module_of_the_report_holds_a_language_or_names_one():
    codes = {"uk", "en", "Ukrainian", "English"}
    for path in (PACKAGE / "report").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Language")]
        named = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value in codes]
        assert (len(calls), len(named)) == ((1, 1) if path.name == "report.py" else (0, 0)), path


def test_two_reports_of_different_languages_in_one_process_do_not_mix(tmp_path):
    save_run(tmp_path, "stable-diffusion", [8.0, 8.1])
    english, ukrainian = Report(tmp_path), Report(tmp_path, language="uk")
    for _ in range(2):  # each asked in turn, and nothing is left of the other
        assert english.table("results").data.columns[0] == "Model" and ukrainian.table("results").data.columns[0] == "Модель"
        assert "8.05 ± 0.07" in str(english.table("readings")) and "8,05 ± 0,07" in str(ukrainian.table("readings"))
        assert english.figure("bars").canvas.get_suptitle().startswith("Time and memory")
        assert ukrainian.figure("bars").canvas.get_suptitle().startswith("Час і пам’ять")


@pytest.mark.parametrize("n, text", [(1, "1 крок"), (2, "2 кроки"), (5, "5 кроків"), (11, "11 кроків"), (21, "21 крок"), (22, "22 кроки")])
def test_a_counted_thing_has_the_form_that_its_number_takes(n, text):
    assert Language("uk").count("{steps} step", "{steps} steps", n, steps=n) == text


def test_a_context_tells_words_apart_and_what_has_no_translation_stays_english():
    ukrainian = Language("uk")
    assert ukrainian.say(N_("steps", "unit of a line")) == "кроки" and ukrainian.say("steps") == "steps"
    assert ukrainian.say("{a} of {b}", a=1, b=2) == "1 of 2"


def test_a_third_language_is_a_po_file(tmp_path, monkeypatch):
    folder = tmp_path / "locale" / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    header = 'msgid ""\nmsgstr ""\n"Language: de\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n' \
             '"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n'
    sentences = 'msgctxt "column"\nmsgid "Model"\nmsgstr "Modell"\n\n' \
                'msgid "{steps} step"\nmsgid_plural "{steps} steps"\nmsgstr[0] "{steps} Schritt"\nmsgstr[1] "{steps} Schritte"\n'
    (folder / "genlib.po").write_text(header + sentences, encoding="utf-8")
    monkeypatch.setattr(locale, "FOLDER", tmp_path / "locale")
    assert locale.languages() == ["en", "de"]
    save_run(tmp_path / "runs", "stable-diffusion", [8.0, 8.1], settings=dict(steps=50))
    table = Report(tmp_path / "runs", language="de").table("results")
    assert table.data.columns[0] == "Modell" and table.data.iloc[0, 1] == "8,05 ± 0,07" and "50 Schritte" in table.note


def test_an_unknown_language_is_refused(tmp_path):
    save_run(tmp_path, "stable-diffusion", [8.0, 8.1])
    with pytest.raises(ValueError, match=f"language is 'fr': use one of {', '.join(locale.languages())}"):
        Report(tmp_path, language="fr")
