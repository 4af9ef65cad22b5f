"""A whole model in one file: loaded without a network, or refused with what to do."""
import numpy as np
import pytest
import torch
from model_folders import in_cache, write_single_file
from safetensors.torch import load_file, save_file

from genlib.models import hub, stable_diffusion, vae


@pytest.fixture(scope="module")
def file(pipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "dreamlike.safetensors"
    write_single_file(pipe, path)
    return path


@pytest.fixture
def settings_cached(pipe, tmp_path, no_network):
    """v1-4's settings in the Hub's cache, without its weights; here they are the demo's, as the file is."""
    pipe.save_pretrained(tmp_path / "settings")
    in_cache(no_network, tmp_path / "settings", hub.V1_4, hub.V1_4_REVISION, leave_out="safetensors$")


def test_a_single_file_is_loaded_without_a_network_and_draws_the_same_picture(file, pipe, settings_cached):
    loaded = stable_diffusion.load(model_id=file)
    assert (loaded.info.name, loaded.info.source, loaded.info.weights) == ("dreamlike", "dreamlike.safetensors", "published")
    assert len(loaded.info.sha256) == 64 and loaded.info.parameters == pipe.info.parameters
    latents = stable_diffusion.random_latents(pipe)
    a, b = (np.asarray(p(prompt="red hair", latents=latents, num_inference_steps=2).images[0]) for p in (loaded, pipe))
    assert (a == b).all()
    assert stable_diffusion.load(model_id=str(file), dtype="float16", profile="tuned").unet.dtype == torch.float16


def test_the_autoencoder_of_a_single_file_is_loaded_alone(file, autoencoder, settings_cached, tmp_path):
    alone = tmp_path / "vae.safetensors"
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    loaded = vae.load(model_id=file)
    assert loaded.info.name == "VAE of dreamlike" and torch.equal(vae.encode(loaded, image), vae.encode(autoencoder, image))
    start = "first_stage_model."
    save_file({name.removeprefix(start): tensor for name, tensor in load_file(file).items() if name.startswith(start)}, alone)
    assert torch.equal(vae.encode(vae.load(model_id=alone), image), vae.encode(autoencoder, image))


def test_without_the_settings_and_without_a_network_a_sentence_says_where_they_come_from(file, no_network):
    for load in stable_diffusion.load, vae.load:
        with pytest.raises(ConnectionError, match="dreamlike.safetensors holds weights alone, .*CompVis/stable-diffusion-v1-4 could not"):
            load(model_id=file)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin", ".CKPT"])
def test_a_file_that_can_run_code_is_refused_unopened_with_what_to_do(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"\x80\x04c__builtin__\neval\n")
    for load in stable_diffusion.load, vae.load:
        with pytest.raises(ValueError, match=f"model{suffix} is refused, since .* can run code .*convert it"):
            load(model_id=path)


def test_a_suffix_in_capitals_which_the_library_would_give_to_torch_load_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.load", lambda *a, **k: pytest.fail("it was opened"))
    save_file({"decoder.conv_in.weight": torch.ones(2)}, tmp_path / "VAE.SAFETENSORS")
    for load in stable_diffusion.load, vae.load:
        with pytest.raises(ValueError, match="rename it to VAE.safetensors"):
            load(model_id=tmp_path / "VAE.SAFETENSORS")


def test_settings_that_are_gone_from_the_hub_are_said_to_be_anothers(file, no_network, monkeypatch):
    monkeypatch.setattr(hub.Model, "index", lambda self: (_ for _ in ()).throw(FileNotFoundError("there is no model x")))
    with pytest.raises(FileNotFoundError, match="dreamlike.safetensors holds weights alone, .* another model's, and there is no model x"):
        stable_diffusion.load(model_id=file)


@pytest.mark.parametrize("name, part", [("text", "cond_stage"), ("UNet", "diffusion_model"), ("autoencoder", "first_stage")])
def test_a_file_without_one_of_the_three_networks_is_named_as_no_whole_model(pipe, tmp_path, name, part):
    write_single_file(pipe, tmp_path / "pruned.safetensors", leave_out=part)
    with pytest.raises(ValueError, match=f"pruned.safetensors holds no {name}.*, so it is no whole Stable Diffusion"):
        stable_diffusion.load(model_id=tmp_path / "pruned.safetensors")


def test_a_lora_is_named(tmp_path):
    save_file({"lora_unet_down_blocks_0.lora_up.weight": torch.ones(2)}, tmp_path / "style.safetensors")
    with pytest.raises(ValueError, match="no whole Stable Diffusion but a LoRA"):
        stable_diffusion.load(model_id=tmp_path / "style.safetensors")


def test_a_file_that_lacks_a_tensor_is_refused(pipe, tmp_path, settings_cached):
    for missing in "out.2.weight", "final_layer_norm.bias", "decoder.conv_out.bias":
        write_single_file(pipe, tmp_path / "cut.safetensors", leave_out=missing)
        with pytest.raises(ValueError, match=r"cut.safetensors cannot be loaded as a .* \(tensors are missing\).*again"):
            stable_diffusion.load(model_id=tmp_path / "cut.safetensors")


def test_a_file_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path, no_network):
    with pytest.raises(FileNotFoundError, match="there is no file .*nothing.safetensors"):
        stable_diffusion.load(model_id=tmp_path / "nothing.safetensors")
