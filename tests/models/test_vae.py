"""The autoencoder: shapes, and the mean of the posterior."""
import torch
from diffusers import (
    AutoencoderKL,
)

from genlib.models import images, vae


def test_encoding_gives_an_eighth_of_the_size_and_decoding_the_full_size(autoencoder):
    assert type(autoencoder) is AutoencoderKL and autoencoder.info.parameters.keys() == {"vae"}
    image = images.to_tensor([images.photograph(64), images.photograph(64).rotate(90)], like=autoencoder)
    latents = vae.encode(autoencoder, image)
    assert image.shape == (2, 3, 64, 64) and latents.shape == (2, 4, 8, 8)
    assert vae.decode(autoencoder, latents).shape == image.shape


def test_encoding_is_the_mean_of_the_posterior_and_not_a_sample(autoencoder):
    image = images.to_tensor([images.photograph(64)], like=autoencoder)
    posterior = autoencoder.encode(image).latent_dist
    assert torch.equal(vae.encode(autoencoder, image), posterior.mean) and posterior.std.min() > 0


def test_the_pipelines_vae_and_the_vae_alone_are_the_same_network(pipe, autoencoder):
    image = images.to_tensor([images.photograph(64)], like=autoencoder)
    assert torch.equal(vae.encode(autoencoder, image), vae.encode(pipe.vae, image))
