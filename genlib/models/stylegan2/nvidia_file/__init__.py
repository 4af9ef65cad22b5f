"""NVIDIA's StyleGAN2-ADA network files (.pkl), read without running anything that is in them."""
from genlib.models.stylegan2.nvidia_file.machine import NetworkFileError, show
from genlib.models.stylegan2.nvidia_file.reader import NetworkFile, read

__all__ = ["NetworkFile", "NetworkFileError", "read", "show"]
