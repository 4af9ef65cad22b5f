"""Scoring a folder of pictures: what is given, what is left out and why, and what lies there afterwards."""
import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from saved_runs import save_run
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, Dinov2Config, Dinov2Model

from genlib import quality, runs, scores
from genlib.__main__ import main
from genlib.models import drawn_faces
from genlib.models.weights import DEMO_STABLE_DIFFUSION
from genlib.quality import distances, features, memorised
from genlib.quality.folder import find


def save(folder, seeds, draw):
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        draw(seed).save(folder / f"seed{seed:08}.png", compress_level=1)
    return folder


def face(seed):
    return drawn_faces.draw(drawn_faces.random_face(seed))


def noise(seed, side=64):
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (side, side, 3), dtype=np.uint8))


@pytest.fixture(autouse=True)
def few_resamplings(monkeypatch):
    monkeypatch.setattr(distances, "RESAMPLINGS", 5)  # intervals have tests of their own
    features.load.cache_clear()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """150 drawn faces each for two folders, of seeds of their own, and noise."""
    place = tmp_path_factory.mktemp("drawn")
    save(place / "real", range(1000, 1150), face)
    save(place / "noise", range(150), noise)
    return place


@pytest.fixture
def made(tmp_path):
    return save(tmp_path / "made", range(150), face)


def values(found):
    return {name: figure.value for name, figure in found.figures.items()}


def test_drawn_faces_are_near_drawn_faces_and_noise_is_far(drawn, made):
    near, far = values(quality.score(made, drawn / "real")), values(quality.score(drawn / "noise", drawn / "real"))
    assert near["frechet_reader"] < 0.1 * far["frechet_reader"] and abs(near["kid_reader"]) < 0.03 * far["kid_reader"]
    assert near["precision_reader"] > 0.8 > 0.1 > far["precision_reader"] and near["recall_reader"] > 0.8 > far["recall_reader"]
    assert near["faces"] > 0.95 and far["faces"] < 0.05


def test_the_record_lies_beside_the_pictures_and_says_against_what(drawn, made):
    found = quality.score(made, drawn / "real")
    assert scores.read(made / scores.FILE) == found and (found.folder, found.pictures) == ("made", 150)
    assert (found.against.folder, found.against.pictures) == ("real", 150)
    assert found.against.sha256 == find(drawn / "real").sha256 != find(made).sha256
    assert list(found.features) == ["reader"] and found.drawn is None
    assert quality.score(made).against is None and find(made).sha256 == find(made).sha256


def test_too_few_pictures_are_refused_with_the_number_that_is_needed(drawn, made):
    for path in sorted(made.iterdir())[60:]:
        path.unlink()
    found = quality.score(made, drawn / "real")
    assert set(found.figures) == {"kid_reader", "faces"}
    assert found.left_out["frechet_reader"] == "it needs 129 pictures in each folder, and there are 60 and 150"
    assert "100 pictures" in found.left_out["recall_reader"]


def test_a_run_lends_its_record_and_the_pictures_of_its_good_iterations(tmp_path):
    run = save_run(tmp_path, "stylegan2-ada", [1.0] * 12)
    images = [face(seed) for seed in range(36)]
    for number, iteration in enumerate(run.iterations):
        iteration.images = run.save_images(images[3 * number:3 * number + 3], f"iteration_{number + 1}")
    run.warmup = [runs.Iteration(9.0, images=run.save_images([noise(0)], "warmup_1"))]
    run.iterations[-1].error = "out of memory"
    run.save()
    before = (run.folder / "run.json").read_bytes()
    found = quality.score(run.folder)
    assert found.pictures == 33 and found.figures["faces"].value > 0.9
    assert (found.drawn.experiment, found.drawn.machine, found.drawn.settings) == (run.experiment, run.machine.slug, run.settings)
    assert found.drawn.time_s == pytest.approx(1 / 3) and found.drawn.timed == 33
    assert (run.folder / "run.json").read_bytes() == before


def test_a_folder_of_generate_lends_its_settings_and_its_times(made):
    (made / "settings.json").write_text(json.dumps(dict(model="M", weights="demo", dtype="float32", profile="tuned", steps=5)))
    lines = [dict(seed=0, time_s=0.5, machine="cpu"), dict(seed=1, time_s=1.5, machine="cpu"), dict(seed=2),
             dict(seed=3, time_s=90.0, machine="another")]
    (made / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"seed": 3, "ti')
    (made / "machine.json").write_text(json.dumps(dict(slug="cpu", device="A CPU")))
    found = quality.score(made).drawn
    assert (found.experiment, found.model, found.weights, found.settings) == ("stable-diffusion", "M", "demo", dict(steps=5))
    assert (found.machine, found.device, found.time_s, found.timed) == ("cpu", "A CPU", 1.0, 2)


@pytest.mark.parametrize("data", [b"[]", b"{", b"\xff", b'{"model": 1}', b'{"steps": 1e999}'])
def test_settings_that_are_damaged_end_it_before_anything_is_scored(made, data, monkeypatch):
    monkeypatch.setattr(features, "have_faces", None)
    (made / "settings.json").write_bytes(data)
    with pytest.raises(ValueError, match=str(made)):
        quality.score(made)
    assert not (made / scores.FILE).exists()


@pytest.mark.parametrize("role", ["against", "training", "pairs"])
@pytest.mark.parametrize("place, why", [("made", "in common"), (".", "in common"), ("made/sub", "in common"), ("nothing", "is no folder"),
                                        ("alone", "one picture|no picture of the same name")])
def test_folders_that_will_not_do_end_it_before_anything_is_scored(tmp_path, made, role, place, why, monkeypatch):
    save(made / "sub", [0], face)
    if place == "alone":
        save(tmp_path / place, [999], face)
        if role == "against":
            assert "there are 151 and 1" in quality.score(made, tmp_path / place).left_out["kid_reader"]
            return
    monkeypatch.setattr(features, "have_faces", None)
    monkeypatch.setattr(features, "of_folder", None)
    with pytest.raises(ValueError, match=why):
        quality.score(made, **{role: tmp_path / place})


def test_a_link_in_the_place_of_the_sheet_is_replaced_and_what_it_points_to_stays(tmp_path, made):
    (tmp_path / "own").write_bytes(b"mine")
    (made / scores.CLOSEST).symlink_to(tmp_path / "own")
    quality.score(made, training=save(tmp_path / "training", range(500, 520), face))
    assert (tmp_path / "own").read_bytes() == b"mine" and not (made / scores.CLOSEST).is_symlink()


def test_copies_count_as_near_where_training_pictures_are_there_twice():
    training = np.repeat(np.arange(50.0), 2)[:, None]
    names = [str(number) for number in range(100)]
    assert memorised.of(training[:10], training, names, names, "t", "reader").closer_than_training == 1
    assert memorised.of(training[:10] + 0.3, training, names, names, "t", "reader").closer_than_training == 0


def test_pairs_of_the_same_name_are_compared_and_identical_ones_have_no_psnr(tmp_path, made, monkeypatch):
    import torchmetrics.image.lpip as lpip

    monkeypatch.setattr(lpip, "LearnedPerceptualImagePatchSimilarity", lambda net: lambda a, b: (a - b).abs().max())
    brighter = save(tmp_path / "brighter", range(140, 160), lambda seed: Image.eval(face(seed), lambda value: max(0, value - 10)))
    for path in sorted(made.iterdir())[:138]:
        path.unlink()
    found = quality.score(made, pairs=brighter).figures
    assert found["psnr_db"].n == 10 and found["psnr_db"].value == pytest.approx(20 * np.log10(255 / 10), abs=0.5)
    assert 0.8 < found["ssim"].value < 1 and found["lpips"].value == pytest.approx(2 * 10 / 255)
    same = quality.score(made, pairs=shutil.copytree(made, tmp_path / "same"))
    assert same.left_out["psnr_db"] == "12 of the 12 pairs are identical, for which it is infinite" and same.figures["ssim"].value == 1
    with pytest.raises(ValueError, match="no picture of the same name"):
        quality.score(made, pairs=save(tmp_path / "others", range(900, 905), face))


def test_lpips_is_given_or_left_out_with_what_it_needs(tmp_path, made):
    found = quality.score(made, pairs=shutil.copytree(made, tmp_path / "same"))
    assert ("lpips" in found.figures) != ("torchvision" in found.left_out.get("lpips", ""))


def tiny(folder):
    """Folders as the Hub has them, of the same classes."""
    one = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, projection_dim=8)
    words = CLIPTokenizer.from_pretrained(DEMO_STABLE_DIFFUSION / "tokenizer")
    text = one | dict(vocab_size=len(words), eos_token_id=words.eos_token_id, bos_token_id=words.bos_token_id)
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=one | dict(image_size=32, patch_size=16), projection_dim=8)).save_pretrained(
        folder / "clip")
    words.save_pretrained(folder / "clip")
    Dinov2Model(Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32)).save_pretrained(folder / "dinov2")
    return {name: features.Pinned(str(folder / name), "1234", "1 GB") for name in features.HUB}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "HUB", tiny(tmp_path))
    features.of_folder.cache_clear()


def test_larger_pictures_are_compared_by_dinov2_and_clip_and_by_inception_where_it_is_installed(tmp_path, hub, monkeypatch):
    seen = []

    def extractor(name, wanted):
        def of(x):
            seen.append(x)
            return (x.float().mean(dim=(2, 3)),)
        return SimpleNamespace(to=lambda _: of)
    module = SimpleNamespace(FeatureExtractorInceptionV3=extractor)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)
    monkeypatch.setattr(features, "there", lambda name: True)
    one, other = (save(tmp_path / name, range(start, start + 50), lambda seed: noise(seed, 48)) for name, start in (("a", 0), ("b", 50)))
    found = quality.score(one, other)
    assert {scores.split(name)[1] for name in found.figures} == {"dinov2", "clip", "inception", ""}
    assert found.features["clip"].endswith("clip at 1234") and "frechet_dinov2" in found.figures and found.figures["faces"].value == 0
    assert seen[0].dtype == torch.uint8 and seen[0].shape[1:] == (3, 299, 299) and 60 < seen[0].float().mean() < 190


def test_what_cannot_be_downloaded_is_named_and_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "HUB", {name: features.Pinned(f"owner/{name}", "1234", "1.7 GB") for name in features.HUB})
    for variable in "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE":
        monkeypatch.setenv(variable, "1")
    pictures, others = (save(tmp_path / name, range(50), lambda seed: noise(seed, 48)) for name in "ab")
    found = quality.score(pictures, others, networks=["dinov2", "inception"], prompts=["a face"], training=others)
    assert "owner/dinov2 (1.7 GB) is not in the Hub's cache" in found.left_out["kid_dinov2"] == found.left_out["memorised"]
    assert "torch-fidelity" in found.left_out["kid_inception"] and "owner/clip (1.7 GB)" in found.left_out["clip_score"]
    assert list(found.figures) == ["faces"] and not found.features


def test_the_clip_score_is_the_cosine_of_each_picture_and_the_prompt_of_its_seed(tmp_path, hub):
    seeds, prompts = range(7, 18), ["a man with red hair", "a woman", "glasses"]
    folder = find(save(tmp_path / "a", seeds, face))
    model, words = CLIPModel.from_pretrained(features.HUB["clip"].id), CLIPTokenizer.from_pretrained(features.HUB["clip"].id)
    x = features.pixels(folder.pictures(), features.load("clip"))
    with torch.inference_mode():
        seen = model.get_image_features(pixel_values=x).pooler_output
        read = [model.get_text_features(**words(prompts[seed % 3], return_tensors="pt")).pooler_output[0] for seed in seeds]
    expected = 100 * torch.cosine_similarity(seen, torch.stack(read)).clamp(min=0)
    assert features.clip_scores(folder, prompts) == pytest.approx(expected.numpy(), abs=1e-3) and expected.max() > 0
    assert quality.score(folder.path, prompts=prompts).figures["clip_score"].value == pytest.approx(float(expected.mean()), abs=1e-3)
    assert scores.read(folder.path / scores.FILE).features["clip"].endswith("clip at 1234"), "which CLIP it was"


def test_the_cascade_finds_a_photographs_face_and_none_in_noise(tmp_path):
    from skimage.data import astronaut

    Image.fromarray(astronaut()).save(tmp_path / "a.png")
    noise(0, 512).save(tmp_path / "b.jpg")
    assert features.have_faces(find(tmp_path)).tolist() == [True, False]


def test_copies_of_training_pictures_are_found_and_shown_and_new_faces_are_not(tmp_path, made):
    training = save(tmp_path / "training", range(500, 800), face)
    fresh = quality.score(made, training=training).memorised
    assert fresh.closer_than_training < 0.1 and fresh.nearest_median == pytest.approx(fresh.training_nearest_median, rel=0.15)
    for seed in range(75):
        (made / f"seed{seed:08}.png").write_bytes((training / f"seed{seed + 500:08}.png").read_bytes())
    copied = quality.score(made, training=training).memorised
    assert 0.5 <= copied.closer_than_training < 0.6 and copied.closest[0][2] == 0
    assert all(int(own[4:12]) + 500 == int(near[4:12]) for own, near, _ in copied.closest)
    with Image.open(made / "closest.png") as sheet:
        assert sheet.width >= 4 * 2 * memorised.TILE
    assert quality.score(made, training=training).pictures == 150, "closest.png is no picture of the folder"


def test_the_nearest_training_pictures_are_those_of_a_case_made_by_hand():
    found = memorised.of(np.array([[0.0], [10.0]]), np.array([[1.0], [3.0], [12.0]]), ["a", "b"], ["x", "y", "z"], "t", "reader")
    assert found.closest == [("a", "x", 1.0), ("b", "z", 2.0)] and found.nearest_median == 1.5 and found.training_nearest_median == 2


def test_links_hidden_files_and_other_files_are_no_pictures_and_a_damaged_one_is_named(made):
    (made / "link.png").symlink_to(made / "seed00000000.png")
    (made / ".hidden.png").write_bytes(b"x")
    (made / "notes.txt").write_text("x")
    assert len(find(made)) == 150
    (made / "cut.png").write_bytes((made / "seed00000000.png").read_bytes()[:500])
    with pytest.raises(ValueError, match="cut.png"):
        quality.score(made)
    for empty in made / "nothing", made / "notes.txt":
        with pytest.raises(ValueError, match="no folder"):
            find(empty)


def test_the_command_scores_each_folder_and_prints_its_figures(drawn, made, capsys):
    assert main(["score", str(made), str(drawn / "noise"), "--against", str(drawn / "real")]) == 0
    said = capsys.readouterr().out
    assert "made: 150 pictures, against 150 of real" in said and "noise: 150 pictures" in said
    assert "Precision (a reader of the demo’s faces): " in said and "n = 150)" in said
    assert main(["score", str(made / "nothing")]) == 1 and "is no folder" in capsys.readouterr().err
    assert main(["score", str(made), "--networks", "vgg"]) == 1 and "no network 'vgg'" in capsys.readouterr().err
