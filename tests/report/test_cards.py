"""The table of memory modes and cards; and that runs on imitated cards change no other table."""
import json

import pytest
from saved_runs import MB, save_run

from genlib.locale import languages
from genlib.record import NOT_FINITE
from genlib.report import Report
from genlib.report.tables import TABLES

GB = 1024**3
SETTINGS = dict(steps=50, prompt="", batch_size=1, offload="", vae_slicing=False, vae_tiling=False)


def on_card(folder, gb, times, *, name="float16", errors=0, **changes):
    """A run on a card; without times it ran out of memory."""
    options = {key: changes.pop(key) for key in ("weights", "profile", "dtype", "vram", "machine", "model") if key in changes}
    run = save_run(folder, "stable-diffusion", times or [1.0], variant=f"card-{gb}-gb-{name}", errors=not times, picture=False,
                   settings=SETTINGS | dict(card_bytes=gb * GB) | changes, **options)
    if not times:
        run.iterations = run.iterations[1:]
        run.save()
    return run


def rows(folder, **options):
    return Report(folder, **options).table("cards").data.to_numpy().tolist()


def test_of_each_mode_the_smallest_card_that_held_it_counts_and_none_is_out_of_memory(tmp_path):
    for gb, times in (4, []), (6, [2.0, 3.0]), (8, [9.0, 9.0]):
        on_card(tmp_path, gb, times, vram=2700 * MB)
    for gb in 4, 15:
        on_card(tmp_path, gb, [], name="float32", dtype="float32")
    assert rows(tmp_path) == [["all on the card", "float16", "50", "6", "2700", "2.50"],
                              ["all on the card", "float32", "50", "more than 15", "—", "out of memory"]]
    note = Report(tmp_path).table("cards").note
    for part in "Tesla T4; published weights.", "Cards of 4 … 15 GB were imitated", "Means, n = 2.":
        assert part in note, part


def test_a_card_that_runs_out_in_any_iteration_did_not_hold_the_mode_but_one_whose_picture_is_nothing_did(tmp_path):
    for name, error in ("a", "out of memory: of late"), ("b", NOT_FINITE):
        run = on_card(tmp_path, 4, [1.0, 1.0], name=name, seed=name)
        run.iterations[1].error = error
        run.save()
    on_card(tmp_path, 6, [3.0, 3.0], name="a", seed="a")
    assert sorted((row[3], row[-1]) for row in rows(tmp_path)) == [("4", "1.00"), ("6", "3.00")]


def test_a_mode_is_named_by_what_it_does_and_its_time_is_that_of_an_image(tmp_path):
    on_card(tmp_path, 4, [8.0, 8.0], name="a", batch_size=4, vae_slicing=True)
    on_card(tmp_path, 4, [8.0, 8.0], name="b", size=1024, vae_tiling=True)
    on_card(tmp_path, 4, [8.0, 8.0], name="c", offload="model", profile="tuned")
    on_card(tmp_path, 4, [8.0, 8.0], name="d", offload="sequential", steps=5)
    assert [(row[0], row[2], row[-1]) for row in rows(tmp_path)] == [
        ("all on the card, batch of 4 images, VAE slicing", "50", "2.00"), ("all on the card, 1024 px, VAE tiling", "50", "8.00"),
        ("network by network, the others in RAM, optimised (the same pictures)", "50", "8.00"),
        ("layer by layer, the others in RAM", "5", "8.00")]
    assert "Times of unlike numbers of steps do not compare." in Report(tmp_path).table("cards").note


def test_sessions_on_one_card_are_one_row_and_a_model_of_its_own_size_is_told_from_a_larger_picture(tmp_path):
    on_card(tmp_path, 4, [1.0, 1.0])
    on_card(tmp_path, 4, [3.0, 3.0])
    on_card(tmp_path, 4, [5.0, 5.0], name="2-sides", size=1024)
    assert [(row[0], row[-1]) for row in rows(tmp_path)] == [("all on the card", "2.00"), ("all on the card, 1024 px", "5.00")]
    assert "n = 1 × 2, 2 × 2" in Report(tmp_path).table("cards").note


@pytest.mark.parametrize("change", [dict(weights="random"), dict(machine="another"), dict(model="a model of one's own")])
def test_other_weights_and_machines_have_a_table_of_their_own_and_another_model_a_row(tmp_path, change):
    on_card(tmp_path, 6, [2.0, 2.0], **change)
    on_card(tmp_path, 4, [1.0, 1.0])
    assert sorted(row[3] for row in rows(tmp_path)) == (["4", "6"] if "model" in change else ["4"])


@pytest.mark.parametrize("setting, value", [
    ("card_bytes", "x"), ("card_bytes", -1), ("card_bytes", 1e30), ("batch_size", 0), ("batch_size", True), ("batch_size", 2**60),
    ("size", True), ("size", -3), ("size", [1]), ("offload", "<script>"), ("offload", {"a": 1}), ("vae_slicing", "yes"), ("steps", None)])
def test_a_strangers_settings_stop_nothing(tmp_path, setting, value):
    save_run(tmp_path, "stable-diffusion", [8.0, 8.1])
    run = on_card(tmp_path, 4, [2.0, 2.0])
    record = json.loads((run.folder / "run.json").read_text())
    record["settings"][setting] = value
    (run.folder / "run.json").write_text(json.dumps(record))
    for language in languages():
        report = Report(tmp_path, language=language)
        table = report.table("cards")
        assert report.doubts() and "<script>" not in table._repr_html_()
        assert len(table.data) == (setting != "card_bytes" or value == 1e30)


def test_without_such_runs_the_note_says_how_to_have_some(tmp_path):
    save_run(tmp_path, "stable-diffusion", [8.0, 8.1])
    table = Report(tmp_path).table("cards")
    assert table.data.empty and "`genlib cards` does that on an NVIDIA GPU" in table.note and "cards" not in Report(tmp_path).tables


def usual(folder):
    """What the notebooks leave of Stable Diffusion and StyleGAN2-ADA: each run, its loops and precisions."""
    for experiment, settings in ("stable-diffusion", dict(steps=50, prompt="", seed=0)), ("stylegan2-ada", {}):
        for weights in "random", "demo":
            save_run(folder, experiment, [8.0, 8.1, 8.2, 8.3, 8.4], settings=settings, weights=weights, vram=2700 * MB)
            for batch in 1, 2, 4:
                save_run(folder, experiment, [batch + 1.0] * 2, settings=settings | dict(batch_size=batch), variant=f"batch-{batch}",
                         weights=weights)
            save_run(folder, experiment, [9.0, 9.0], settings=settings, variant="precision-float32", dtype="float32", weights=weights)


def test_runs_on_cards_change_no_other_table_no_figure_no_conclusion_and_give_no_doubt_of_memory(tmp_path):
    usual(tmp_path)

    def said():
        report = Report(tmp_path, machine="tesla-t4", weights="random", price_per_hour=1.0)
        return {kind.name: str(report.table(kind.name)) for kind in TABLES if kind.name != "cards"}, report.figures, \
            report.conclusions(), [doubt for doubt in report.doubts() if "memory" in doubt], report.groups["experiments"].tolist()

    before = said()
    for name, changes in {"float16": {}, "float32": dict(dtype="float32"), "float16-tuned": dict(profile="tuned"),
                          "float16-batch-4": dict(batch_size=4), "float16-sequential": dict(offload="sequential", steps=5)}.items():
        on_card(tmp_path, 4, [], name=name, weights="random", **dict(changes))
        on_card(tmp_path, 6, [2.0, 2.0], name=name, weights="random", vram=5619 * MB, **changes)
    tables, *others = said()
    assert {name: text for name, text in tables.items() if text != before[0][name]} == {} and others[:3] == list(before[1:4])
    assert Report(tmp_path, weights="random").table("cards").data.shape[0] == 5
