"""Scored sets of pictures: which stand beside each other, the table, what quality costs, strangers' files."""
import pytest
from saved_runs import save_run

from genlib.report import Report
from genlib.scores import Against, Drawn, Figure, Scores

AGAINST = Against("held-out", 500, "a" * 64)
DEMO = dict(weights="demo", profile="tuned", dtype="float32", machine="tesla-t4", device="Tesla T4")


def save_set(folder, name, distance, time_s, *, against=AGAINST, network="reader", revision="r1", spread=1.0, settings=None, figures=None,
             scored="2026-11-01T00:00:00+00:00", **drawn):
    """A scored set of a model, by its Fréchet distance with an interval of `spread` to each side."""
    known = dict(experiment="stable-diffusion", model="Stable Diffusion demo", timed=300) | DEMO | drawn
    if figures is None:
        figures = {f"frechet_{network}": Figure(distance, distance - spread, distance + spread, 300, 100),
                   f"kid_{network}": Figure(distance / 1000, distance / 1100, distance / 900, 300, 100)}
    place = folder / "sets" / name
    place.mkdir(parents=True, exist_ok=True)
    found = Scores(name, 300, scored, Drawn(settings=settings or {}, time_s=time_s, **known), against, {network: revision}, figures)
    found.save(place)
    return found


def save_sets(folder):
    """Stable Diffusion by steps and guidance, StyleGAN2 by psi, as `generate` draws them."""
    for steps, distance in {5: 40.0, 10: 22.0, 20: 12.0, 50: 10.5}.items():
        save_set(folder, f"sd-steps-{steps}", distance, 0.01 * steps, settings=dict(steps=steps, guidance_scale=3.0))
    for scale, distance in {1.0: 25.0, 6.0: 14.0}.items():
        save_set(folder, f"sd-guidance-{scale:g}", distance, 0.3 if scale == 1 else 0.51, settings=dict(steps=50, guidance_scale=scale))
    for psi, distance in {0.3: 60.0, 0.7: 20.0, 1.0: 9.0}.items():
        save_set(folder, f"sg-psi-{psi:g}", distance, 0.004, settings=dict(truncation_psi=psi, noise_mode="const"),
                 experiment="stylegan2-ada", model="StyleGAN2-ADA 64 px")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored")
    save_run(folder, "stable-diffusion", [1.0, 1.1], weights="demo")
    return save_sets(folder)


def test_look(folder):
    report = Report(folder)
    print(report.table("scores"))
    print(report.figures)
    print(report.conclusions())
    for lang in "en", "uk":
        Report(folder, language=lang).figure("cost_of_quality").save(f"/tmp/fr-{lang}", ["png"])
    assert 0
