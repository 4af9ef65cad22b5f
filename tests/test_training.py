"""The data set that the demo models are trained on, the words of its captions, and StyleGAN2's training."""
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "training"))
import faces  # noqa: E402
import loop  # noqa: E402
import reader  # noqa: E402
import train_stable_diffusion  # noqa: E402
import train_stylegan2  # noqa: E402

PLAIN = faces.Face("man", "fair", "brown", "short", "blue", "gray", "front", glasses=False, beard=False, smile=False)


def test_a_seed_is_one_face_and_another_seed_another():
    assert (faces.batch([1, 2]) == faces.batch([1, 2])).all() and (faces.batch([1]) != faces.batch([2])).any()
    assert faces.random_face(3) == faces.random_face(3)


def test_the_faces_vary_in_every_attribute_and_come_as_64_pixels_of_rgb():
    drawn = [faces.random_face(seed) for seed in range(300)]
    choices = dict(skin=faces.SKIN, hair=faces.HAIR, eyes=faces.EYES, background=faces.BACKGROUND, light=faces.LIGHT, gender=faces.STYLES)
    for name, values in choices.items():
        assert {getattr(face, name) for face in drawn} == set(values), name
    for name in "glasses", "beard", "smile":
        assert 0.1 < np.mean([getattr(face, name) for face in drawn]) < 0.7, name
    assert len({faces.draw(face).tobytes() for face in drawn}) == 300
    assert faces.batch([0, 1]).shape == (2, 64, 64, 3) and faces.batch([0]).dtype == np.uint8
    assert not any(face.beard and face.gender == "woman" for face in drawn)


@pytest.mark.parametrize("change", [
    dict(glasses=True), dict(beard=True), dict(smile=True), dict(hair="red"), dict(style="curly"), dict(style="long"), dict(style="bald"),
    dict(skin="dark"), dict(eyes="brown"), dict(background="pink"), dict(light="left"), dict(tilt=5.0), dict(x=30.0)])
def test_every_attribute_can_be_seen(change):
    difference = np.abs(np.asarray(faces.draw(PLAIN), dtype=int) - np.asarray(faces.draw(replace(PLAIN, **change)), dtype=int))
    changed = (difference.max(axis=2) > 25).sum()
    assert changed >= (8 if "eyes" in change else 20), f"{changed} pixels differ"


@pytest.mark.parametrize("change, caption", [
    ({}, "a man with brown hair"),
    (dict(gender="woman", hair="red", smile=True, glasses=True), "a smiling woman with red hair and glasses"),
    (dict(beard=True, glasses=True), "a man with brown hair, a beard and glasses"), (dict(style="bald"), "a man with no hair")])
def test_a_caption_says_what_is_drawn(change, caption):
    assert faces.caption(replace(PLAIN, **change)) == caption


def test_each_word_of_a_caption_is_one_token_and_other_words_are_spelt_out():
    words = train_stable_diffusion.tokenizer()
    for seed in range(100):
        caption = faces.PROMPTS[seed % len(faces.PROMPTS)].format(faces.caption(faces.random_face(seed)))
        count = len(caption.replace(",", " ,").split())
        assert len(words(caption).input_ids) == count + 2, caption
        assert words.decode(words(caption).input_ids, skip_special_tokens=True).replace(" ,", ",").strip() == caption
    assert words.decode(words("Zürich").input_ids, skip_special_tokens=True).strip() == "zürich"
    assert words("red").input_ids != words("green").input_ids and max(words("a man").input_ids) == words.eos_token_id


def trained(pictures, *stops):
    """All weights after training StyleGAN2, interrupted after each of `stops`, resumed with new objects."""
    torch.manual_seed(0)
    frozen = reader.Reader().eval().requires_grad_(False)
    for stop in stops:
        torch.manual_seed(1)
        generator = train_stylegan2.Generator(**train_stylegan2.CONFIG)
        discriminators = dict(pixels=train_stylegan2.PixelDiscriminator(), features=train_stylegan2.FeatureDiscriminator())
        features = train_stylegan2.Features(frozen, train_stylegan2.pictures_of(pictures, slice(8)))
        player = train_stylegan2.Player(generator, discriminators, features, pictures, steps=3)
        modules = dict(generator=generator, **discriminators, augmentation=train_stylegan2.Probability(player.p))
        before = {name: [weight.clone() for weight in module.parameters()] for name, module in modules.items()}
        loop.Training("stylegan2", modules, player.optimizers, decay=dict(generator=0.9)).run(stop, player.step)
    return before, {name: list(module.parameters()) for name, module in modules.items()}, frozen


def test_stylegan2s_training_changes_its_three_networks_and_an_interruption_makes_no_difference(tmp_path, monkeypatch):
    pictures = faces.batch(range(train_stylegan2.TESTED + 32))
    monkeypatch.setattr(loop, "CHECKPOINTS", tmp_path / "whole")
    before, whole, frozen = trained(pictures, 3)
    for name in "generator", "pixels", "features":
        assert all(not torch.equal(a, b) for a, b in zip(before[name], whole[name], strict=True)), name
    assert all(weight.grad is None for weight in frozen.parameters())
    monkeypatch.setattr(loop, "CHECKPOINTS", tmp_path / "interrupted")
    _, parts, _ = trained(pictures, 1, 3)
    for name, weights in whole.items():
        assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(weights, parts[name], strict=True)), name
