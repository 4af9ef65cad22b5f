"""The demo models, loaded once for each file of tests."""
import pytest

from genlib.models import stable_diffusion, vae


@pytest.fixture(scope="module")
def pipe():
    return stable_diffusion.load("demo")


@pytest.fixture(scope="module")
def autoencoder():
    return vae.load("demo")
