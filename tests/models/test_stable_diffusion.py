"""Stable Diffusion: the demo, models of other classes, published weights in local folders."""
import json
import shutil
import warnings

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    EulerDiscreteScheduler,
    PriorTransformer,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    StableUnCLIPPipeline,
    UnCLIPScheduler,
    UNet2DConditionModel,
    UNet2DModel,
)
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from genlib import progress
from genlib.models import calls, hub, images, random_weights, stable_diffusion, vae
from genlib.runs import ModelInfo


def draw(pipe, seed=0, prompt="", steps=2, **options):
    latents = stable_diffusion.random_latents(pipe, seed=seed)
    return pipe(prompt=prompt, latents=latents, num_inference_steps=steps, **options).images[0]


def under_way():
    return [str(task) for task in progress._board.tasks]


def difference(a, b):
    return np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max()


def test_the_pipeline_is_the_librarys_own_and_says_what_it_is(pipe):
    assert type(pipe) is StableDiffusionPipeline
    info = pipe.info
    assert isinstance(info, ModelInfo) and (info.weights, info.profile, info.dtype) == ("demo", "thesis", "float32")
    assert info.parameters["unet"] == sum(p.numel() for p in pipe.unet.parameters()) and info.bytes["unet"] >= 4 * info.parameters["unet"]
    assert info.load_time_s > 0 and not info.switches["skip_equal_guidance"]


def test_the_demo_draws_64_pixels_and_the_same_picture_for_the_same_latent(pipe):
    assert draw(pipe).size == (64, 64)
    assert difference(draw(pipe), draw(pipe)) == 0 < difference(draw(pipe), draw(pipe, seed=1))


def test_loading_twice_gives_the_same_model_and_leaves_the_users_random_numbers_alone(pipe):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = stable_diffusion.load("demo")
    assert torch.equal(torch.rand(3), expected)
    assert difference(draw(again), draw(pipe)) == 0


def test_a_model_is_loaded_without_the_libraries_bars_and_each_part_of_it_is_said_in_the_line_of_progress(hub_folder, capfd, monkeypatch):
    said, load_part = [], hub.load_part
    monkeypatch.setattr(hub, "load_part", lambda *arguments: said.append(under_way()) or load_part(*arguments))
    stable_diffusion.load("demo")
    stable_diffusion.load(model_id=hub_folder)
    assert capfd.readouterr().err == "" and not under_way()
    models = "loads Stable Diffusion v1-4, demo weights", f"loads {hub_folder.name}, published weights"
    assert sorted(map(tuple, said)) == [(model, part) for model in models for part in ("text_encoder", "unet", "vae")]


def test_a_picture_counts_its_steps_and_draws_no_bar(pipe, capfd):
    said = []
    hook = pipe.unet.register_forward_hook(lambda *_: said.append(under_way()))
    draw(pipe, steps=3)
    hook.remove()
    assert said == [[f"step {number} of 3"] for number in (1, 2, 2, 3)] or said == [[f"step {number} of 3"] for number in (1, 1, 2, 3)]
    assert capfd.readouterr().err == ""


def test_latents_are_standard_normal_of_the_right_shape_and_follow_the_seed(pipe):
    latents = stable_diffusion.random_latents(pipe, seed=3, batch_size=200)
    assert latents.shape == (200, 4, 8, 8) and latents.dtype == pipe.unet.dtype
    assert abs(latents.mean()) < 0.02 and abs(latents.std() - 1) < 0.02
    assert torch.equal(latents, stable_diffusion.random_latents(pipe, seed=3, batch_size=200))
    assert not torch.equal(latents, stable_diffusion.random_latents(pipe, seed=4, batch_size=200))


def test_a_prompt_changes_the_picture_and_guidance_changes_it_only_then(pipe):
    assert difference(draw(pipe, prompt="red hair"), draw(pipe, prompt="")) > 0
    assert difference(draw(pipe, prompt="", guidance_scale=1.0), draw(pipe, prompt="", guidance_scale=7.5)) <= 1  # rounding
    assert difference(draw(pipe, prompt="red hair", guidance_scale=1.0), draw(pipe, prompt="red hair", guidance_scale=7.5)) > 1


def test_the_tokenizer_needs_no_download_and_loses_nothing():
    tokenizer = random_weights.byte_tokenizer()
    text = "a smiling face, with glasses"
    tokens = tokenizer(text, padding="max_length", max_length=77, truncation=True)
    assert len(tokens.input_ids) == 77 and tokens.input_ids[0] == tokenizer.bos_token_id and max(tokens.input_ids) == 513
    assert tokenizer.decode(tokens.input_ids, skip_special_tokens=True).replace(" ", "") == text.replace(" ", "")
    assert tokenizer("обличчя").input_ids != tokenizer("портрет").input_ids


def unet_batches(pipe, **call):
    batches = []
    hook = pipe.unet.register_forward_hook(lambda module, inputs, output: batches.append(inputs[0].shape[0]))
    picture = draw(pipe, **call)
    hook.remove()
    return batches, picture


def test_the_tuned_profile_skips_guidance_between_equal_embeddings_and_draws_the_same_picture(pipe):
    tuned = stable_diffusion.load("demo", profile="tuned")
    assert tuned.info.switches["skip_equal_guidance"] and tuned.info.switches["vae_slicing"]
    for prompt, batch in ("", 1), ("red hair", 2):
        batches, picture = unet_batches(tuned, prompt=prompt, steps=3)
        plain_batches, plain = unet_batches(pipe, prompt=prompt, steps=3)
        assert batches == [batch] * 4 and plain_batches == [2] * 4, "PNDM: one call more than steps"
        assert difference(picture, plain) <= 1, "batch 1 and batch 2 may round differently"


def test_a_random_model_has_the_published_size():
    with torch.device("meta"):
        unet = stable_diffusion.UNet2DConditionModel(**stable_diffusion.UNET_CONFIG)
        text = stable_diffusion.CLIPTextModel(stable_diffusion.CLIPTextConfig(**stable_diffusion.TEXT_CONFIG))
        autoencoder = AutoencoderKL(**vae.V1_CONFIG)
        checker = stable_diffusion.StableDiffusionSafetyChecker(stable_diffusion.CLIPConfig(**stable_diffusion.CHECKER_CONFIG))
    sizes = [sum(p.numel() for p in module.parameters()) for module in (unet, autoencoder, text)]
    assert sizes == [859_520_964, 83_653_863, 123_060_480]
    assert sum(p.numel() for p in checker.parameters()) == pytest.approx(303_981_588, rel=1e-3)


def test_the_demo_has_no_safety_checker_and_says_so():
    with pytest.raises(ValueError, match="safety_checker is True, but the demo"):
        stable_diffusion.load("demo", safety_checker=True)


# --- published weights, on local folders in the Hub's layout

@pytest.fixture(scope="module")
def hub_folder(pipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "some-model"
    pipe.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def fp16_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "some-model"
    stable_diffusion.load("demo", dtype="float16").save_pretrained(folder, variant="fp16")
    return folder


def test_a_folder_in_the_hubs_layout_loads_without_a_warning_and_draws_the_same_picture(pipe, hub_folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = stable_diffusion.load(model_id=hub_folder)
    assert loaded.info.weights == "published" and loaded.info.name == hub_folder.name
    assert difference(draw(loaded), draw(pipe)) == 0


def test_half_precision_takes_the_fp16_files_and_float32_is_refused_where_there_are_no_others(fp16_folder):
    for dtype in torch.float16, torch.bfloat16:
        loaded = stable_diffusion.load(model_id=fp16_folder, dtype=dtype)
        assert loaded.unet.dtype == dtype and loaded.info.dtype == str(dtype).removeprefix("torch.")
    with pytest.raises(FileNotFoundError, match="no safetensors files for torch.float32"):
        stable_diffusion.load(model_id=fp16_folder, dtype="float32")


def test_a_model_with_only_bin_files_is_refused_with_the_reason(hub_folder, tmp_path):
    shutil.copytree(hub_folder, tmp_path / "model")
    for file in (tmp_path / "model").rglob("*.safetensors"):
        torch.save(load_file(file), file.with_suffix(".bin"))
        file.unlink()
    with pytest.raises(FileNotFoundError, match="can run code when they are opened"):
        stable_diffusion.load(model_id=tmp_path / "model")


@pytest.fixture(scope="module")
def sdxl_folder(pipe, tmp_path_factory):
    """A tiny Stable Diffusion XL: two text encoders, another scheduler, pooled embeddings."""
    size = dict(hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4, projection_dim=32,
                vocab_size=len(pipe.tokenizer), bos_token_id=pipe.tokenizer.bos_token_id, eos_token_id=pipe.tokenizer.eos_token_id)
    unet = UNet2DConditionModel(
        sample_size=8, layers_per_block=1, block_out_channels=(32, 64), cross_attention_dim=64, norm_num_groups=16,
        attention_head_dim=(2, 4),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=32 + 6 * 8, transformer_layers_per_block=(1, 2))
    folder = tmp_path_factory.mktemp("hub") / "tiny-sdxl"
    StableDiffusionXLPipeline(
        vae=pipe.vae, unet=unet, text_encoder=CLIPTextModel(CLIPTextConfig(**size)), tokenizer=pipe.tokenizer,
        text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**size)), tokenizer_2=pipe.tokenizer,
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear"), add_watermarker=False).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("profile", ["thesis", "tuned"])
def test_a_model_of_another_class_is_loaded_as_its_index_says_and_named(sdxl_folder, profile):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = stable_diffusion.load(model_id=str(sdxl_folder), profile=profile)
    assert type(loaded) is StableDiffusionXLPipeline and loaded.info.name == "tiny-sdxl"
    assert {"unet", "vae", "text_encoder", "text_encoder_2"} == set(loaded.info.parameters)
    assert not loaded.info.switches["skip_equal_guidance"] and loaded.info.switches["vae_slicing"] == (profile == "tuned")
    [image] = loaded(prompt="", latents=stable_diffusion.random_latents(loaded), num_inference_steps=2).images
    assert image.size == (64, 64) and stable_diffusion.guidance_scale(loaded) == 5.0


@pytest.fixture(scope="module")
def unclip_folder(pipe, tmp_path_factory):
    """A tiny Stable unCLIP: a prior turns the prompt into a picture's embedding, a UNet both into latents."""
    text = CLIPTextConfig(hidden_size=32, intermediate_size=37, num_hidden_layers=1, num_attention_heads=4, projection_dim=32,
                          vocab_size=len(pipe.tokenizer), bos_token_id=pipe.tokenizer.bos_token_id,
                          eos_token_id=pipe.tokenizer.eos_token_id)
    unet = UNet2DConditionModel(
        sample_size=8, layers_per_block=1, block_out_channels=(32, 64), cross_attention_dim=32, attention_head_dim=(2, 4),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        class_embed_type="projection", projection_class_embeddings_input_dim=64, use_linear_projection=True)
    folder = tmp_path_factory.mktemp("hub") / "tiny-unclip"
    StableUnCLIPPipeline(
        prior=PriorTransformer(num_attention_heads=2, attention_head_dim=12, embedding_dim=32, num_layers=1), vae=pipe.vae, unet=unet,
        prior_tokenizer=pipe.tokenizer, prior_text_encoder=CLIPTextModelWithProjection(text), tokenizer=pipe.tokenizer,
        prior_scheduler=UnCLIPScheduler(prediction_type="sample", variance_type="fixed_small_log", clip_sample_range=5.0),
        image_normalizer=StableUnCLIPImageNormalizer(embedding_dim=32), scheduler=DDIMScheduler(),
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"), text_encoder=CLIPTextModel(text)).save_pretrained(folder)
    return folder


def test_a_model_with_a_prior_is_loaded_and_counted_and_draws(unclip_folder):
    loaded = stable_diffusion.load(model_id=str(unclip_folder))
    assert type(loaded) is StableUnCLIPPipeline and {"prior", "unet", "prior_text_encoder"} <= set(loaded.info.parameters)
    [image] = loaded(prompt="", latents=stable_diffusion.random_latents(loaded), num_inference_steps=2, prior_num_inference_steps=2).images
    assert image.size == (64, 64) and loaded.info.name == "tiny-unclip"


def test_another_models_autoencoder_is_loaded_alone_and_named(sdxl_folder, autoencoder):
    loaded = vae.load(model_id=sdxl_folder)
    assert (loaded.info.name, loaded.info.weights) == ("VAE of tiny-sdxl", "published")
    image = images.to_tensor([images.photograph(64)], like=loaded)
    assert torch.equal(vae.encode(loaded, image), vae.encode(autoencoder, image)), "the same values: that model was made with them"


def test_the_guidance_scale_is_that_of_the_thesis_except_for_the_demo(pipe, hub_folder):
    assert stable_diffusion.guidance_scale(stable_diffusion.load(model_id=hub_folder)) == 7.5
    assert stable_diffusion.guidance_scale(pipe) == 3


def test_a_turbo_draws_without_guidance(sdxl_folder, tmp_path):
    shutil.copytree(sdxl_folder, tmp_path / "sdxl-turbo")
    loaded = stable_diffusion.load(model_id=tmp_path / "sdxl-turbo")
    assert stable_diffusion.guidance_scale(loaded) == 0
    batches, picture = unet_batches(loaded, prompt="red hair", steps=1, guidance_scale=stable_diffusion.guidance_scale(loaded))
    assert batches == [1] and picture.size == (64, 64)


@pytest.mark.parametrize("name, reason", [
    ("StableUnCLIPImg2ImgPipeline", "needs more than a prompt"), ("FluxControlPipeline", "needs more than a prompt"),
    ("StableDiffusionInpaintPipeline", "needs more than a prompt"), ("KandinskyV22Pipeline", "takes no prompt"),
    ("LTXPipeline", "draws no single pictures"), ("StableAudioPipeline", "draws no single pictures"),
    ("KandinskyPriorPipeline", "draws no finished pictures"), ("HunyuanImagePipeline", "takes no guidance scale")])
def test_a_model_that_does_not_draw_pictures_from_a_prompt_alone_is_refused_by_its_index(tmp_path, name, reason):
    (tmp_path / "model_index.json").write_text(f'{{"_class_name": "{name}", "_diffusers_version": "0.39.0"}}')
    with pytest.raises(ValueError, match=f"is a {name}, which {reason}.*: use a text-to-image model"):
        stable_diffusion.load(model_id=tmp_path)


def test_a_folder_without_an_index_is_not_said_to_have_bin_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no model_index.json, so it is no pipeline"):
        stable_diffusion.load(model_id=tmp_path)


def test_a_pipeline_that_takes_no_prompt_is_refused(pipe, tmp_path):
    DDPMPipeline(UNet2DModel(sample_size=8, block_out_channels=(32,), down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",)),
                 DDPMScheduler()).save_pretrained(tmp_path / "ddpm")
    with pytest.raises(ValueError, match="ddpm is a DDPMPipeline, which takes no prompt"):
        stable_diffusion.load(model_id=tmp_path / "ddpm")


def test_without_a_network_another_model_is_refused_in_the_same_way(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with warnings.catch_warnings(), pytest.raises((ConnectionError, FileNotFoundError), match="somebody/something"):
        warnings.simplefilter("error")
        stable_diffusion.load(model_id="somebody/something")


def test_the_safety_checkers_cost_is_in_the_record(hub_folder, pipe, tmp_path):
    shutil.copytree(hub_folder, tmp_path / "model")
    small = dict(hidden_size=32, intermediate_size=37, num_hidden_layers=1, num_attention_heads=4)
    checker = StableDiffusionSafetyChecker(CLIPConfig(projection_dim=16, text_config={"hidden_size": 16},
                                                      vision_config=small | dict(patch_size=8, image_size=32)))
    StableDiffusionPipeline(vae=pipe.vae, unet=pipe.unet, text_encoder=pipe.text_encoder, tokenizer=pipe.tokenizer, safety_checker=checker,
                            scheduler=pipe.scheduler, feature_extractor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32)
                            ).save_pretrained(tmp_path / "model")
    without, with_it = (stable_diffusion.load(model_id=tmp_path / "model", safety_checker=value) for value in (False, True))
    assert without.safety_checker is None and "safety_checker" not in without.info.bytes
    assert with_it.info.bytes["safety_checker"] == sum(
        t.numel() * t.element_size() for t in (*checker.parameters(), *checker.buffers())) > 0  # with the buffers, which no file holds
    assert with_it.info.switches["safety_checker"] and with_it(prompt="", num_inference_steps=1).nsfw_content_detected is not None


def test_a_safety_checker_is_recorded_only_where_the_model_has_one(hub_folder, sdxl_folder, capsys):
    for folder in hub_folder, sdxl_folder:
        loaded = stable_diffusion.load(model_id=folder, safety_checker=True)
        assert loaded.info.switches["safety_checker"] is False
        assert f"{folder.name} has no safety checker: its pictures are drawn without one" in capsys.readouterr().out


# --- sizes

@pytest.fixture
def resized(hub_folder, sdxl_folder, tmp_path):
    """A function that copies a model and gives its UNet another sample_size."""
    def copy(size, model="v1"):
        folder = tmp_path / "model"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree({"v1": hub_folder, "sdxl": sdxl_folder}[model], folder)
        config = folder / "unet" / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_size": size}))
        return folder
    return copy


@pytest.mark.parametrize("profile", ["thesis", "tuned"])
@pytest.mark.parametrize("size, picture", [([8, 8], (64, 64)), ([8, 12], (96, 64)), ([16, 8], (64, 128)), (12, (96, 96))])
def test_a_sample_size_that_is_a_list_need_not_be_square(resized, profile, size, picture):
    loaded = stable_diffusion.load(model_id=resized(size), profile=profile)
    height, width = calls.latent_size(loaded)
    assert stable_diffusion.random_latents(loaded, batch_size=2).shape == (2, 4, height, width) == (2, 4, picture[1] // 8, picture[0] // 8)
    assert draw(loaded).size == picture == loaded(prompt="", num_inference_steps=1).images[0].size, "with our latents or its own"


def test_a_list_of_equal_numbers_works_in_pipelines_that_cannot_read_one(resized):
    loaded = stable_diffusion.load(model_id=resized([8, 8], "sdxl"))
    assert draw(loaded).size == (64, 64)
    with pytest.raises(ValueError, match=r"is a StableDiffusionXLPipeline of sample_size \[8, 12\].*draws squares"):
        stable_diffusion.load(model_id=resized([8, 12], "sdxl"))


@pytest.mark.parametrize("size", [None, 0, -8, 8.5, "8", True, [], [8], [8, 8, 8], [8, None], {"height": 8}])
def test_a_sample_size_that_tells_no_size_is_refused_in_a_sentence(resized, size):
    with pytest.raises(ValueError, match="sample_size .*, so the size of its pictures is not known: write the latents' size there"):
        stable_diffusion.load(model_id=resized(size))


def test_an_autoencoder_of_another_factor_gives_pictures_of_its_own_size(pipe, tmp_path):
    network = AutoencoderKL(sample_size=32, block_out_channels=(8, 16), norm_num_groups=8, latent_channels=4,
                            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)
    StableDiffusionPipeline(vae=network, unet=pipe.unet, text_encoder=pipe.text_encoder, tokenizer=pipe.tokenizer, scheduler=pipe.scheduler,
                            safety_checker=None, feature_extractor=None, requires_safety_checker=False).save_pretrained(tmp_path)
    assert draw(stable_diffusion.load(model_id=tmp_path)).size == (16, 16), "2 pixels a latent"


@pytest.mark.parametrize("size, side", [(64, 64), ([64, 96], 64), ([96, 64], 64), (None, 512), (33, 32), (70.0, 512), ("64", 512), (4, 8)])
def test_the_side_of_an_autoencoders_pictures_is_one_that_comes_back_in_its_size(autoencoder, monkeypatch, size, side):
    monkeypatch.setattr(autoencoder, "_internal_dict", autoencoder.config | {"sample_size": size})
    assert vae.picture_side(autoencoder) == side
