"""Which machines a report is of: any part of a device's name or slug, and several."""
import pytest
from saved_runs import save_run

from genlib.report import Report

DEVICES = {"two": "Xeon, 2 cores", "four": "Xeon, 4 cores", "tesla-t4": "Tesla T4",
           "nvidia-geforce-rtx-3060-laptop-gpu": "NVIDIA GeForce RTX 3060 Laptop GPU", "nvidia-a100": "NVIDIA A100",
           "nvidia-a100-sxm4-40gb": "NVIDIA A100-SXM4-40GB", "cpu-amd-epyc": "AMD EPYC"}  # measured in this order


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for i, (slug, device) in enumerate(DEVICES.items()):
        for weights in ("random", "published")[:1 + (slug != "nvidia-a100-sxm4-40gb")]:
            run = save_run(folder, "stylegan2-ada", [0.1, 0.2], machine=slug, weights=weights)
            run.machine.device, run.started = device, f"202{i}-01-01T00:00:00+00:00"
            run.save()
    return folder


@pytest.mark.parametrize("asked, of, beside", [
    ("", "cpu-amd-epyc", set(DEVICES)), ("t4", "tesla-t4", {"tesla-t4"}), ("RTX 3060", "nvidia-geforce-rtx-3060-laptop-gpu", None),
    ("Epyc", "cpu-amd-epyc", None), ("nvidia", "nvidia-a100-sxm4-40gb", {slug for slug in DEVICES if "nvidia" in slug}),
    ("nvidia-a100", "nvidia-a100", None), ("NVIDIA A100", "nvidia-a100", None), ("a100", "nvidia-a100-sxm4-40gb", None),
    ("t4, epyc", "tesla-t4", {"tesla-t4", "cpu-amd-epyc"}), ("a100,t4,", "nvidia-a100-sxm4-40gb", None),
    ("xeon,  2 cores", "two", {"two"}), ("tesla  T4", "tesla-t4", {"tesla-t4"})])
def test_a_machine_is_found_by_any_part_of_its_name_and_the_report_is_of_the_first(folder, asked, of, beside):
    report = Report(folder, machine=asked)
    assert report.summary["machine"].unique().tolist() == [of]
    assert beside is None or set(report.machines) == beside


def test_of_several_the_report_is_of_the_first_that_has_the_weights(folder):
    assert Report(folder, machine="a100", weights="published").summary["machine"].iloc[0] == "nvidia-a100"
    assert Report(folder, machine="sxm4, t4", weights="published").summary["machine"].iloc[0] == "tesla-t4"


@pytest.mark.parametrize("asked, named", [("h200", "h200"), ("t4, h200", "h200"), ("TESLA T4, 4090", "4090")])
def test_a_part_that_fits_no_machine_is_refused_with_what_there_is(folder, asked, named):
    with pytest.raises(ValueError, match=f"^there is no run of {named}; there are: cpu-amd-epyc · .*tesla-t4 · "):
        Report(folder, machine=asked)


@pytest.mark.parametrize("asked, resembles", [(dict(machine="T4, a101"), "a100"), (dict(weights="publishd"), "published"),
                                              (dict(machine="t4", profile="thesys"), "thesis")])
def test_a_misspelt_machine_weights_or_profile_is_refused_with_the_one_that_it_resembles(folder, asked, resembles):
    with pytest.raises(ValueError, match=rf"^there is no run of .* \(did you mean {resembles!r}\?\); there are: "):
        Report(folder, **asked)


def test_a_slug_with_a_comma_in_it_is_one_machine(tmp_path):
    for machine in "a,b", "a", "b":
        save_run(tmp_path, "stylegan2-ada", [0.1], machine=machine)
    assert list(Report(tmp_path, machine="a,b").machines) == ["a,b"]
