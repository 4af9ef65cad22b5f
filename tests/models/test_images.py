"""Tensors to pictures and back, grids, differences."""
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from genlib.models import images, stable_diffusion, vae
from genlib.record import BLACKENED, DOUBT, NOT_FINITE


def test_pictures_are_made_8_bit_by_truncating_and_clamping_as_the_published_network_does():
    values = torch.tensor([-2.0, -1.0, -1.0 + 0.99 / 127.5, 0.0, 0.5 / 127.5, 0.999, 1.0, 2.0])
    [picture] = images.to_pil(values.reshape(1, 1, 1, -1).expand(1, 3, 1, -1))
    assert np.asarray(picture)[0, :, 0].tolist() == [0, 0, 1, 128, 128, 255, 255, 255]


def test_grey_pictures_and_those_with_alpha_are_made_too():
    for channels, mode in enumerate(["L", "LA", "RGB", "RGBA"], 1):
        [picture] = images.to_pil(torch.linspace(-1, 1, channels).reshape(1, channels, 1, 1).expand(-1, -1, 4, 4))
        assert picture.mode == mode and np.asarray(picture).reshape(4, 4, -1)[0, 0].tolist() == {
            1: [0], 2: [0, 255], 3: [0, 128, 255], 4: [0, 85, 170, 255]}[channels]


def test_channels_that_no_picture_has_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match="have 5 channels"):
        images.to_pil(torch.zeros(1, 5, 4, 4))


SPOILT = [float("nan"), float("inf"), float("-inf")]


@pytest.mark.parametrize("value", SPOILT)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_picture_with_one_value_that_is_not_finite_says_so_and_its_neighbour_in_the_batch_does_not(value, dtype):
    values = torch.ones(2, 3, 256, 256, dtype=dtype)  # their sum is more than float16 holds
    values[1, 2, 3, 4] = value
    good, bad = images.to_pil(values)
    assert DOUBT not in good.info and bad.info[DOUBT] == NOT_FINITE


@pytest.mark.parametrize("value", SPOILT)
def test_pictures_of_the_pipeline_and_of_the_autoencoder_say_it_too(pipe, value, recwarn):
    class Spoilt(torch.nn.Module):
        def forward(self, x):
            x[1, 0, 5, 5] = value
            return x

    latents = stable_diffusion.random_latents(pipe, batch_size=2)
    pipe.vae.decoder.conv_out = torch.nn.Sequential(sound := pipe.vae.decoder.conv_out, Spoilt())
    try:
        with torch.inference_mode():
            good, bad = pipe(prompt=["", ""], latents=latents, num_inference_steps=1).images
        good_back, bad_back = images.to_pil(vae.decode(pipe.vae, latents))
    finally:
        pipe.vae.decoder.conv_out = sound
    assert DOUBT not in good.info | good_back.info
    assert bad.info[DOUBT] == bad_back.info[DOUBT] == NOT_FINITE
    assert not [warning for warning in recwarn if "invalid value" in str(warning.message)], "numpy's own words say nothing of pictures"


def test_a_picture_that_the_safety_checker_turned_black_is_named_as_that(pipe):
    images_in = torch.zeros(2, 3, 8, 8)
    natural, black = pipe.image_processor.postprocess(images_in, output_type="pil", do_denormalize=[True, False])
    assert DOUBT not in natural.info and black.info[DOUBT] == BLACKENED and black.getextrema() == ((0, 0),) * 3


def test_a_pipeline_gives_other_kinds_of_output_as_ever_and_one_that_makes_pictures_its_own_way_is_left_alone(pipe):
    for kind, cls in dict(pt=torch.Tensor, np=np.ndarray, latent=torch.Tensor).items():
        assert isinstance(pipe.image_processor.postprocess(torch.zeros(1, 3, 8, 8), kind), cls)
    images.watch(object())


def test_a_picture_becomes_a_tensor_in_the_range_of_the_models_and_back(autoencoder):
    picture = images.photograph(64)
    tensor = images.to_tensor([picture], like=autoencoder)
    assert tensor.min() >= -1 and tensor.max() <= 1 and tensor.dtype == autoencoder.dtype
    assert np.abs(np.asarray(images.to_pil(tensor)[0]).astype(int) - np.asarray(picture)).max() <= 1


def test_a_grid_places_every_picture_and_needs_one():
    pictures = [Image.new("RGB", (200, 200), (i, 0, 0)) for i in range(7)]
    sheet = images.grid(pictures, columns=5, gap=2)
    assert sheet.size == (5 * 202 - 2, 2 * 202 - 2)
    assert sheet.getpixel((202, 202)) == (6, 0, 0) and sheet.getpixel((200, 0)) == (255, 255, 255)
    assert images.grid([Image.new("RGB", (64, 64))] * 2, gap=0, columns=2).size == (256, 128), "small ones are enlarged"
    with pytest.raises(ValueError, match="no pictures"):
        images.grid([])


def test_a_grid_says_why_some_of_its_pictures_show_nothing(capsys):
    good, *bad = images.to_pil(torch.stack([torch.full((3, 4, 4), value) for value in (0.0, float("nan"), float("inf"))]))
    images.grid([good])
    assert capsys.readouterr().out == ""
    images.grid([good, *bad])
    assert capsys.readouterr().out == f"{NOT_FINITE}\n"


def test_the_difference_of_equal_pictures_is_black():
    picture = images.photograph(32)
    assert images.difference(picture, picture).getextrema() == ((0, 0),) * 3
    assert images.difference(picture, picture.rotate(90)).getextrema()[0][1] > 100


def test_the_photograph_is_scikit_images():
    assert np.array_equal(np.asarray(images.photograph(512)), data.astronaut())
