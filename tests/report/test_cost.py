"""What many images cost at the best of what was measured, and what a service has to reckon with."""
import pytest
from saved_runs import save_run

from genlib.locale.numbers import MISSING
from genlib.report import Limits, Report
from genlib.report.tables import cost

THIN = "\N{NARROW NO-BREAK SPACE}"
TIMES = {"stable-diffusion": [8.0, 8.1, 8.2], "vae-round-trip": [0.1, 0.2, 0.3], "stylegan2-ada": [0.02, 0.02, 0.02]}
GAN = "stylegan2-ada"


@pytest.fixture
def folder(tmp_path):
    for experiment, times in TIMES.items():
        save_run(tmp_path / "runs", experiment, times)
    return tmp_path / "runs"


@pytest.fixture
def count(monkeypatch):
    """Asks for the cost of so many images."""
    return lambda *counts: monkeypatch.setattr(cost, "COUNTS", counts)


def table(folder, name="cost", **options):
    return Report(folder, **options).table(name)


def data(folder, name="cost", **options):
    return table(folder, name, **options).data


# --- many images of one call each

def test_the_cost_of_many_images_follows_from_the_mean_time_and_energy(tmp_path, count):
    save_run(tmp_path, GAN, [3.6, 3.6], readings=dict(energy_j=360.0))
    count(10**6)
    row = data(tmp_path, price_per_hour=2.0, price_per_kwh=0.5, limits=Limits(deadline_h=100)).iloc[0]
    assert list(row) == [text.replace(" ", THIN) for text in ("StyleGAN2-ADA", "1", "1 000 000", "1 000", "1 000", "100", "10", "2 050")]


def test_money_needs_a_price_which_the_note_says_and_energy_where_that_has_one(folder):
    assert not {"Money", "kWh"} & {*data(folder), *data(folder, price_per_hour=1.0, price_per_kwh=1.0)}
    assert MISSING not in set(data(folder, price_per_hour=1.0)["Money"])
    note = table(folder, price_per_hour=1.5).note
    assert "Prices: 1.50 for an hour of a device, 0 for a kWh." in note and "Prices" not in table(folder).note
    save_run(folder, GAN, [9.0, 9.1], readings=dict(energy_j=5.0))
    assert MISSING in set(data(folder, price_per_kwh=1.0)["Money"])


@pytest.mark.parametrize("wrong", [dict(price_per_hour=-1.0), dict(price_per_kwh=float("nan"))])
def test_a_price_below_zero_is_refused(folder, wrong):
    with pytest.raises(ValueError, match="use prices from 0 up"):
        Report(folder, **wrong)


@pytest.mark.parametrize("hours", [0, -1, float("nan"), float("inf")])
def test_no_deadline_is_refused(hours):
    with pytest.raises(ValueError, match="use a number of hours above 0"):
        Limits(deadline_h=hours)


def cost_of(folder, times):
    save_run(folder, "stable-diffusion", times)
    return list(data(folder, price_per_hour=1.0).iloc[0])[3:]


def test_cost_has_no_more_digits_than_the_interval_of_the_mean_bears(tmp_path, count):
    count(10**9)
    within_a_percent = cost_of(tmp_path / "a", [0.63564, 0.63565, 0.63563, 0.63564, 0.63564])
    assert within_a_percent == [text.replace(" ", THIN) for text in ("5 660", "177 000", "7 360", "177 000")]
    three_percent = cost_of(tmp_path / "b", [0.61, 0.66, 0.63, 0.65, 0.6282])
    assert three_percent == [text.replace(" ", THIN) for text in ("5 700", "180 000", "7 400", "180 000")]
    assert cost_of(tmp_path / "c", [0.63564])[0] == f"5{THIN}700", "of one time no interval is known"


def test_devices_are_rounded_up_and_few_are_counted(tmp_path, count):
    save_run(tmp_path, "stable-diffusion", [3.6, 3.6])
    count(25_000, 10_000_001)
    assert list(data(tmp_path, limits=Limits(deadline_h=1.0))["Devices for 1 h"]) == ["25", f"10{THIN}100"]


# --- the best measured batch and profile

def save_batches(folder, times, experiment=GAN, **changes):
    """The row of one image at a time, which the batch of 1 is, and each batch: the time of its call."""
    settings = changes.pop("settings", {})
    for n, time_s in times.items():
        more = dict(variant=f"batch-{n}", settings=settings | dict(batch_size=n)) if n > 1 else dict(settings=settings)
        save_run(folder, experiment, [time_s] * 3, **(dict(readings=dict(energy_j=100.0 * n)) | more | changes))


def test_a_model_is_priced_at_its_fastest_batch_and_energy_is_that_of_an_image_in_it(tmp_path, count):
    count(3600)
    save_batches(tmp_path, {1: 1.0, 2: 1.5, 4: 2.0, 8: 6.0})
    row = data(tmp_path, price_per_hour=10.0).iloc[0]
    assert row[["Batch", "Device hours", "kWh", "Money"]].tolist() == ["4", "0.500", "0.100", "5.00"]
    assert "profiles and batches: StyleGAN2-ADA – without optimisations, batch of 4 images." in table(tmp_path).note


def test_the_note_says_what_a_prompt_takes_where_none_was_priced(tmp_path):
    options = dict(settings=dict(steps=50, prompt=""), profile="tuned")
    save_run(tmp_path, "stable-diffusion", [0.4], **options)
    said = "is priced without a prompt; with one an image takes 0.600 s"
    assert said not in table(tmp_path).note
    save_run(tmp_path, "stable-diffusion", [0.6], variant="face-prompt", **options | dict(settings=dict(steps=50, prompt="a face")))
    assert said in table(tmp_path).note


def test_the_other_profile_of_the_machine_is_priced_where_it_is_faster_and_the_note_names_it(tmp_path, count):
    count(3600)
    save_batches(tmp_path, {1: 1.0, 2: 1.8}, profile="tuned")
    save_batches(tmp_path, {1: 2.0, 2: 3.0})
    for profile in "thesis", "tuned":
        row, note = data(tmp_path, profile=profile).iloc[0], table(tmp_path, profile=profile).note
        assert row[["Batch", "Device hours"]].tolist() == ["2", "0.900"] and "StyleGAN2-ADA – optimised (the same pictures), batch" in note


@pytest.mark.parametrize("other", [
    dict(weights="random"), dict(dtype="float32"), dict(model="another"), dict(settings=dict(truncation_psi=0.5)), dict(method="thesis")],
    ids=str)
def test_a_batch_of_other_weights_precision_model_or_settings_does_not_price_a_model(tmp_path, other):
    save_batches(tmp_path, {2: 0.1}, **other)
    save_batches(tmp_path, {1: 1.0})
    assert set(data(tmp_path, weights="published")["Batch"]) == {"1"}


def test_a_seed_changes_no_price(tmp_path):
    save_batches(tmp_path, {2: 0.1}, settings=dict(seed=1))
    save_batches(tmp_path, {1: 1.0}, settings=dict(seed=0))
    assert set(data(tmp_path)["Batch"]) == {"2"}


def test_batches_of_fewer_steps_give_an_estimate_by_the_share_that_an_image_in_them_takes_which_is_marked(tmp_path, count):
    """10 s alone; with 5 steps 2 s alone and 4 s for four, so half as long an image."""
    count(3600)
    for n, time_s in (1, 2.0), (4, 4.0):
        save_run(tmp_path, "stable-diffusion", [time_s] * 3, variant=f"batch-{n}", settings=dict(steps=5, batch_size=n),
                 readings=dict(energy_j=100.0 * n**0.5))
    save_run(tmp_path, "stable-diffusion", [10.0] * 3, settings=dict(steps=50), readings=dict(energy_j=1000.0))
    row = data(tmp_path).iloc[0]
    assert row[["Batch", "Device hours", "kWh"]].tolist() == ["≈ 4", "5.0", "0.50"], "in two digits, though the spread is none"
    assert "≈ An estimate: the batches were measured with fewer steps" in table(tmp_path).note and "(5 steps)" in table(tmp_path).note


def test_without_a_batch_of_one_with_those_steps_nothing_is_estimated(tmp_path):
    save_run(tmp_path, "stable-diffusion", [4.0] * 3, variant="batch-4", settings=dict(steps=5, batch_size=4))
    save_run(tmp_path, "stable-diffusion", [10.0] * 3, settings=dict(steps=50))
    assert set(data(tmp_path)["Batch"]) == {"1"}


@pytest.mark.parametrize("size", [0, -2, 2.5, "2", None, True, [2]], ids=repr)
def test_a_batch_of_no_plausible_size_prices_nothing(tmp_path, size):
    save_run(tmp_path, GAN, [0.1] * 3, variant="batch-2", settings=dict(batch_size=size))
    save_run(tmp_path, GAN, [1.0] * 3)
    assert set(data(tmp_path)["Batch"]) == {"1"}


@pytest.mark.parametrize("time_s, told", [(0.99, False), (1.0, True)])
def test_energy_is_told_of_calls_of_a_second_or_longer(tmp_path, time_s, told):
    save_batches(tmp_path, {1: time_s})
    assert ("kWh" in data(tmp_path)) is told


# --- prices of devices

def test_a_file_of_prices_has_that_of_the_device_or_none(tmp_path, count):
    count(3600)
    save_run(tmp_path / "runs", GAN, [1.0] * 3)  # on a Tesla T4
    for text, money in ("t4,0.5", "0.500"), ("A100,4", None), ("T4,0", None):
        (tmp_path / "prices.csv").write_text(f"device,price_per_hour\n{text}\n")
        made = table(tmp_path / "runs", price_per_hour=tmp_path / "prices.csv")
        assert made.data.get("Money", [None])[0] == money
        assert ("The file of prices names no part of “Tesla T4”" in made.note) is (text == "A100,4")
        assert ("The hour has the price of “t4” in the file of prices." in made.note) is (text == "t4,0.5")


def test_energy_alone_is_no_money_where_the_file_of_prices_lacks_the_device(tmp_path):
    save_run(tmp_path / "runs", GAN, [1.0] * 3, readings=dict(energy_j=100.0))
    (tmp_path / "prices.csv").write_text("device,price_per_hour\nA100,4\n")
    made = table(tmp_path / "runs", price_per_hour=tmp_path / "prices.csv", price_per_kwh=0.2)
    assert "Money" not in made.data and "so that no money is given" in made.note


def test_where_no_energy_was_read_and_it_has_a_price_the_note_says_why_there_is_no_money(folder):
    said = "Where energy has a price and was not read, no money is given."
    assert said in table(folder, price_per_hour=1.0, price_per_kwh=0.2).note and said not in table(folder, price_per_hour=1.0).note


# --- latency, cold start, licence

def test_p50_and_p95_are_those_of_all_sessions_and_p95_needs_20_iterations(tmp_path):
    save_run(tmp_path, GAN, [0.01 * n for n in range(1, 20)], picture=False)
    few = data(tmp_path, "service")
    assert few["p50 (s)"][0] == "0.100" and "p95 (s)" not in few
    save_run(tmp_path, GAN, [0.2, 0.21], started="2021-01-01T00:00:00+00:00")
    many = data(tmp_path, "service").iloc[0]
    assert (many["p50 (s)"], many["p95 (s)"]) == ("0.110", "0.200")


def test_a_cold_start_is_download_load_and_first_image_and_a_dash_where_one_of_the_last_two_is_not_known(tmp_path):
    for experiment, download, load in (GAN, 30.0, 2.0), ("stable-diffusion", None, 2.0), ("vae-round-trip", 30.0, None):
        run = save_run(tmp_path, experiment, [1.0, 1.0])
        run.model.download_time_s, run.model.load_time_s = download, load
        run.save()
    found = data(tmp_path, "service")
    assert found["Cold start (s)"].tolist() == ["5.00", MISSING, "35.0"] and found["Download (s)"].tolist() == [MISSING, "30.0", "30.0"]


@pytest.mark.parametrize("before, cold", [([], "5.00"), (["VAE, float16"], None), (None, "5.00")], ids=str)
def test_no_cold_start_is_told_of_a_process_that_had_loaded_another_model(tmp_path, before, cold):
    run = save_run(tmp_path, GAN, [1.0, 1.0], loaded_before=before)
    run.model.load_time_s = 2.0
    run.save()
    assert data(tmp_path, "service").get("Cold start (s)", [None])[0] == cold


def test_the_latency_of_each_profile_is_a_row_and_licences_are_named(tmp_path):
    for profile in "tuned", "thesis":
        save_run(tmp_path, GAN, [1.0, 1.0], weights="random", profile=profile, model="StyleGAN2-ADA 512 px")
    found = table(tmp_path, "service")
    assert found.data["Profile"].tolist() == ["without optimisations", "optimised (the same pictures)"]
    assert set(found.data["Licence"]) == {"NVIDIA Source Code License"}
    assert "Licences: NVIDIA Source Code License – research or evaluation only." in found.note
    assert "Random weights have the licence of the published ones" in found.note and "read it" not in found.note
    save_run(tmp_path / "own", GAN, [1.0])
    assert data(tmp_path / "own", "service")["Licence"][0] == "unknown" and "read it" in table(tmp_path / "own", "service").note
