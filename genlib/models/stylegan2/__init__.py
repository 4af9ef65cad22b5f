"""StyleGAN2-ADA: load a generator, also from the network files that NVIDIA publishes."""
from genlib.models.presets import BASE_URL, PRESETS, SHA256
from genlib.models.stylegan2.load import build, config, load, read
from genlib.models.stylegan2.network import Generator

__all__ = ["BASE_URL", "PRESETS", "SHA256", "Generator", "build", "config", "load", "read"]
