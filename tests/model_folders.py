"""Models as people have them, made from the demo: in the Hub's cache, and as one file of a web UI."""
import hashlib
import re
from pathlib import Path

import torch
from safetensors.torch import save_file


def in_cache(cache: Path, folder: Path, name: str, revision: str = "a" * 40, main: bool = True, leave_out: str = "^$") -> Path:
    """Put a folder into the Hub's cache as huggingface_hub does, links to blobs; return the snapshot.

    leave_out: a pattern of files that were not downloaded.
    """
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir(exist_ok=True)
    for file in sorted(folder.rglob("*")):
        relative = file.relative_to(folder)
        if file.is_dir() or re.search(leave_out, relative.as_posix()):
            continue
        blob = repository / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        blob.write_bytes(file.read_bytes())
        (snapshot / relative).parent.mkdir(exist_ok=True)
        (snapshot / relative).symlink_to(blob)
    if main:
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / "main").write_text(revision)
    return snapshot


def write_single_file(pipe, path: Path, leave_out: str = "^$") -> None:
    """Write a v1 pipeline as one file with the names of Rombach et al.'s code, as web UIs have it."""
    tensors = {f"model.diffusion_model.{name}": tensor for name, tensor in _unet(pipe.unet).items()}
    tensors |= {f"first_stage_model.{name}": tensor for name, tensor in _vae(pipe.vae).items()}
    tensors |= {f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}": tensor
                for name, tensor in pipe.text_encoder.state_dict().items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items() if not re.search(leave_out, name)}, path)


RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0", "conv2": "out_layers.3",
          "conv_shortcut": "skip_connection"}
OUTER = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
         "conv_norm_out": "out.0", "conv_out": "out.2"}


def _unet(unet) -> dict[str, torch.Tensor]:
    each = unet.config.layers_per_block + 1  # a down block's residual blocks and its downsampler; an up block's residual blocks
    attends = [hasattr(block, "attentions") for block in unet.up_blocks]
    named = {}
    for name, tensor in unet.state_dict().items():
        stem, _, kind = name.rpartition(".")
        if found := re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", stem):
            way, block, part, number, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
            if way == "down":
                place = f"input_blocks.{block * each + (each if part == 'downsamplers' else number + 1)}"
                place += ".0.op" if part == "downsamplers" else ".0" if part == "resnets" else ".1"
            else:
                last = part == "upsamplers"
                place = f"output_blocks.{block * each + (each - 1 if last else number)}"
                place += f".{1 + attends[block]}.conv" if last else ".0" if part == "resnets" else ".1"
            rest = "" if part.endswith("samplers") else "." + (RESNET[rest] if part == "resnets" else rest)
            stem = place + rest
        elif found := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", stem):
            stem = f"middle_block.1.{found[3]}" if found[1] == "attentions" else f"middle_block.{2 * int(found[2])}.{RESNET[found[3]]}"
        else:
            stem = OUTER[stem]
        named[f"{stem}.{kind}"] = tensor
    return named


def _vae(autoencoder) -> dict[str, torch.Tensor]:
    last = len(autoencoder.config.block_out_channels) - 1
    rules = [(r"(down|up)_blocks\.(\d+)\.resnets\.(\d+)",
              lambda m: f"{m[1]}.{m[2] if m[1] == 'down' else last - int(m[2])}.block.{m[3]}"),
             (r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample"),
             (r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{last - int(m[1])}.upsample"),
             (r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}"), (r"mid_block\.attentions\.0", "mid.attn_1"),
             (r"attn_1\.group_norm", "attn_1.norm"), (r"attn_1\.to_(q|k|v)\.", r"attn_1.\1."), (r"attn_1\.to_out\.0", "attn_1.proj_out"),
             ("conv_shortcut", "nin_shortcut"), ("conv_norm_out", "norm_out")]
    named = {}
    for name, tensor in autoencoder.state_dict().items():
        for pattern, place in rules:
            name = re.sub(pattern, place, name)
        of_attention = re.search(r"attn_1\.(q|k|v|proj_out)\.weight", name)
        named[name] = tensor[:, :, None, None] if of_attention else tensor
    return named
