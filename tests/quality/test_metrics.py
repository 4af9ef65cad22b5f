import subprocess
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from genlib import quality


def noise(seed):
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (32, 32, 3), dtype=np.uint8))


def test_psnr_and_ssim_know_an_identical_a_close_and_an_unrelated_picture():
    a = noise(0)
    close = Image.fromarray((np.asarray(a).astype(int) + 1).clip(0, 255).astype(np.uint8))
    assert quality.psnr(a, a) == float("inf") and quality.ssim(a, a) == 1
    assert 47 < quality.psnr(a, close) < 49, "one level off everywhere is 20 log10(255) = 48.1 dB"
    assert quality.psnr(a, noise(1)) < 10 and quality.ssim(a, noise(1)) < 0.1
    with pytest.raises(ValueError, match="resize"):
        quality.psnr(a, a.resize((8, 8)))


def test_reconstructions_are_judged_by_the_means_over_pairs_and_each_needs_its_original():
    found = quality.of_reconstructions([noise(0), noise(2)], [noise(1), noise(3)])
    for name, metric in dict(psnr_db=quality.psnr, ssim=quality.ssim).items():
        assert found.pop(name) == pytest.approx((metric(noise(0), noise(1)) + metric(noise(2), noise(3))) / 2)
    assert not found
    assert quality.of_reconstructions([noise(0), noise(2)], [noise(1)])["psnr_db"] == quality.psnr(noise(0), noise(1)), "one failed"
    with pytest.raises(ValueError, match="more pictures \\(2\\) than originals \\(1\\)"):
        quality.of_reconstructions([noise(0)], [noise(0), noise(1)])


def test_sharpness_and_diversity_are_zero_for_flat_and_for_equal_pictures():
    flat = Image.new("RGB", (32, 32), "grey")
    assert quality.sharpness(flat) == 0 < quality.sharpness(noise(0))
    assert quality.diversity([flat, flat]) == 0 < quality.diversity([flat, noise(0)])


@pytest.mark.parametrize("pictures", [[noise(0)], [noise(0), noise(0)]])
def test_of_fewer_than_two_different_pictures_no_diversity_is_told(pictures):
    assert set(quality.of_pictures(pictures)) == {"sharpness"}


def clip_of_torchmetrics(monkeypatch, module):
    monkeypatch.setitem(sys.modules, "torchmetrics", types.ModuleType("torchmetrics"))
    monkeypatch.setitem(sys.modules, "torchmetrics.multimodal", module)


def test_clip_iqa_gives_the_pictures_to_torchmetrics_as_levels_of_255(monkeypatch):
    given = []

    class Metric:
        def __init__(self, data_range):
            assert data_range == 255

        def __call__(self, pictures):
            given.append(pictures)
            return torch.tensor([0.25, 0.75])

    clip_of_torchmetrics(monkeypatch, types.SimpleNamespace(CLIPImageQualityAssessment=Metric))
    pictures = [noise(0), noise(1)]
    found = quality.of_pictures(pictures, clip=True)
    assert found["clip_iqa"] == 0.5 and given[0].shape == (2, 3, 32, 32) and given[0].dtype == torch.float32
    assert (given[0][1].permute(1, 2, 0).numpy() == np.asarray(pictures[1])).all()
    assert found["sharpness"] == pytest.approx((quality.sharpness(noise(0)) + quality.sharpness(noise(1))) / 2)
    assert found["diversity"] == quality.diversity(pictures)
    assert set(quality.of_pictures(pictures)) == {"sharpness", "diversity"}, "CLIP only when asked"


@pytest.mark.parametrize("fault", [ImportError("No module named 'torchmetrics'"), ValueError("package `piq` must be installed"),
                                   OSError("<urlopen error>")])
def test_without_packages_or_a_network_clip_iqa_is_left_out_with_the_reason(monkeypatch, capsys, fault):
    def refuse(data_range):
        raise fault

    clip_of_torchmetrics(monkeypatch, types.SimpleNamespace(CLIPImageQualityAssessment=refuse))
    assert set(quality.of_pictures([noise(0), noise(1)], clip=True)) == {"sharpness", "diversity"}
    out = capsys.readouterr().out
    assert str(fault) in out and "pip install torchmetrics piq" in out and len(out.splitlines()) == 1


def test_pictures_that_should_be_the_same_are_counted_and_their_largest_difference_told():
    a = noise(0)
    pixels = np.asarray(a).copy()
    pixels[3, 4, 1] ^= 1
    assert quality.differences([a, a, a]) == {"different_pictures": 1, "largest_difference": 0}
    assert quality.differences([a, a, Image.fromarray(pixels)]) == {"different_pictures": 2, "largest_difference": 1}


def test_pictures_are_judged_without_torch():
    code = "import sys; from genlib import quality; from PIL import Image; a = Image.new('RGB', (8, 8)); quality.psnr(a, a); " \
           "quality.of_pictures([a, a]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
