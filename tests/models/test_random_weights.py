"""Models of the Hub from their configurations alone: at full size counted, small ones drawn."""
import json
import shutil

import numpy as np
import pytest
import torch
from architectures import PIPELINES, write
from diffusers import FluxPipeline, PixArtAlphaPipeline, QwenImagePipeline, StableDiffusion3Pipeline, StableDiffusionXLPipeline
from model_folders import in_cache
from transformers import CLIPTokenizer

from genlib.models import calls, random_weights, stable_diffusion, vae, weights
from genlib.models.unclip import UnCLIP

CLIP = dict(hidden_size=32, intermediate_size=37, num_hidden_layers=1, num_attention_heads=4, projection_dim=32, vocab_size=514)
T5 = dict(d_model=32, d_ff=37, d_kv=8, num_heads=4, num_layers=1, vocab_size=514)
VAE = dict(block_out_channels=[8, 16], norm_num_groups=8, latent_channels=4, down_block_types=["DownEncoderBlock2D"] * 2,
           up_block_types=["UpDecoderBlock2D"] * 2, layers_per_block=1)
ENLARGING = dict(sample_size=32, layers_per_block=1, block_out_channels=[32, 64], down_block_types=["ResnetDownsampleBlock2D"] * 2,
                 up_block_types=["ResnetUpsampleBlock2D"] * 2)
SMALL = {  # what is smaller than published
    "v1-5": dict(unet=dict(sample_size=8, layers_per_block=1, block_out_channels=[32, 64, 64, 64], cross_attention_dim=32), vae=VAE,
                 text_encoder=CLIP),
    "sdxl": dict(unet=dict(sample_size=8, layers_per_block=1, block_out_channels=[32, 64, 64], attention_head_dim=[2, 4, 4],
                           cross_attention_dim=64, transformer_layers_per_block=[1, 1, 1], addition_time_embed_dim=8,
                           projection_class_embeddings_input_dim=32 + 6 * 8), vae=VAE, text_encoder=CLIP, text_encoder_2=CLIP),
    "sd3": dict(transformer=dict(sample_size=8, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=4,
                                 joint_attention_dim=64, caption_projection_dim=32, pooled_projection_dim=64, pos_embed_max_size=16),
                vae=VAE, text_encoder=CLIP, text_encoder_2=CLIP, text_encoder_3=T5 | dict(d_model=64)),
    "pixart": dict(transformer=dict(sample_size=32, num_layers=1, attention_head_dim=8, num_attention_heads=2, caption_channels=32,
                                    cross_attention_dim=16), vae=VAE, text_encoder=T5),
    "flux-schnell": dict(transformer=dict(in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
                                          joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=[4, 4, 8]), vae=VAE,
                         text_encoder=CLIP, text_encoder_2=T5),
    "qwen-image": {},  # which tests/architectures.py has small
    "karlo": dict(prior=dict(num_attention_heads=2, attention_head_dim=12, embedding_dim=32, num_layers=1),
                  decoder=dict(sample_size=16, layers_per_block=1, block_out_channels=[32, 64], cross_attention_dim=16,
                               attention_head_dim=4, down_block_types=["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"],
                               up_block_types=["SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"]),
                  text_encoder=CLIP, text_proj=dict(clip_embeddings_dim=32, time_embed_dim=128, cross_attention_dim=16),
                  super_res_first=ENLARGING, super_res_last=ENLARGING),
}
CLASSES = {"sdxl": StableDiffusionXLPipeline, "sd3": StableDiffusion3Pipeline, "pixart": PixArtAlphaPipeline, "flux-schnell": FluxPipeline,
           "qwen-image": QwenImagePipeline, "karlo": UnCLIP}
FULL = {  # millions of parameters as published, by component, and of all
    "v1-5": (dict(unet=859.5, text_encoder=123.1), 1066), "sdxl": (dict(unet=2567.5, text_encoder_2=694.7), 3469),
    "sd3": (dict(transformer=2028.3, text_encoder_3=4762.3), 7693), "pixart": (dict(transformer=611.3), 5457),
    "flux-schnell": (dict(transformer=11891.2), 16860), "karlo": (dict(prior=1022.0, decoder=885.4, super_res_first=691.6), 3422)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A function that gives a small model's folder, of configurations alone."""
    folder = tmp_path_factory.mktemp("models")
    return lambda name: folder / name if (folder / name).exists() else write(folder / name, name, SMALL[name])


def draw(pipe, seeds, prompt="a face", steps=2):
    if hasattr(pipe, "default_sample_size") and not calls.takes_latents(pipe):
        pipe.default_sample_size = 8  # FLUX and Qwen-Image know no smaller one
    return pipe(prompt=[prompt] * len(seeds), **stable_diffusion.start(pipe, seeds)(), num_inference_steps=steps,
                guidance_scale=stable_diffusion.guidance_scale(pipe)).images


@pytest.mark.parametrize("name", SMALL)
def test_every_architecture_is_made_from_its_configurations_and_draws_what_the_seed_says(folders, name):
    pipe = stable_diffusion.load("random", model_id=folders(name), profile="tuned")
    assert isinstance(pipe, CLASSES.get(name, object)) and (pipe.info.name, pipe.info.weights) == (name, "random")
    first, again, other = draw(pipe, [3]), draw(pipe, [3]), draw(pipe, [4])
    assert np.array_equal(*map(np.asarray, (first[0], again[0]))) and not np.array_equal(*map(np.asarray, (first[0], other[0])))
    assert not first[0].info and first[0].size == draw(pipe, [3, 4])[1].size


@pytest.mark.parametrize("name", FULL)
def test_at_full_size_the_parameters_are_the_published_ones_and_what_does_not_fit_is_said_before_it_is_made(tmp_path, monkeypatch, name):
    parts, millions = FULL[name]
    monkeypatch.setattr(weights, "free_bytes", lambda: 1024**3)
    said = rf"{name} with random weights in float32 \(\d+\.\d GiB\) does not fit into the memory of .* \(1.0 GiB free\)"
    with pytest.raises(MemoryError, match=said) as raised:
        stable_diffusion.load("random", model_id=write(tmp_path / name, name))
    counted = raised.value.info.parameters
    assert {part: round(counted[part] / 1e6, 1) for part in parts} == parts and round(sum(counted.values()) / 1e6) == millions
    assert sum(raised.value.info.bytes.values()) == pytest.approx(4 * sum(counted.values()), rel=0.01), "and buffers"


def test_the_same_values_each_time_and_the_users_random_numbers_left_alone(folders):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (stable_diffusion.load("random", model_id=folders("v1-5")).unet.conv_in.weight for _ in range(2))
    assert torch.equal(torch.rand(3), expected) and torch.equal(first, second) and first.std() > 0


def test_in_half_precision_t5_keeps_in_float32_what_its_library_keeps(folders, tmp_path):
    pipe = stable_diffusion.load("random", model_id=folders("pixart"), dtype="float16")
    made = {name: tensor.dtype for name, tensor in pipe.text_encoder.named_parameters()}
    pipe.text_encoder.save_pretrained(tmp_path)
    loaded = type(pipe.text_encoder).from_pretrained(tmp_path, dtype=torch.float16)
    assert made == {name: tensor.dtype for name, tensor in loaded.named_parameters()} and torch.float32 in made.values()


def test_a_tokenizer_that_is_there_is_taken_and_another_replaced(folders, tmp_path):
    folder = shutil.copytree(folders("sdxl"), tmp_path / "sdxl")
    words = ["<|startoftext|>", "<|endoftext|>", "a</w>"]
    CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=20).save_pretrained(folder / "tokenizer")
    pipe = stable_diffusion.load("random", model_id=folder)
    assert len(pipe.tokenizer) == 3 and len(pipe.tokenizer_2) == len(random_weights.byte_tokenizer())


def test_of_the_hub_no_weights_are_asked_for_and_its_cache_of_configurations_serves_without_a_network(folders, no_network):
    in_cache(no_network, folders("sdxl"), "somebody/something")
    pipe = stable_diffusion.load("random", model_id="somebody/something")
    assert (pipe.info.source, pipe.info.weights) == ("somebody/something", "random")
    with pytest.raises(ConnectionError, match="somebody/something"):
        stable_diffusion.load(model_id="somebody/something")


@pytest.mark.parametrize("asked, made", [("random", "random"), ("auto", "published"), ("published", "published"), ("demo", "published")])
def test_a_models_own_weights_are_meant_by_every_word_but_random(monkeypatch, asked, made):
    assert weights.resolve(asked, "somebody/something") == made
    monkeypatch.setenv("GENLIB_WEIGHTS", asked)
    assert weights.resolve("auto", "somebody/something") == made


def test_settings_of_which_the_library_makes_no_network_are_refused_in_a_sentence(folders, tmp_path):
    folder = shutil.copytree(folders("v1-5"), tmp_path / "model")
    config = json.loads((folder / "unet/config.json").read_text())
    (folder / "unet/config.json").write_text(json.dumps(config | dict(down_block_types=["NoBlock"] * 4)))
    with pytest.raises(ValueError, match="unet cannot be loaded as a UNet2DConditionModel .*: its settings and its weights do not fit"):
        stable_diffusion.load("random", model_id=folder)


@pytest.mark.parametrize("load", [stable_diffusion.load, vae.load])
def test_a_single_file_has_no_settings_for_random_weights(tmp_path, load):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ValueError, match="model is a single file, which holds no settings to make a model with random weights from: give"):
        load("random", model_id=tmp_path / "model.safetensors")


def test_another_models_autoencoder_alone_has_random_weights_too(folders):
    loaded = vae.load("random", model_id=folders("flux-schnell"))
    assert (loaded.info.name, loaded.info.weights, loaded.config.latent_channels) == ("VAE of flux-schnell", "random", 4)


def test_a_model_that_draws_its_own_noise_says_so_where_latents_are_asked_for(folders):
    pipe = stable_diffusion.load("random", model_id=folders("karlo"))
    with pytest.raises(ValueError, match="this model is a UnCLIPPipeline, which draws its own noise: call it with what stable"):
        stable_diffusion.random_latents(pipe)


def test_steps_are_the_pipelines_own_or_few_where_the_model_was_distilled_to_need_few(folders, pipe):
    assert {name: stable_diffusion.usual_steps(stable_diffusion.load("random", model_id=folders(name)))
            for name in ("pixart", "flux-schnell", "karlo")} == {"pixart": 20, "flux-schnell": 4, "karlo": 25}
    assert stable_diffusion.usual_steps(pipe) == 50


def test_unclip_takes_two_steps_at_least_and_no_guidance_where_none_is_asked_for(folders):
    pipe, batches = stable_diffusion.load("random", model_id=folders("karlo")), {"prior": [], "decoder": []}
    for name, found in batches.items():
        getattr(pipe, name).register_forward_hook(lambda module, inputs, output, found=found: found.append(len(output[0])))
    draw(pipe, [0], steps=1)
    pipe(prompt="a face", **stable_diffusion.start(pipe)(), num_inference_steps=3, guidance_scale=1.0)
    assert batches == {name: [2, 2, 1, 1, 1] for name in batches}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_unclip_on_a_cpu_is_refused_in_what_torch_cannot_enlarge_in(folders, dtype):
    with pytest.raises(ValueError, match=f"karlo enlarges its pictures in {dtype}, which torch does on GPUs only: use dtype='float32'"):
        stable_diffusion.load("random", model_id=folders("karlo"), dtype=dtype)


@pytest.mark.filterwarnings("error")
def test_a_picture_of_unclip_that_is_not_finite_is_marked(folders):
    pipe = stable_diffusion.load("random", model_id=folders("karlo"))
    pipe.super_res_last.conv_out.bias.fill_(float("nan"))
    assert "NaN" in draw(pipe, [0])[0].info["doubt"]


def test_latents_of_a_batch_are_those_of_its_seeds(pipe):
    batch = stable_diffusion.start(pipe, [3, 7])()["latents"]
    assert torch.equal(batch, torch.cat([stable_diffusion.random_latents(pipe, 3), stable_diffusion.random_latents(pipe, 7)]))


def test_the_small_models_are_those_of_the_published_architectures():
    assert set(SMALL) == set(PIPELINES) == {*FULL, "qwen-image"}
