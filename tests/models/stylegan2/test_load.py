import json
import re

import network_files
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from genlib import __main__ as commands
from genlib.models import images, stylegan2, weights
from genlib.models.stylegan2 import nvidia_file
from genlib.models.stylegan2.load import _say_licence
from genlib.models.stylegan2.network import Generator


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


def test_at_psi_0_every_z_gives_the_mean_face_and_w_avg_is_the_mappings_mean(G):
    assert draw(G, truncation_psi=0).tobytes() == draw(G, seed=1, truncation_psi=0).tobytes() != draw(G).tobytes()
    w = G.mapping(torch.randn(4000, G.z_dim), None)[:, 0]
    assert (w.mean(0) - G.mapping.w_avg).norm() < 0.1 * w.std(0).norm()


def test_random_weights_have_the_published_architecture():
    with torch.device("meta"):
        sizes = {r: sum(p.numel() for p in Generator(**stylegan2.config(r)).parameters()) for r in (256, 512, 1024)}
    assert sizes == {256: 24_767_458, 512: 30_276_583, 1024: 30_370_060}
    with pytest.raises(ValueError, match="resolution is 500: use a power of two"):
        stylegan2.load("random", resolution=500)


def test_on_a_cpu_half_precision_runs_only_when_asked(G, capsys, monkeypatch, tmp_path):
    config = {name: value for name, value in G.config.items() if not name.startswith("_")}
    config["synthesis_kwargs"] = config["synthesis_kwargs"] | dict(num_fp16_res=2, conv_clamp=256)
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


def test_an_unknown_network_is_refused_with_a_list_of_the_known_ones():
    with pytest.raises(ValueError, match=r"network is 'ffhq2048', which is no file or folder here \(did you mean 'ffhq1024'\?\): use "
                                         "one of auto.*ffhq512"):
        stylegan2.load("ffhq2048")


def test_presets_stand_for_files_of_the_published_folder_and_published_for_that_of_the_thesis(monkeypatch, tmp_path):
    asked = []

    def download(url, sha256=None):
        asked.append((url, sha256))
        raise ConnectionError("no network")

    monkeypatch.setattr(weights, "cached_download", download)
    for network in "published", "ffhq", "https://example.org/mine.pkl":
        with pytest.raises(ConnectionError):
            stylegan2.load(network)
    assert [url.rsplit("/", 1)[1] for url, _ in asked] == ["ffhq-res512-mirror-stylegan2-noaug.pkl", "ffhq.pkl", "mine.pkl"]
    assert asked[1][1] == stylegan2.SHA256["ffhq"] and asked[0][1] is asked[2][1] is None


def test_the_licence_is_printed_once_when_nvidias_files_are_fetched(monkeypatch, capsys):
    _say_licence.cache_clear()
    monkeypatch.setattr(weights, "cached_download", lambda *a: (_ for _ in ()).throw(ConnectionError("none")))
    for _ in range(2):
        with pytest.raises(ConnectionError):
            stylegan2.load("ffhq512")
    assert capsys.readouterr().out.count("NVIDIA Source Code License") == 1


# --- files in NVIDIA's format, written by the tests

@pytest.fixture(scope="module")
def network_file(tmp_path_factory):
    root = {"G": None, "G_ema": network_files.generator(*network_files.golden_generator("a_skip32"))}
    return network_files.write(tmp_path_factory.mktemp("files") / "network.pkl", root)


def test_a_network_file_draws_what_the_original_code_drew(network_file):
    _, tensors = network_files.golden("a_skip32")
    loaded = stylegan2.load(network_file)
    with torch.inference_mode():
        image = loaded(tensors["in.z"], None, noise_mode="const")
    assert (image.cpu() - tensors["out.img_const"]).abs().max() < 1e-4
    assert loaded.info.sha256 == weights.sha256(network_file) and loaded.info.source == "network.pkl"
    assert (loaded.info.weights, loaded.info.name) == ("published", "StyleGAN2-ADA 32 px")


def test_convert_writes_a_folder_that_holds_the_same_network(network_file, tmp_path, capsys):
    assert commands.main(["convert", str(network_file), str(tmp_path / "converted")]) == 0
    assert weights.sha256(network_file) in capsys.readouterr().out
    assert (tmp_path / "converted" / "config.json").exists() and list((tmp_path / "converted").glob("*.safetensors"))
    converted, original = Generator.from_pretrained(tmp_path / "converted"), stylegan2.read(network_file)
    assert converted.state_dict().keys() == original.state_dict().keys()
    assert all(torch.equal(value, converted.state_dict()[name]) for name, value in original.state_dict().items())


def test_convert_refuses_a_file_that_is_no_network_in_a_sentence(tmp_path, capsys):
    (tmp_path / "bad.pkl").write_bytes(b"\x80\x04cos\nsystem\n\x8c\x04true\x85R.")
    assert commands.main(["convert", str(tmp_path / "bad.pkl"), str(tmp_path / "out")]) == 1
    assert commands.main(["convert", str(tmp_path / "missing.pkl"), str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert "bad.pkl" in err and "system" in err and "missing.pkl" in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_an_address_is_downloaded_once_and_its_hash_is_checked_before_the_file_is_opened(network_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    fetched = []
    monkeypatch.setattr(weights, "fetch", lambda url, path: (fetched.append(url), path.write_bytes(network_file.read_bytes())))
    for _ in range(2):
        assert stylegan2.load("https://example.org/network.pkl").info.sha256 == weights.sha256(network_file)
    assert fetched == ["https://example.org/network.pkl"], "once"
    [kept] = tmp_path.rglob("network.pkl")
    kept.write_bytes(b"another file")
    monkeypatch.setattr(nvidia_file, "read", lambda path: pytest.fail("it was opened"))
    with pytest.raises(ValueError, match="damaged or replaced"):
        stylegan2.load("https://example.org/network.pkl")


def test_a_download_that_breaks_off_is_tried_again(network_file, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights.time, "sleep", lambda seconds: None)
    tries = []

    def flaky(url, path):
        tries.append(url)
        if len(tries) < 3:
            raise weights.urllib.error.URLError("connection reset")
        path.write_bytes(network_file.read_bytes())

    monkeypatch.setattr(weights, "fetch", flaky)
    assert stylegan2.load("https://example.org/network.pkl").img_resolution == 32 and len(tries) == 3
    tries.clear()
    monkeypatch.setattr(weights, "fetch", lambda *a: (_ for _ in ()).throw(weights.urllib.error.URLError("down")))
    with pytest.raises(ConnectionError, match="other.pkl could not be downloaded .*down"):
        stylegan2.load("https://example.org/other.pkl")


def test_an_incomplete_download_is_not_kept_and_its_hash_is_not_remembered(network_file, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    data = network_file.read_bytes()
    for content in data[:-100], data:
        monkeypatch.setattr(weights, "fetch", lambda url, path, content=content: path.write_bytes(content))
        if content is data:
            assert stylegan2.load("https://example.org/network.pkl").info.sha256 == weights.sha256(network_file)
        else:
            with pytest.raises(nvidia_file.NetworkFileError, match="download it again"):
                stylegan2.load("https://example.org/network.pkl")


def test_files_of_the_same_name_from_two_addresses_are_kept_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights, "fetch", lambda url, path: path.write_text(url))
    for address in "https://example.org/a/ffhq.pkl", "https://example.org/b/ffhq.pkl":
        assert weights.cached_download(address)[0].read_text() == address


# --- damaged converted folders

def _edit(**changes):
    def spoil(folder):
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return spoil


def _rewrite(change):
    def spoil(folder):
        [file] = folder.glob("*.safetensors")
        tensors = load_file(file)
        change(tensors)
        save_file(tensors, file)
    return spoil


def _only_a_pickle(folder):
    [file] = folder.glob("*.safetensors")
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()


def _cut_off(folder):
    [file] = folder.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize("spoil", [
    _edit(img_resolution=64), _edit(img_resolution=33), _edit(z_dim="x"), _edit(w_dim=-1), _edit(mapping_kwargs=dict(num_layers=100)),
    _edit(synthesis_kwargs=dict(channel_base=0)), lambda folder: (folder / "config.json").write_text("{"),
    lambda folder: (folder / "config.json").unlink(), _cut_off, _only_a_pickle,
    _rewrite(lambda tensors: tensors.pop("synthesis.b4.conv1.weight")), _rewrite(lambda tensors: tensors.update(extra=torch.zeros(3))),
    _rewrite(lambda tensors: tensors.update({"synthesis.b4.conv1.weight": torch.zeros(1, 3, 3, 3)})),
])
def test_a_damaged_converted_folder_is_refused_in_one_sentence(tmp_path, spoil, capfd):
    folder = tmp_path / "converted"
    stylegan2.read(network_files.write(tmp_path / "n.pkl", {"G_ema": network_files.generator(*network_files.tiny_generator())})
                   ).save_pretrained(folder)
    assert stylegan2.load(folder).img_resolution == 8
    spoil(folder)
    with pytest.raises(nvidia_file.NetworkFileError, match=f"{re.escape(str(folder))}: .*: convert the .pkl again$") as caught:
        stylegan2.load(folder)
    assert "\n" not in str(caught.value) and "newly initialized" not in capfd.readouterr().err
