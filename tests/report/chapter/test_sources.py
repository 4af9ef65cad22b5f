"""Sources are listed as DSTU 8302:2015 asks and follow from the records alone; licences fit the models."""
import re
import unicodedata

import pytest
from hostile import TEXTS, png, save, with_text
from saved_runs import save_run

from genlib import device
from genlib.experiments import EXPERIMENTS
from genlib.locale import languages
from genlib.report import Report
from genlib.report.chapter.sources import ADDRESSES, GENLIB, METHODS, OF_ANSWERS, OF_FAMILIES, OF_SESSIONS, PAPERS, licences, sources

V1_4 = "CompVis/stable-diffusion-v1-4"
FFHQ = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/transfer-learning-source-nets/ffhq-res512-mirror.pkl"
CATS = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/afhqcat.pkl"
START = "2026-03-04T05:06:07+00:00"


def report_of(folder, experiment="stable-diffusion", *, source=V1_4, revision=None, sha256=None, packages=None, commit=None,
              started=START, language="en", **changes):
    """A report of one more run in a folder."""
    run = save_run(folder, experiment, [2.0, 2.1], **changes)
    run.model.source, run.model.revision, run.model.sha256 = source, revision, sha256
    run.machine.packages, run.machine.commit, run.started = packages or {}, commit, started
    run.save()
    return Report(folder, language=language)


# --- papers

def test_the_papers_of_every_experiment_and_method_are_known_and_no_paper_is_of_none_of_them():
    assert {key for entry in EXPERIMENTS for key in entry.papers} | {*METHODS, *OF_SESSIONS, *OF_ANSWERS, *OF_FAMILIES} == set(PAPERS)
    assert all(entry.papers for entry in EXPERIMENTS)


def test_up_to_three_authors_stand_before_the_title_and_of_more_the_first_behind_it(tmp_path):
    entries = sources(report_of(tmp_path))
    assert entries["brown1974"] == (
        "Brown M. B., Forsythe A. B. Robust Tests for the Equality of Variances. Journal of the American Statistical Association. 1974. "
        "Vol. 69, No. 346. P. 364–367. DOI: 10.1080/01621459.1974.10482955.")
    assert entries["rombach2022"] == (
        "High-Resolution Image Synthesis with Latent Diffusion Models / R. Rombach et al. Proceedings of the IEEE/CVF Conference on "
        "Computer Vision and Pattern Recognition. 2022. P. 10684–10695. DOI: 10.1109/CVPR52688.2022.01042.")
    assert entries["student1908"].startswith("Student. The Probable Error of a Mean. Biometrika. 1908."), "one full stop"


@pytest.mark.parametrize("language, accessed", [("en", "(accessed 2026-03-04)."), ("uk", "(дата звернення: 04.03.2026).")])
def test_a_preprint_has_its_address_and_the_date_on_which_the_newest_run_started(tmp_path, language, accessed):
    report_of(tmp_path, "stylegan2-ada", started="2026-03-01T05:06:07+00:00")
    entry = sources(report_of(tmp_path, language=language))["ho2022"]
    assert entry == f"Ho J., Salimans T. Classifier-Free Diffusion Guidance. arXiv. 2022. URL: https://arxiv.org/abs/2207.12598 {accessed}"


def test_without_a_start_there_is_no_date_of_access(tmp_path):
    assert sources(report_of(tmp_path, started="published"))["ho2022"].endswith("URL: https://arxiv.org/abs/2207.12598")


def test_a_paper_has_authors_with_initials_and_one_way_to_be_found():
    for key, paper in PAPERS.items():
        assert all(re.fullmatch(r"(van den )?[A-Z][\w-]+( [A-Z]\.)+|Student", author) for author in paper.authors.split(", ")), key
        assert (bool(paper.doi) != bool(paper.url) or "Vol." in paper.place) and re.fullmatch(r"10\.\d{4}/\S+|", paper.doi), key
        assert key.startswith(re.match(r"\w+", paper.authors)[0].lower()) and str(paper.year) in key


# --- models and packages

@pytest.mark.parametrize("changes, entry", [
    (dict(revision="133a"), "weights of a neural network. Revision 133a. URL: https://huggingface.co/CompVis/stable-diffusion-v1-4 "
                            "(accessed 2026-03-04)."),
    (dict(source=FFHQ, sha256="a205"), f"weights of a neural network. SHA-256: a205. URL: {FFHQ} (accessed 2026-03-04)."),
    (dict(source="mine.safetensors", sha256="a205"), "weights of a neural network. SHA-256: a205. File or folder mine.safetensors."),
    (dict(weights="demo"), "small demonstration models of these kinds, a part of genlib."),
], ids=["of the Hub", "of an address", "of a file", "demo"])
def test_a_models_entry_says_what_was_loaded_and_where_it_is_from(tmp_path, changes, entry):
    assert sources(report_of(tmp_path, **changes))["model1"] == f"Stable Diffusion v1-4: {entry}"


def test_weights_of_one_place_are_one_source_and_random_ones_are_none(tmp_path):
    report_of(tmp_path / "a", "vae-round-trip", model="VAE of Stable Diffusion v1-4")
    entries = sources(report_of(tmp_path / "a"))
    assert entries["model1"].startswith("Stable Diffusion v1-4, VAE of Stable Diffusion v1-4: ") and "model2" not in entries
    assert "model1" not in sources(report_of(tmp_path / "b", weights="random", source="seed 0"))


def test_packages_have_their_versions_once_and_an_address_where_the_project_is_known(tmp_path):
    report_of(tmp_path, "stylegan2-ada", packages={"genlib": "0.1.0", "torch": "2.11.0", "mine": "1.0"}, commit="abc")
    entries = sources(report_of(tmp_path, packages={"torch": "2.13.0+cpu"}, commit="abc"))
    assert [entry for key, entry in entries.items() if key.startswith("package")] == [
        "genlib: software, version 0.1.0. Commit abc.",
        "torch: software, versions 2.13.0+cpu, 2.11.0. URL: https://pytorch.org (accessed 2026-03-04).",
        "mine: software, version 1.0."]


def test_genlib_is_a_source_even_where_it_ran_from_its_folder(tmp_path):
    assert sources(report_of(tmp_path, commit="abc"))["package1"] == "genlib: software. Commit abc."


# --- the list as a whole

def test_the_list_follows_from_the_records_and_keeps_its_order(tmp_path):
    report_of(tmp_path, "stylegan2-ada", source=FFHQ, model="StyleGAN2-ADA 512 px")
    report = report_of(tmp_path, packages={"torch": "2.13.0"})
    first = sources(report)
    assert list(first.items()) == list(sources(Report(tmp_path)).items())
    diffusion, gan = EXPERIMENTS[0].papers, EXPERIMENTS[-1].papers
    assert list(first) == [*diffusion, *gan, *METHODS, "model1", "model2", "package1", "package2"]


def test_an_experiment_without_an_entry_has_no_papers_and_a_run_without_a_model_no_model(tmp_path):
    run = save_run(tmp_path, "who-knows", [2.0, 2.1])
    run.model, run.weights, run.profile = None, "none", "none"
    run.save()
    report = Report(tmp_path)
    assert list(sources(report)) == [*METHODS, "package1"] and licences(report) == []


def test_ukrainian_entries_have_ukrainian_words_and_keep_an_english_papers_abbreviations(tmp_path):
    entries = sources(report_of(tmp_path, revision="133a", packages={"torch": "2.13.0"}, language="uk"))
    assert entries["package2"] == "torch : програмне забезпечення. Версія 2.13.0. URL: https://pytorch.org (дата звернення: 04.03.2026)."
    assert entries["model1"].startswith("Stable Diffusion v1-4 : ваги нейронної мережі. Ревізія 133a. URL: ")
    assert "et al." in entries["rombach2022"] and "P. 10684–10695" in entries["rombach2022"]


@pytest.mark.parametrize("name", TEXTS)
def test_text_of_a_record_is_in_the_entries_as_plain_text_on_one_line(tmp_path, name):
    made = with_text(TEXTS[name])
    made["model"] |= dict(revision=TEXTS[name], sha256=TEXTS[name])
    made["machine"]["commit"] = TEXTS[name]
    save(tmp_path / "run", made, png())
    report = Report(tmp_path)
    entries = sources(report)
    for text in [*entries.values(), *licences(report)]:
        assert not [letter for letter in text if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}], text
    assert all(re.fullmatch(r"[a-z]+\d+[a-z]*", key) for key in entries), "keys go into links"


# --- licences

@pytest.mark.parametrize("changes, begins", [
    (dict(), ["Stable Diffusion v1-4 and its VAE"]), (dict(source=CATS), ["NVIDIA’s networks"]),
    (dict(source=FFHQ), ["NVIDIA’s networks", "The FFHQ network"]), (dict(weights="demo"), ["The demonstration models"]),
    (dict(weights="random"), ["Networks with random weights"]), (dict(source="me/mine"), ["The record of the run does not say"]),
    (dict(variant="photograph"), ["Stable Diffusion v1-4 and its VAE", "The photograph"]),
    (dict(settings=dict(original="photograph")), ["Stable Diffusion v1-4 and its VAE", "The photograph"]),
], ids=["v1-4", "cats", "faces", "demo", "random", "unknown", "photograph", "original"])
def test_each_models_licence_is_said_and_no_other(tmp_path, changes, begins):
    said = licences(report_of(tmp_path, **changes))
    assert len(said) == len(begins) and all(sentence.startswith(begin) for sentence, begin in zip(said, begins, strict=True))


@pytest.mark.parametrize("language", languages())
def test_a_licence_of_several_models_is_said_once(tmp_path, language):
    report_of(tmp_path, "vae-round-trip")
    assert len(licences(report_of(tmp_path, language=language))) == 1


def test_every_package_whose_version_is_recorded_has_its_projects_address():
    assert set(device.PACKAGES) - {GENLIB} <= set(ADDRESSES)
