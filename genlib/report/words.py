"""Every label that a reader of tables and figures sees, in English and Ukrainian, and how each language writes a number."""
from math import floor, log10

LANGUAGES = ("en", "uk")
MISSING = "—"
WORDS = {  # key: (English, Ukrainian)
    "model": ("Model", "Модель"),
    "time_s": ("Generation time (s)", "Час генерації (сек.)"),
    "vram_peak_bytes": ("VRAM use (MB)", "Використання VRAM (MB)"),
    "ram_bytes": ("RAM use (MB)", "Використання RAM (MB)"),
    "n": ("n", "n"),
    "stable-diffusion": ("Stable Diffusion", "Stable Diffusion"),
    "vae-as-in-thesis": ("Variational Autoencoders", "Variational Autoencoders"),
    "vae-round-trip": ("VAE alone", "Лише VAE"),
    "stylegan2-ada": ("Generative Adversarial Networks", "Generative Adversarial Networks"),
    "stable-diffusion.short": ("Stable Diffusion", "Stable Diffusion"),
    "vae-as-in-thesis.short": ("VAE (+SD)", "VAE (+SD)"),
    "vae-round-trip.short": ("VAE", "VAE"),
    "stylegan2-ada.short": ("StyleGAN2 ADA", "StyleGAN2 ADA"),
    "caption": ("Table {number} – Comparison of the results", "Таблиця {number} – Порівняльна таблиця результатів"),
    "caption_beside": ("This run beside the thesis’s published figures",
                       "Цей запуск поряд з опублікованими показниками дипломної роботи"),
    "this_run": ("this run", "цей запуск"),
    "thesis": ("thesis", "дипломна робота"),
    "ratio": ("ratio", "відношення"),
    "reading": ("Reading", "Показник"),
    "note": (
        "{device}; {weights}; profile “{profile}”; {dtype}. Mean ± standard deviation, n = {n}. 1 MB = 1024² bytes. {doubt}",
        "{device}; {weights}; профіль «{profile}»; {dtype}. Середнє ± стандартне відхилення, n = {n}. 1 MB = 1024² байтів. {doubt}"),
    "no_vram": ("This machine has no GPU, hence no VRAM.", "Ця машина не має графічного процесора, тому відеопам’ять не вимірюється."),
    "demo": ("demonstration weights", "демонстраційні ваги"),
    "random": ("random weights at full size", "випадкові ваги повного розміру"),
    "published": ("published weights", "опубліковані ваги"),
    "none": ("no model", "без моделі"),
    "demo_doubt": (
        "These are small models for trying things out: their figures say nothing of the published ones.",
        "Це малі моделі для ознайомлення: їхні показники нічого не кажуть про опубліковані моделі."),
    "random_doubt": ("The pictures are noise, the time and memory real.", "Зображення є шумом, а час і пам’ять справжні."),
    "published_doubt": ("", ""),
    "none_doubt": ("", ""),
    "not_measured": ("not measured on this machine", "на цій машині не виміряно"),
    "iteration": ("Iteration", "Ітерація"),
    "first_image": ("first image", "перше зображення"),
    "iterations_title": ("Time by iteration", "Час за ітераціями"),
    "profile": ("profile “{profile}”", "профіль «{profile}»"),
    "bars_title": ("Time and memory of an image", "Час і пам’ять на одне зображення"),
    "against_title": ("Time against memory", "Час і оперативна або відеопам’ять"),
    "pictures_title": ("Generated images of the iterations", "Згенеровані зображення у ході ітерацій"),
}


def say(key: str, language: str, **values) -> str:
    """The label `key` in a language, with its {places} filled. Raises ValueError for a language that is not known."""
    check(language)
    return WORDS[key][LANGUAGES.index(language)].format(**values).strip()


def check(language: str) -> None:
    """Raises ValueError unless the language is one of LANGUAGES."""
    if language not in LANGUAGES:
        raise ValueError(f"language is {language!r}: use one of {', '.join(LANGUAGES)}")


def number(value, digits: int, language: str) -> str:
    """A number with this many decimals, a comma for a point in Ukrainian; a dash for what is missing."""
    check(language)
    if value is None or value != value:  # NaN
        return MISSING
    return f"{value:.{digits}f}".replace(".", "." if language == "en" else ",")


def significant(value, digits: int, language: str) -> str:
    """A number with this many significant digits, never in powers of ten: times and ratios span from milliseconds to minutes."""
    if value is None or value != value or value == 0:
        return number(value, 0, language)
    return number(value, max(0, digits - 1 - floor(log10(abs(value)))), language)
