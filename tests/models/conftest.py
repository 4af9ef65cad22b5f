"""The demo models, loaded once for each file of tests."""
import errno
import socket

import pytest

from genlib.models import convolutions, stable_diffusion, vae


@pytest.fixture(autouse=True)
def _cache_of_its_own(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """No connection can be made, and the Hub's cache is empty; its folder."""
    def refuse(*_):
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    for name in "connect", "connect_ex":
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture(scope="module")
def pipe():
    return stable_diffusion.load("demo")


@pytest.fixture(scope="module")
def autoencoder():
    return vae.load("demo")


@pytest.fixture(autouse=True)
def undecided(monkeypatch):
    """No test takes over which convolutions another found quicker."""
    monkeypatch.setattr(convolutions, "_decided", {})
    monkeypatch.setattr(convolutions, "_told", False)
