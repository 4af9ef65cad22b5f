"""Tensors to pictures and back, grids, differences."""
import numpy as np
import pytest
import torch
from PIL import Image

from genlib.models import images


def test_pictures_are_made_8_bit_by_truncating_and_clamping_as_the_published_network_does():
    values = torch.tensor([-2.0, -1.0, -1.0 + 0.99 / 127.5, 0.0, 0.5 / 127.5, 0.999, 1.0, 2.0])
    [picture] = images.to_pil(values.reshape(1, 1, 1, -1).expand(1, 3, 1, -1))
    assert np.asarray(picture)[0, :, 0].tolist() == [0, 0, 1, 128, 128, 255, 255, 255]
    assert images.to_pil(torch.zeros(2, 1, 4, 4))[1].mode == "L"


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


def test_the_difference_of_equal_pictures_is_black():
    picture = images.photograph(32)
    assert images.difference(picture, picture).getextrema() == ((0, 0),) * 3
    assert images.difference(picture, picture.rotate(90)).getextrema()[0][1] > 100
