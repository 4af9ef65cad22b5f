"""The translations: every sentence with the same places, in the units and words that were agreed on."""
import re

import pytest
from babel.messages.pofile import read_po

from genlib.locale import ENGLISH, FOLDER, N_, Language, languages

TRANSLATIONS = [code for code in languages() if code != ENGLISH]
HEADINGS = {"Generation time (s)", "VRAM use (MB)", "RAM use (MB)"}  # of Table 1, which keep the thesis's own units
EXPLAINED = {  # what those headings' MB are
    "1 MB = 1024² bytes.", "The listing divides by 1024³ and prints MB: {given} of these units are {mb} MB."}
ROWS = {"Variational Autoencoders", "Generative Adversarial Networks"}  # of Table 1, which keep the thesis's names
NAMES = {
    "Stable", "Diffusion", "StyleGAN2-ADA", "VAE", "SD", "U-Net", "PNDM", "CLIP", "CLIP-IQA",  # of models
    "PSNR", "SSIM", "KID", "LPIPS",  # of measures
    "VRAM", "RAM", "RSS", "MB", "NaN", "R²", "n", "p", "g", "C",  # that stand in tables and formulas
    "p50", "p95",  # of percentiles
    *"GPUtil PyTorch Python genlib make gpu cards survey record score nvidia-smi".split(),  # of programs
    *"run.json float16 float32 dtype='float32'".split(),
    "NVIDIA", "T4", "NASA", "FFHQ", "Flickr", "v1-4", "URL", "MIT", "CC", "BY-NC-SA",  # of sources and licences
    "JavaScript", "Chrome", "Firefox", "Safari", "Enter",  # of browsers, and of a key
    *"CreativeML Open RAIL-M Source Code License".split()}
OTHER_WORDS = {  # calques and second names, and what a thing is called instead
    "машин": "комп’ютер", r"тут\b": "на цьому комп’ютері, once for all rows", r"(?:пік|піку)\b": "пікове значення",
    "розподілювач": "розподільник пам’яті", "забрак": "нестача пам’яті", "латент(?!н)": "латентний вектор", "промпт|підказк": "запит",
    "дипломн": "the report’s parameter", "сесі": "сеанс", r"95-відсотков\w+ (?!довірч)": "95-відсотковий довірчий інтервал",
    "рандом": "модель із випадковими ефектами", "оточенн": "за інших умов"}


def forms(text) -> tuple:
    """The one form of a sentence, or its singular and plurals."""
    return text if isinstance(text, tuple) else (text,)


def messages(code):
    """Every message of a language: its context, its English forms, its forms in that language."""
    with (FOLDER / code / "LC_MESSAGES" / "genlib.po").open("rb") as file:
        catalogue = read_po(file, abort_invalid=True)
    return [(message.context, forms(message.id), forms(message.string)) for message in catalogue if message.id]


@pytest.mark.parametrize("code", TRANSLATIONS)
def test_every_form_of_a_sentence_has_the_same_places(code):
    for _, english, translated in messages(code):
        assert len({frozenset(re.findall(r"{\w*}", text)) for text in english + translated}) == 1, english
        assert all(english) and all(translated), english


def test_ukrainian_units_are_of_one_alphabet_but_for_the_thesiss_own_headings():
    for context, (english, *_), translated in messages("uk"):
        found = {unit for text in translated for unit in
                 re.findall(r"(?<=[ (}])(?:s|MB|GB|GiB|J|dB|h|(?:GFLOP)(?:/.)?|сек\.)(?=[ ,.;:)\n]|$)", text)}
        assert found <= ({"MB", "сек."} if english in HEADINGS else {"MB"} if english in EXPLAINED else set()), english
        if context == "unit" and english != "°C":
            assert not re.search("[A-Za-z]", translated[0]), english


@pytest.mark.parametrize("code", TRANSLATIONS)
def test_nothing_is_said_of_noise_since_random_weights_of_a_gan_draw_smooth_blobs(code):
    said = [text for _, english, translated in messages(code) for text in english + translated]
    assert len(said) > 300 and not [text for text in said if re.search(r"\bnoise\b|\bшум", text)]


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="language is 'fr': use one of en, "):
        Language("fr")


def test_a_word_is_translated_in_its_context_and_a_count_has_its_own_plural():
    ukrainian = Language("uk")
    assert ukrainian.say(N_("s", "unit")) == "с" and ukrainian.say("s") == "s"
    counted = [ukrainian.count("{steps} step", "{steps} steps", n, steps=n) for n in (1, 2, 5, 11, 21, 22)]
    assert counted == ["1 крок", "2 кроки", "5 кроків", "11 кроків", "21 крок", "22 кроки"]
    assert [Language("en").count("{steps} step", "{steps} steps", n, steps=n) for n in (1, 2)] == ["1 step", "2 steps"]


def ukrainian():
    """Every Ukrainian form, with its English; a sign instead of each place."""
    return [(english[0], re.sub(r"{\w*}", "№", text)) for _, english, translated in messages("uk") for text in translated]


@pytest.mark.parametrize("code", TRANSLATIONS)
def test_no_sentence_is_translated_twice(code):
    text = (FOLDER / code / "LC_MESSAGES" / "genlib.po").read_text(encoding="utf-8")
    joined = [entry.replace('"\n"', "") for entry in re.findall(r'^(?:msgctxt .*\n)?msgid (?:".*"\n)+', text, re.M)]
    assert len(joined) > 150 and len(joined) == len(set(joined))


def test_ukrainian_holds_no_foreign_words_but_names():
    words = [re.findall(r"[A-Za-z][\w.'=-]*", text) for english, text in ukrainian() if english not in HEADINGS | ROWS]
    assert {word.rstrip(".") for found in words for word in found} - NAMES == set()


def test_ukrainian_has_ukrainian_signs():
    wrong = re.compile(r"""[А-яіїєґ]['`][А-яіїєґ]|"|“|”|(?<=\s)[-—](?=\s)|\.\.\.|\d%|\s[,.;]|  """)
    assert [text for _, text in ukrainian() if wrong.search(text.replace("dtype='float32'", "№"))] == []


@pytest.mark.parametrize("word, instead", OTHER_WORDS.items())
def test_a_thing_has_one_ukrainian_name(word, instead):
    assert [text for _, text in ukrainian() if re.search(rf"(?i)\b(?:{word})", text)] == [], instead
