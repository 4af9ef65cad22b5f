"""Which weights a word stands for; downloads and their hashes; what is said where there are none."""
import warnings

import pytest
import torch

from genlib import device
from genlib.models import stable_diffusion, vae, weights
from genlib.runs import ModelInfo


def test_auto_is_the_demo_on_a_machine_without_a_gpu_and_says_so(monkeypatch, capsys):
    monkeypatch.setattr(device, "pick", lambda: torch.device("cpu"))
    weights._choose.cache_clear()
    assert weights.resolve("auto") == "demo"
    assert "weights: demo (no GPU" in capsys.readouterr().out
    weights._choose.cache_clear()


@pytest.mark.parametrize("answers, expected", [(True, "published"), (False, "demo")])
def test_auto_on_a_gpu_is_published_only_where_the_hub_answers(monkeypatch, answers, expected):
    monkeypatch.setattr(device, "pick", lambda: torch.device("cuda"))
    monkeypatch.setattr(weights, "hub_answers", lambda: answers)
    weights._choose.cache_clear()
    assert weights.resolve("auto") == expected
    weights._choose.cache_clear()


def test_the_environment_overrides_auto_and_nothing_else(monkeypatch):
    monkeypatch.setenv("GENLIB_WEIGHTS", "random")
    assert weights.resolve("auto") == "random" and weights.resolve("demo") == "demo"
    monkeypatch.setenv("GENLIB_WEIGHTS", "big")
    with pytest.raises(ValueError, match="GENLIB_WEIGHTS is 'big'"):
        weights.resolve("auto")


@pytest.mark.parametrize("load", [stable_diffusion.load, vae.load])
def test_an_unknown_word_is_refused_in_a_sentence(load):
    with pytest.raises(ValueError, match="weights is 'huge': use one of auto, demo, random, published"):
        load("huge")
    with pytest.raises(ValueError, match="profile is 'fast'"):
        load("demo", profile="fast")
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        load("demo", dtype="int8")


@pytest.mark.parametrize("said, kind, sentence", [
    ("401 Client Error. Cannot access gated repo for url", PermissionError, "is gated: accept its terms .* HF_TOKEN .*Secrets"),
    ("a/b is not a local folder and is not a valid model identifier listed on", FileNotFoundError, "no folder and no model a/b"),
    ("no such modeling files are available", FileNotFoundError, "no safetensors files for torch.float16"),
    ("We couldn't connect to the Hub", ConnectionError, "could not be downloaded")])
def test_a_refusal_by_the_hub_is_explained_in_a_sentence(said, kind, sentence):
    class Model:
        @classmethod
        def from_pretrained(cls, source, **options):
            raise OSError(said)

    with pytest.raises(kind, match=sentence):
        weights.from_hub(Model, "a/b", None, torch.float16)


def test_published_weights_without_a_network_are_refused_in_a_sentence_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for load in stable_diffusion.load, vae.load:
        with pytest.raises(ConnectionError, match="could not be downloaded .* weights='demo' or weights='random'"):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                load("published")


def test_a_file_with_an_unexpected_hash_is_refused_before_it_is_opened(tmp_path):
    file = tmp_path / "network.pkl"
    file.write_bytes(b"something else")
    with pytest.raises(ValueError, match="has the sha256 .*, not .*damaged or replaced"):
        weights.check_sha256(file, "0" * 64)
    assert weights.check_sha256(file, weights.sha256(file)) == weights.sha256(file)


def test_where_no_hash_is_published_later_reads_must_match_the_first_download(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    source = tmp_path / "network.pkl"
    source.write_bytes(b"first")
    path, first = weights.cached_download(source.as_uri())
    weights.remember_sha256(path, first)
    assert path.read_bytes() == b"first" and weights.cached_download(source.as_uri()) == (path, first)
    path.write_bytes(b"changed")
    with pytest.raises(ValueError, match="sha256"):
        weights.cached_download(source.as_uri())
    with pytest.raises(ConnectionError, match="could not be downloaded"):
        weights.cached_download((tmp_path / "missing.pkl").as_uri(), attempts=1)


def test_running_out_of_memory_is_explained_with_what_helps():
    with pytest.raises(MemoryError, match="Stable Diffusion v1-4 with random weights in float16 does not fit .* free.*weights='demo'"):
        with weights.loading(ModelInfo("Stable Diffusion v1-4", "random", "thesis", "seed 0", dtype="float16")):
            raise torch.OutOfMemoryError("CUDA out of memory")
