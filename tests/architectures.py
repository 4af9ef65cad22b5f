"""The published architectures of text-to-image models, as folders of configurations without weights."""
import json
from pathlib import Path

from genlib.models import stable_diffusion, vae

SD_VAE = vae.V1_CONFIG
VAE_16 = SD_VAE | dict(sample_size=1024, latent_channels=16, use_quant_conv=False, use_post_quant_conv=False)
CLIP_L = stable_diffusion.TEXT_CONFIG | dict(bos_token_id=49406, eos_token_id=49407, pad_token_id=49407)
CLIP_G = CLIP_L | dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20, projection_dim=1280,
                       hidden_act="gelu")
T5_XXL = dict(d_model=4096, d_ff=10240, d_kv=64, num_heads=64, num_layers=24, vocab_size=32128, feed_forward_proj="gated-gelu",
              tie_word_embeddings=False)
ENLARGING = dict(sample_size=256, layers_per_block=3, down_block_types=["ResnetDownsampleBlock2D"] * 4,
                 up_block_types=["ResnetUpsampleBlock2D"] * 4, block_out_channels=[320, 640, 960, 1280], in_channels=6, out_channels=3,
                 add_attention=False)
FLOW, CLIP_TOKENIZER, T5_TOKENIZER = "FlowMatchEulerDiscreteScheduler", "CLIPTokenizer", "T5TokenizerFast"


def of_transformers(kind: str, **config) -> tuple:
    return "transformers", kind, config


def of_diffusers(kind: str, **config) -> tuple:
    return "diffusers", kind, config


PIPELINES = {  # name: class, and of each part its library, class and configuration
    "v1-5": ("StableDiffusionPipeline", dict(
        unet=of_diffusers("UNet2DConditionModel", **stable_diffusion.UNET_CONFIG), vae=of_diffusers("AutoencoderKL", **SD_VAE),
        text_encoder=of_transformers("CLIPTextModel", **CLIP_L), tokenizer=of_transformers(CLIP_TOKENIZER),
        scheduler=of_diffusers("PNDMScheduler", **stable_diffusion.SCHEDULER_CONFIG))),
    "sdxl": ("StableDiffusionXLPipeline", dict(
        unet=of_diffusers(
            "UNet2DConditionModel", sample_size=128, block_out_channels=[320, 640, 1280], layers_per_block=2, cross_attention_dim=2048,
            down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"], attention_head_dim=[5, 10, 20],
            up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], transformer_layers_per_block=[1, 2, 10],
            use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816),
        vae=of_diffusers("AutoencoderKL", **SD_VAE | dict(sample_size=1024, scaling_factor=0.13025)),
        text_encoder=of_transformers("CLIPTextModel", **CLIP_L), tokenizer=of_transformers(CLIP_TOKENIZER),
        text_encoder_2=of_transformers("CLIPTextModelWithProjection", **CLIP_G), tokenizer_2=of_transformers(CLIP_TOKENIZER),
        scheduler=of_diffusers("EulerDiscreteScheduler", beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012))),
    "sd3": ("StableDiffusion3Pipeline", dict(
        transformer=of_diffusers(
            "SD3Transformer2DModel", sample_size=128, patch_size=2, in_channels=16, out_channels=16, num_layers=24, attention_head_dim=64,
            num_attention_heads=24, joint_attention_dim=4096, caption_projection_dim=1536, pooled_projection_dim=2048,
            pos_embed_max_size=192),
        vae=of_diffusers("AutoencoderKL", **VAE_16 | dict(scaling_factor=1.5305, shift_factor=0.0609)),
        text_encoder=of_transformers("CLIPTextModelWithProjection", **CLIP_L), tokenizer=of_transformers(CLIP_TOKENIZER),
        text_encoder_2=of_transformers("CLIPTextModelWithProjection", **CLIP_G), tokenizer_2=of_transformers(CLIP_TOKENIZER),
        text_encoder_3=of_transformers("T5EncoderModel", **T5_XXL), tokenizer_3=of_transformers(T5_TOKENIZER),
        scheduler=of_diffusers(FLOW, shift=3.0))),
    "pixart": ("PixArtAlphaPipeline", dict(
        transformer=of_diffusers(
            "Transformer2DModel", sample_size=128, num_layers=28, attention_head_dim=72, num_attention_heads=16, in_channels=4,
            out_channels=8, patch_size=2, attention_bias=True, activation_fn="gelu-approximate", num_embeds_ada_norm=1000,
            cross_attention_dim=1152, norm_type="ada_norm_single", norm_elementwise_affine=False, norm_eps=1e-6, caption_channels=4096),
        vae=of_diffusers("AutoencoderKL", **SD_VAE), text_encoder=of_transformers("T5EncoderModel", **T5_XXL),
        tokenizer=of_transformers("T5Tokenizer"), scheduler=of_diffusers("DPMSolverMultistepScheduler"))),
    "flux-schnell": ("FluxPipeline", dict(
        transformer=of_diffusers(
            "FluxTransformer2DModel", patch_size=1, in_channels=64, num_layers=19, num_single_layers=38, attention_head_dim=128,
            num_attention_heads=24, joint_attention_dim=4096, pooled_projection_dim=768, guidance_embeds=False),
        vae=of_diffusers("AutoencoderKL", **VAE_16 | dict(scaling_factor=0.3611, shift_factor=0.1159)),
        text_encoder=of_transformers("CLIPTextModel", **CLIP_L), tokenizer=of_transformers(CLIP_TOKENIZER),
        text_encoder_2=of_transformers("T5EncoderModel", **T5_XXL), tokenizer_2=of_transformers(T5_TOKENIZER),
        scheduler=of_diffusers(FLOW, shift=1.0))),
    "qwen-image": ("QwenImagePipeline", dict(  # small: published it has 20 billion parameters and a text encoder of 8 billion
        transformer=of_diffusers("QwenImageTransformer2DModel", patch_size=2, in_channels=16, out_channels=4, num_layers=1,
                                 attention_head_dim=16, num_attention_heads=2, joint_attention_dim=16, axes_dims_rope=[8, 4, 4]),
        vae=of_diffusers("AutoencoderKLQwenImage", base_dim=24, z_dim=4, dim_mult=[1, 2, 4], num_res_blocks=1, attn_scales=[],
                         temperal_downsample=[False, True], latents_mean=[0.0] * 4, latents_std=[1.0] * 4),
        text_encoder=of_transformers(
            "Qwen2_5_VLForConditionalGeneration",
            text_config=dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
                             vocab_size=514, rope_parameters=dict(mrope_section=[1, 1, 2], rope_type="default", rope_theta=1e6)),
            vision_config=dict(depth=1, hidden_size=16, intermediate_size=16, num_heads=2, out_hidden_size=16)),
        tokenizer=of_transformers("Qwen2Tokenizer"), scheduler=of_diffusers(FLOW))),
    "karlo": ("UnCLIPPipeline", dict(
        prior=of_diffusers("PriorTransformer", num_attention_heads=32, attention_head_dim=64, num_layers=20, embedding_dim=768),
        decoder=of_diffusers(
            "UNet2DConditionModel", sample_size=64, layers_per_block=3, in_channels=3, out_channels=6, cross_attention_dim=1536,
            down_block_types=["ResnetDownsampleBlock2D"] + ["SimpleCrossAttnDownBlock2D"] * 3, attention_head_dim=64,
            up_block_types=["SimpleCrossAttnUpBlock2D"] * 3 + ["ResnetUpsampleBlock2D"], class_embed_type="identity",
            mid_block_type="UNetMidBlock2DSimpleCrossAttn", block_out_channels=[320, 640, 960, 1280],
            resnet_time_scale_shift="scale_shift"),
        text_encoder=of_transformers("CLIPTextModelWithProjection", **CLIP_L), tokenizer=of_transformers(CLIP_TOKENIZER),
        text_proj=("unclip", "UnCLIPTextProjModel", dict(clip_extra_context_tokens=4, clip_embeddings_dim=768, time_embed_dim=1280,
                                                         cross_attention_dim=1536)),
        super_res_first=of_diffusers("UNet2DModel", **ENLARGING), super_res_last=of_diffusers("UNet2DModel", **ENLARGING),
        prior_scheduler=of_diffusers("UnCLIPScheduler", variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0),
        decoder_scheduler=of_diffusers("UnCLIPScheduler", variance_type="learned_range"),
        super_res_scheduler=of_diffusers("UnCLIPScheduler", variance_type="fixed_small_log"))),
}


def write(folder: Path, name: str, changes: dict[str, dict] | None = None) -> Path:
    """Write the configurations of PIPELINES[name], those of some parts changed, and return the folder."""
    kind, parts = PIPELINES[name]
    folder.mkdir(parents=True)
    index = {"_class_name": kind, "_diffusers_version": "0.39.0"} | {part: [library, cls] for part, (library, cls, _) in parts.items()}
    (folder / "model_index.json").write_text(json.dumps(index))
    for part, (_, cls, config) in parts.items():
        if "Tokenizer" not in cls:
            file = folder / part / ("scheduler_config.json" if cls.endswith("Scheduler") else "config.json")
            file.parent.mkdir()
            file.write_text(json.dumps({"_class_name": cls} | config | (changes or {}).get(part, {})))
    return folder
