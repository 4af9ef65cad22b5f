"""What the licences of models allow."""
import pytest

from genlib import licences
from genlib.record import ModelInfo


def of(source="", weights="published", name="a name"):
    return licences.of(ModelInfo(name, weights, "thesis", source))


@pytest.mark.parametrize("source, commercial", [
    ("CompVis/stable-diffusion-v1-4", True), ("stable-diffusion-v1-5/stable-diffusion-v1-5", True),
    ("stabilityai/stable-diffusion-xl-base-1.0", True), ("black-forest-labs/FLUX.1-schnell", True), ("black-forest-labs/FLUX.1-dev", False),
    ("stabilityai/stable-diffusion-3-medium-diffusers", None), ("kakaobrain/karlo-v1-alpha", True),
    ("PixArt-alpha/PixArt-XL-2-512x512", True),
    ("https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/ffhq.pkl", False)])
def test_a_known_model_says_whether_it_may_earn_money(source, commercial):
    assert of(source).commercial is commercial and of(source).terms


@pytest.mark.parametrize("source", ["stable-diffusion-v1-4", "me/CompVis/stable-diffusion-v1-4", "ffhq.pkl", "me/a-model", ""])
def test_of_a_file_or_a_model_that_nobody_knows_no_licence_is_claimed(source):
    """A folder or a file may have any name."""
    assert of(source, name="Stable Diffusion v1-4") is None


def test_the_demo_is_the_projects_own_and_random_weights_stand_for_the_published_ones():
    assert of(weights="demo") == licences.MIT
    assert of("seed 0", "random", "StyleGAN2-ADA 512 px") == licences.NVIDIA
    assert of("seed 0", "random", "VAE of Stable Diffusion v1-4").commercial is True
    assert licences.of(None) is None
