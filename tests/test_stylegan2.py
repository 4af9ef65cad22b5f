import numpy as np
import pytest
import torch

from genlib.models import images, stylegan2
from genlib.models.stylegan2_network import Generator


@pytest.fixture(scope="module")
def G():
    return stylegan2.load("demo")


def draw(G, seed=0, **options):
    z = torch.from_numpy(np.random.RandomState(seed).randn(1, G.z_dim))
    with torch.inference_mode():
        return images.to_pil(G(z, None, **(dict(truncation_psi=0.7, noise_mode="const") | options)))[0]


def test_the_demo_draws_64_pixels_from_any_z_and_says_what_it_is(G):
    assert isinstance(G, Generator) and draw(G).size == (64, 64)
    assert (G.info.weights, G.info.dtype, G.info.name) == ("demo", "float32", "StyleGAN2-ADA 64 px")
    assert sum(G.info.parameters.values()) == sum(p.numel() for p in G.parameters())
    assert draw(G).tobytes() == draw(G).tobytes() != draw(G, seed=1).tobytes()


def test_loading_twice_gives_the_same_network(G):
    assert draw(stylegan2.load("demo")).tobytes() == draw(G).tobytes()


def test_at_psi_0_every_z_is_the_mean_face_and_the_mean_is_that_of_the_mapping(G):
    assert draw(G, truncation_psi=0).tobytes() == draw(G, seed=1, truncation_psi=0).tobytes() != draw(G).tobytes()
    w = G.mapping(torch.randn(4000, G.z_dim), None)[:, 0]
    assert (w.mean(0) - G.mapping.w_avg).norm() < 0.1 * w.std(0).norm()


def test_random_weights_have_the_published_architecture():
    with torch.device("meta"):
        sizes = {r: sum(p.numel() for p in Generator(**stylegan2.config("random", r)).parameters()) for r in (256, 512, 1024)}
    assert sizes == {256: 24_767_458, 512: 30_276_583, 1024: 30_370_060}
    with pytest.raises(ValueError, match="resolution is 500: use a power of two"):
        stylegan2.load("random", resolution=500)


def test_on_a_cpu_half_precision_runs_only_when_asked(capsys, monkeypatch, tmp_path):
    config = stylegan2.config("demo", 0)
    config["synthesis_kwargs"] |= dict(num_fp16_res=2, conv_clamp=256)
    Generator(**config).save_pretrained(tmp_path)
    maps = {}
    for dtype in "auto", "float32", "mixed":
        loaded = stylegan2.load(tmp_path, dtype=dtype)
        hook = loaded.synthesis.b64.conv1.register_forward_hook(lambda module, inputs, output: maps.update(last=output.dtype))
        draw(loaded)
        hook.remove()
        half = dtype == "mixed" or dtype == "auto" and torch.cuda.is_available()
        assert maps["last"] == (torch.float16 if half else torch.float32)
        assert loaded.info.dtype == ("mixed" if half else "float32")
    if not torch.cuda.is_available():
        assert capsys.readouterr().out.count("float32 on this CPU") == 1
    with pytest.raises(ValueError, match="dtype is 'float64'"):
        stylegan2.load("demo", dtype="float64")


def test_a_converted_folder_draws_the_same_pictures(G, tmp_path):
    G.save_pretrained(tmp_path)
    loaded = stylegan2.load(tmp_path)
    assert loaded.info.weights == "published" and loaded.info.dtype == G.info.dtype
    assert all(torch.equal(value, G.state_dict()[name]) for name, value in loaded.state_dict().items())
    a, b = (np.asarray(draw(generator)).astype(int) for generator in (loaded, G))
    assert np.abs(a - b).max() <= 1, "the same arithmetic on memory that is aligned otherwise may round otherwise"


def test_an_unknown_network_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match="network is 'ffhq2048', which is no file or folder here: use one of auto.*ffhq512"):
        stylegan2.load("ffhq2048")


def test_presets_stand_for_files_of_the_published_folder_and_published_is_the_thesiss(monkeypatch, tmp_path):
    asked = []

    def download(url, sha256=None):
        asked.append((url, sha256))
        raise ConnectionError("no network")

    monkeypatch.setattr(stylegan2.weights_module, "cached_download", download)
    for network in "published", "ffhq", "https://example.org/mine.pkl":
        with pytest.raises(ConnectionError):
            stylegan2.load(network)
    assert [url.rsplit("/", 1)[1] for url, _ in asked] == ["ffhq-res512-mirror-stylegan2-noaug.pkl", "ffhq.pkl", "mine.pkl"]
    assert asked[1][1] == stylegan2.SHA256["ffhq"] and asked[0][1] is asked[2][1] is None


def test_the_licence_is_said_once_where_nvidias_files_are_fetched(monkeypatch, capsys):
    monkeypatch.setattr(stylegan2, "_licence_said", False)
    monkeypatch.setattr(stylegan2.weights_module, "cached_download", lambda *a: (_ for _ in ()).throw(ConnectionError("none")))
    for _ in range(2):
        with pytest.raises(ConnectionError):
            stylegan2.load("ffhq512")
    assert capsys.readouterr().out.count("NVIDIA Source Code License") == 1
