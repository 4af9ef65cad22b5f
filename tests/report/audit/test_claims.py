"""The claims of the published comparison: a verdict on each, and what carries it."""
import pytest
from saved_runs import MB, save_answers, save_run

from genlib.locale import languages
from genlib.report import Report

FASTEST, REAL_TIME, GAN_WEAK = "StyleGAN2-ADA is the fastest", "StyleGAN2-ADA is fast enough for real time", \
    "StyleGAN2-ADA suits weak machines"
WEAK, QUICK, SMALL = "Stable Diffusion is not for weak machines", "The VAE is light in time", "The VAE is light in memory"
DETAIL, STEADY = "The VAE’s images are less detailed", "The time of StyleGAN2-ADA is stable"
MEASURED = {  # runs that carry each claim which runs can carry
    "stable-diffusion": dict(times=[7.9, 8.0, 7.9], vram=5000 * MB, readings=dict(vram_device_bytes=5600 * MB)),
    "vae-as-in-thesis": dict(times=[8.0, 8.1, 8.0]),
    "vae-round-trip": dict(times=[0.10, 0.11, 0.10], vram=700 * MB, quality=dict(psnr_db=31.0)),
    "stylegan2-ada": dict(times=[0.030, 0.0302, 0.030], readings=dict(vram_device_bytes=900 * MB)),
}
ON_THIS_MACHINE = {FASTEST, REAL_TIME, GAN_WEAK, WEAK, QUICK, SMALL, DETAIL, STEADY, "The time of Stable Diffusion is stable",
                   "The time of VAE (+SD) is stable"}
BY_PUBLICATION = {FASTEST: "supported", REAL_TIME: "contradicted", GAN_WEAK: "supported", QUICK: "supported",
                  "The time of Stable Diffusion is stable": "supported", "The time of VAE (+SD) is stable": "supported"}


def claims(folder, changes=None, *, all_runs=None):
    """The table of MEASURED with changes to some runs and to all."""
    for experiment, values in MEASURED.items():
        save_run(folder, experiment, **values | (all_runs or {}) | (changes or {}).get(experiment, {}))
    return Report(folder).table("claims").data.set_index("Claim")


def test_runs_at_full_size_carry_the_claims_for_their_machine_and_the_rest_stays_with_the_publication(tmp_path):
    table = claims(tmp_path)
    assert set(table.index[table["Verdict"] == "supported on this machine"]) == ON_THIS_MACHINE
    for claim in ON_THIS_MACHINE:
        assert table.loc[claim, "Evidence"].startswith("Tesla T4, n = 3: "), claim
    rest = table.drop(list(ON_THIS_MACHINE))["Verdict"].tolist()
    assert rest == ["contradicted"] + ["not tested"] * 4


@pytest.mark.parametrize("claim, run, change, verdict, figures", [
    (FASTEST, "stylegan2-ada", dict(times=[9.0, 9.1, 9.0]), "contradicted on this machine", "VAE alone 0.0890 … 0.118 s"),
    (FASTEST, "stylegan2-ada", dict(times=[7.0, 9.0, 8.0]), "contradicted on this machine", "5.52 … 10.5 s"),  # by the VAE alone
    (FASTEST, "stylegan2-ada", dict(times=[0.08, 0.15, 0.08]), "supported", "Published: "),
    (FASTEST, "stylegan2-ada", dict(model="StyleGAN2-ADA 256 px"), "supported", "Published: "),
    (DETAIL, "vae-round-trip", dict(model="VAE of stabilityai/sdxl-turbo"), "not tested (another model)", "no quality"),
    (FASTEST, "stylegan2-ada", dict(times=[0.03]), "supported", "Published: "),
    (REAL_TIME, "stylegan2-ada", dict(times=[0.15, 0.16, 0.15]), "contradicted on this machine", "0.139 … 0.168 s an image"),
    (REAL_TIME, "stylegan2-ada", dict(times=[0.03, 0.05, 0.04]), "contradicted", "Published: 0.15 s, or 6.7 images"),
    (GAN_WEAK, "stylegan2-ada", dict(readings=dict(vram_device_bytes=4097 * MB)), "contradicted on this machine", "4097 MB"),
    (WEAK, "stable-diffusion", dict(readings=dict(vram_device_bytes=3000 * MB)), "contradicted on this machine", "at most 3000 MB"),
    (QUICK, "vae-round-trip", dict(times=[9.0, 9.1, 9.0]), "contradicted on this machine", "VAE alone 8.89 … 9.18 s"),
    (SMALL, "vae-round-trip", dict(vram=6000 * MB), "contradicted on this machine", "VAE alone 6000 MB; Stable Diffusion 5000 MB"),
    (DETAIL, "vae-round-trip", dict(quality=dict(psnr_db=46.0)), "contradicted on this machine", "PSNR 46.0 dB"),
    (STEADY, "stylegan2-ada", dict(times=[1.0, 2.0, 3.0] * 4), "contradicted on this machine", "by 43 % (95 % interval 30 … 72 %)"),
    (STEADY, "stylegan2-ada", dict(times=[1.0, 1.1]), "not tested", "95 % interval"),
])
def test_other_measurements_give_another_verdict(tmp_path, claim, run, change, verdict, figures):
    row = claims(tmp_path, {run: change}).loc[claim]
    assert row["Verdict"] == verdict and figures in row["Evidence"]


@pytest.mark.parametrize("change, reason", [
    (dict(weights="demo"), "demonstration weights"), (dict(model="stabilityai/sdxl-turbo"), "another model"),
    (dict(settings=dict(steps=2)), "2 steps instead of 50")])
def test_runs_unlike_the_published_ones_carry_no_claim(tmp_path, change, reason):
    """Those of the GAN, which denoises nothing and has one model, only where its weights are small."""
    diffusion = {name: change for name in MEASURED if name != "stylegan2-ada" or "weights" in change}
    table = claims(tmp_path, diffusion)
    by_diffusion = [FASTEST, QUICK, "The time of Stable Diffusion is stable"]
    for claim in by_diffusion + [WEAK, SMALL] * ("settings" not in change) + [DETAIL, STEADY, REAL_TIME, GAN_WEAK] * (
            "weights" in change):  # memory takes any number of steps
        assert table.loc[claim, "Verdict"] == BY_PUBLICATION.get(claim, f"not tested ({reason})"), claim


def test_random_weights_carry_time_and_memory_but_no_picture(tmp_path):
    table = claims(tmp_path, all_runs=dict(weights="random"))
    assert table.loc[DETAIL, "Verdict"] == "not tested (random weights at full size)"
    assert set(table.index[table["Verdict"] == "supported on this machine"]) == ON_THIS_MACHINE - {DETAIL}


def test_ram_tells_who_is_for_weak_machines_only_where_there_is_no_gpu(tmp_path):
    none = dict(vram_device_bytes=None, ram_peak_bytes=5000 * MB)
    on_gpu = claims(tmp_path / "gpu", all_runs=dict(readings=none))
    assert on_gpu.loc[GAN_WEAK, ["Verdict", "Evidence"]].tolist() == [
        "supported", "Published: 400 MB of VRAM, a peak that was never reset, so that an image takes no more."]
    table = claims(tmp_path / "cpu", all_runs=dict(readings=none, vram=None, machine="cpu"))
    assert table.loc[GAN_WEAK, "Verdict"] == "contradicted on this machine" and "process held at most 5000 MB" in table.loc[WEAK].iloc[-1]
    assert table.loc[SMALL, "Verdict"] == "not tested"


def test_without_any_row_of_table_1_the_publication_is_judged_all_the_same(tmp_path):
    save_run(tmp_path, "stylegan2-ada", [0.1, 0.1], variant="batch-2", settings=dict(batch_size=2))
    table = Report(tmp_path).table("claims").data.set_index("Claim")
    assert {claim: verdict for claim, verdict in table["Verdict"].items() if claim in BY_PUBLICATION} == BY_PUBLICATION
    assert table.loc[SMALL, "Verdict"] == table.loc[WEAK, "Verdict"] == "not tested (no such run)", "it may fit in half precision"


@pytest.mark.parametrize("order", [1, -1])
def test_the_session_that_knows_what_the_device_held_tells_it_whichever_comes_first(tmp_path, order):
    for day, held in enumerate([5000 * MB, None][::order], 1):
        save_run(tmp_path, "stylegan2-ada", [1.0, 1.0], readings=dict(vram_device_bytes=held), started=f"2031-01-0{day}T10:00:00+00:00")
    row = Report(tmp_path).table("claims").data.set_index("Claim").loc[GAN_WEAK]
    assert row["Verdict"] == "contradicted on this machine" and "5000 MB" in row["Evidence"]


def test_over_several_sessions_a_steady_time_is_one_of_their_means(tmp_path):
    for hour, time in enumerate((1.0, 1.3, 1.6), 10):
        save_run(tmp_path, "stylegan2-ada", [time, time * 1.01, time * 0.99], started=f"2031-01-01T{hour}:00:00+00:00")
    row = Report(tmp_path).table("claims").data.set_index("Claim").loc[STEADY]
    assert "n = 3 × 3" in row["Evidence"] and "supported" not in row["Verdict"]


def test_beside_a_published_verdict_that_runs_leave_open_stands_what_they_show(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0, 1.1, 0.8], settings=dict(steps=50, prompt=""))
    row = Report(tmp_path).table("claims").data.set_index("Claim").loc["The time of Stable Diffusion is stable"]
    assert row["Verdict"] == "supported" and row["Evidence"].startswith("The published times") and "by 16 % (95 %" in row["Evidence"]


@pytest.mark.parametrize("made, truth, verdict", [
    (1.0, "stylegan2-ada", "supported"), (0.0, "stylegan2-ada", "contradicted"), (0.0, "stylegan2-ada-demo", "not tested")])
def test_people_who_saw_published_weights_carry_that_faces_are_hard_to_tell_from_photographs(tmp_path, made, truth, verdict):
    claims(tmp_path)
    save_answers(tmp_path, {"photograph": 1.0, truth: made, "stable-diffusion": 0.0}, people=5, pictures=20)
    table = Report(tmp_path).table("claims").data.set_index("Claim")
    assert table.loc["Stable Diffusion draws images of high quality", "Evidence"].startswith("People gave them 3.0 of 5")
    row = table.loc["Faces by StyleGAN2-ADA are hard to tell from photographs"]
    assert row["Verdict"] == verdict
    figures = f"Taken for photographs: {100 * made:.0f} % of them and 100 % of the photographs; difference "
    assert row["Evidence"].startswith(figures) == (verdict != "not tested")


@pytest.mark.parametrize("language", languages())
def test_no_cell_is_longer_than_one_reads(tmp_path, language):
    claims(tmp_path)
    report = Report(tmp_path, language=language)
    assert max(len(cell) for cell in report.table("claims").data.to_numpy().ravel()) <= 250
    assert max(len(cell) for cell in report.table("audit").data.to_numpy().ravel()) <= 400
