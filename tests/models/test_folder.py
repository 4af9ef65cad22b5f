"""Model folders as people have them, or as someone sends them: looked at before a library opens a file."""
import json
import os
import re
import shutil
import socket
import struct
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from genlib.models import hashes, stable_diffusion, vae

UNET, TEXT = "unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3438167534\n"
PAGE = b"\n<!DOCTYPE html>\n<html><body>Sign in to download</body></html>"


@pytest.fixture(scope="module")
def whole(pipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model"
    pipe.save_pretrained(path)
    return path


@pytest.fixture
def model(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "model", copy_function=link_weights))


def link_weights(source, target):
    """Copy small files; weights get a second name, and are replaced by tests, never changed."""
    (os.link if str(source).endswith(".safetensors") else shutil.copyfile)(source, target)


def put(path, content):
    path.unlink(missing_ok=True)
    path.write_bytes(content)


@pytest.fixture
def harmless(monkeypatch):
    """Nothing but safetensors is opened: torch.load and the libraries' import of code are out of bounds."""
    for name in "torch.load", "transformers.dynamic_module_utils.get_class_from_dynamic_module", "torch.serialization.load":
        monkeypatch.setattr(name, lambda *a, name=name, **k: pytest.fail(f"{name} was called"))


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# --- files that are not what they claim to be

@pytest.mark.parametrize("file", [UNET, TEXT])
@pytest.mark.parametrize("content, said", [
    (b"", "empty"), (LFS, "pointer of git-lfs.*git lfs pull"), (PAGE, "web page"), (bytes(5000), "filled with zeros"),
    (b'{"error": "Invalid username or password."}', "text that begins with '{\"error\""), (b"Entry not found", "'Entry not found'"),
    (b"PK\x03\x04archive", "torch.save"), (b"\x80\x02}q\x00.", "torch.save"), (b"\xff" * 300, "no safetensors file"),
    (struct.pack("<Q", 2) + b"{}", "without a single tensor"), (struct.pack("<Q", 900) + b'{"a":{"dtype":"F32"', "cut off in its header"),
    (struct.pack("<Q", 2) + b"[]", "damaged"), (struct.pack("<Q", 4) + b"null", "damaged"), (b"\xff" * 8, "no safetensors file")])
def test_weights_that_are_none_are_named_with_their_file_and_what_to_do(model, file, content, said):
    put(model / file, content)
    with pytest.raises(ValueError, match=rf"{file} is .*{said}.*: delete it and download it again$"):
        stable_diffusion.load(model_id=model)


@pytest.mark.parametrize("keep", [9, 500, 0.5, -1])
def test_a_half_download_is_named(model, keep):
    data = (model / UNET).read_bytes()
    put(model / UNET, data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(ValueError, match=f"{UNET} (has .* bytes of .* not downloaded or copied whole|is .*cut off in its header)"):
        stable_diffusion.load(model_id=model)


def test_a_file_longer_than_its_header_says_is_damaged(model):
    put(model / UNET, (model / UNET).read_bytes() + b"more")
    with pytest.raises(ValueError, match=f"{UNET} has .* bytes of .*, so it is damaged"):
        stable_diffusion.load(model_id=model)


@pytest.mark.parametrize("file", ["model_index.json", "unet/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json",
                                  "tokenizer/tokenizer_config.json", "tokenizer/tokenizer.json"])
@pytest.mark.parametrize("content", [b"", LFS, PAGE, b'{"a": 1', b"[1]", b"null", b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b"[" * 100_000])
def test_a_configuration_that_is_none_is_named(model, file, content):
    (model / file).write_bytes(content)
    with pytest.raises(ValueError, match=f"{file} (is|holds) .*: delete it and download it again"):
        stable_diffusion.load(model_id=model)


@pytest.mark.parametrize("file", ["unet/config.json", "scheduler/scheduler_config.json"])
def test_an_empty_configuration_is_not_taken_for_the_librarys_defaults(model, file):
    (model / file).write_text("{}")
    with pytest.raises(ValueError, match=f"{file} holds {{}}, not the settings"):
        stable_diffusion.load(model_id=model)


@pytest.mark.parametrize("gone, said", [
    ("unet", "lacks unet/.*there is no folder unet"), (UNET, f"lacks {UNET}; in unet there is config.json"),
    ("vae/config.json", "lacks vae/config.json"), ("scheduler", "lacks scheduler/scheduler_config.json"),
    ("tokenizer/tokenizer.json", "lacks tokenizer/vocab.json and 1 more"),
    ("text_encoder", "lacks text_encoder/model.safetensors and 1 more")])
def test_what_a_folder_lacks_is_named(model, gone, said):
    shutil.rmtree(model / gone) if (model / gone).is_dir() else (model / gone).unlink()
    with pytest.raises(FileNotFoundError, match=f"{said}.*download it again"):
        stable_diffusion.load(model_id=model)


def test_a_browsers_unfinished_download_is_seen_beside_the_file_that_is_lacking(model):
    (model / UNET).rename(model / f"{UNET}.crdownload")
    with pytest.raises(FileNotFoundError, match="in unet there is config.json, diffusion_pytorch_model.safetensors.crdownload"):
        stable_diffusion.load(model_id=model)


@pytest.mark.parametrize("file", [UNET, "unet/config.json", "model_index.json"])
def test_a_link_whose_target_is_missing_is_named_as_one(model, file):
    (model / file).unlink()
    (model / file).symlink_to(model / "nowhere")
    with pytest.raises(FileNotFoundError, match=f"{Path(file).name} .*a link is there, whose target is missing"):
        stable_diffusion.load(model_id=model)


@pytest.mark.parametrize("part, file", [("unet", UNET), ("text encoder", TEXT)])
def test_weights_that_lack_a_tensor_are_refused_and_never_filled_with_random_numbers(model, part, file):
    tensors = load_file(model / file)
    tensors.pop(next(iter(tensors)))
    (model / file).unlink()
    save_file(tensors, model / file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"{Path(file).parent} (lack|cannot be loaded .*tensors are missing)"):
        stable_diffusion.load(model_id=model)


@pytest.mark.parametrize("file, changes", [
    ("unet/config.json", dict(cross_attention_dim=32)), ("unet/config.json", dict(block_out_channels="abc")),
    ("text_encoder/config.json", dict(hidden_size=32)), ("text_encoder/config.json", dict(num_hidden_layers="x")),
    ("scheduler/scheduler_config.json", dict(beta_schedule="none")), ("vae/config.json", dict(latent_channels=None)),
    ("unet/config.json", dict(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}))])
def test_settings_that_do_not_fit_are_told_in_a_sentence_with_the_librarys_reason(model, file, changes):
    edit(model / file, **changes)
    with pytest.raises(ValueError, match=r"cannot be loaded as a \w+ \(.+\): its settings and its weights do not fit") as raised:
        stable_diffusion.load(model_id=model)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 700


def test_a_damaged_file_in_a_folder_of_links_is_named_by_what_is_to_be_deleted(model, tmp_path):
    blob = tmp_path / "blob"
    blob.write_bytes((model / UNET).read_bytes()[:1000])
    (model / UNET).unlink()
    (model / UNET).symlink_to(blob)
    with pytest.raises(ValueError, match=f"delete {blob} and download it again"):
        stable_diffusion.load(model_id=model)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("file", [UNET, "unet/config.json", "model_index.json"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(model, file):
    (model / file).unlink()
    os.mkfifo(model / file)
    with pytest.raises(FileNotFoundError, match=f"(lacks|has no) .*{Path(file).name}"):
        stable_diffusion.load(model_id=model)


def test_the_autoencoder_alone_is_looked_at_in_the_same_way(model):
    (model / UNET).unlink()  # which it does not need
    assert vae.load(model_id=model)
    put(model / "vae/diffusion_pytorch_model.safetensors", LFS)
    with pytest.raises(ValueError, match="pointer of git-lfs"):
        vae.load(model_id=model)


def laid_out(tensors, data=b""):
    header = json.dumps(tensors).encode()
    return struct.pack("<Q", len(header)) + header + data


ONE = dict(dtype="F32", shape=[1], data_offsets=[0, 4])


@pytest.mark.parametrize("changes", [dict(shape="x"), dict(shape=[2**62, 4]), dict(dtype="Z9"), dict(data_offsets=[-4, 4]),
                                     dict(shape=[2])])
@pytest.mark.parametrize("load, name", [(stable_diffusion.load, UNET), (vae.load, "alone.safetensors")])
def test_a_header_that_contradicts_itself_is_damage_in_folders_and_single_files(model, changes, load, name):
    put(model / name, laid_out({"decoder.conv_in.weight": ONE | changes}, b"1234"))
    with pytest.raises(ValueError, match=f"{name} is a damaged safetensors file"):
        load(model_id=model if name == UNET else model / name)


def test_tensors_that_lie_over_each_other_are_damage(model):
    put(model / UNET, laid_out({"a": ONE, "b": ONE}, b"1234"))
    with pytest.raises(ValueError, match=f"{UNET} is a damaged safetensors file"):
        stable_diffusion.load(model_id=model)


def test_what_nothing_reads_may_be_damaged_or_lacking(model):
    """As macOS and training scripts leave it, and as diffusers passes it over."""
    for name in "unet/trainer_state.json", "scheduler/old.json", "vae/notes.txt", "tokenizer/._tokenizer.json", "unet/._config.json":
        (model / name).write_bytes(b"\0\5\x16\7")
    (model / "tokenizer/tokenizer_config.json").write_text("{}")
    edit(model / "model_index.json", controlnet=["diffusers", "ControlNetModel"], layers=[],
         **{"../x": ["diffusers", "VQModel"], "(": ["a", "b"]})
    assert stable_diffusion.load(model_id=model)


def test_only_fp16_files_are_said_to_be_that_and_not_unsafe(model):
    (model / UNET).rename(model / UNET.replace(".safe", ".fp16.safe"))
    with pytest.raises(FileNotFoundError, match="no safetensors files for torch.float32 in unet but fp16 ones: use dtype='float16'"):
        stable_diffusion.load(model_id=model, dtype="float32")


# --- code

def index_of(model, part, cls, **names):
    """Make a component's weights several files with an index that names these instead."""
    stem = "model" if part == "text_encoder" else "diffusion_pytorch_model"
    tensors = load_file(model / part / f"{stem}.safetensors")
    (model / part / f"{stem}.safetensors").unlink()
    save_file(tensors, model / part / f"{stem}-00001-of-00001.safetensors", metadata={"format": "pt"})
    torch.save({"a": torch.zeros(1)}, model / part / "weights.bin")
    index = dict(metadata=dict(total_size=1), weight_map=dict.fromkeys(tensors, cls))
    (model / part / f"{stem}.safetensors.index.json").write_text(json.dumps(index))
    return stem


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("named", ["weights.bin", "weights.pt", "sub/../weights.safetensors", "/etc/passwd", "..\\x.safetensors", "",
                                   "x.gguf", "weights.safetensors.bin"])
def test_an_index_that_names_a_file_of_another_kind_is_refused_in_every_component(model, harmless, part, named):
    index_of(model, part, named)
    with pytest.raises(ValueError, match=f"index.json names {re.escape(repr(named))} as a file of weights: only safetensors"):
        stable_diffusion.load(model_id=model)


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_an_index_beside_whole_weights_is_refused_too(model, harmless, part):
    stem = index_of(model, part, "weights.bin")
    (model / part / f"{stem}-00001-of-00001.safetensors").rename(model / part / f"{stem}.safetensors")
    with pytest.raises(ValueError, match=r"names 'weights.bin'"):
        stable_diffusion.load(model_id=model)


def test_weights_in_several_files_are_loaded_and_each_is_looked_at(model, harmless, pipe):
    stem = index_of(model, "unet", "diffusion_pytorch_model-00001-of-00001.safetensors")
    loaded = stable_diffusion.load(model_id=model)
    assert all(torch.equal(a, b) for a, b in zip(loaded.unet.parameters(), pipe.unet.parameters(), strict=True))
    put(model / "unet" / f"{stem}-00001-of-00001.safetensors", LFS)
    with pytest.raises(ValueError, match="00001-of-00001.safetensors is a pointer of git-lfs"):
        stable_diffusion.load(model_id=model)
    (model / "unet" / f"{stem}-00001-of-00001.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="lacks unet/.*00001-of-00001.safetensors; in unet there is .*index.json"):
        stable_diffusion.load(model_id=model)


@pytest.mark.parametrize("changes", [
    dict(unet=["my_unet", "MyUNet"]), dict(scheduler=["my_scheduler", "Mine"]), dict(text_encoder=["os", "system"]),
    dict(unet=["diffusers.loaders", "X"]), dict(unet=["../x", "X"]), dict(unet=["diffusers", "UNet2DConditionModel", "x"]),
    dict(unet=["sys", "exit"]), dict(unet=["diffusers", None]), dict(unet=[["a"], "b"]), dict(_class_name=["pipeline", "MyPipeline"]),
    dict(_class_name=None), dict(_class_name={}), dict(custom_pipeline="mine"), dict(trust_remote_code=True)])
def test_an_index_that_names_code_of_its_own_is_refused_without_the_advice_to_trust_it(model, harmless, changes):
    for place in ".", "unet":
        for name in "my_unet", "pipeline", "my_scheduler", "mine":
            (model / place / f"{name}.py").write_text("open('executed', 'w')")
    edit(model / "model_index.json", **changes)
    with pytest.raises(ValueError, match="a model's own code could do anything on this machine and is never run") as raised:
        stable_diffusion.load(model_id=model)
    assert "trust" not in str(raised.value).replace("'trust_remote_code', which", "") and not Path("executed").exists()


@pytest.mark.parametrize("file", ["unet/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json",
                                  "tokenizer/tokenizer_config.json"])
@pytest.mark.parametrize("changes", [dict(auto_map={"AutoModel": "mine.Mine"}), dict(trust_remote_code=True), dict(custom_pipeline="x")])
def test_a_configuration_that_names_code_is_refused(model, harmless, file, changes):
    edit(model / file, **changes)
    with pytest.raises(ValueError, match=f"{file} has '{next(iter(changes))}', which names code"):
        stable_diffusion.load(model_id=model)


@pytest.mark.parametrize("file", ["unet/unet.py", "text_encoder/adapter_config.json"])
def test_code_and_adapters_among_a_components_files_are_refused(model, harmless, file):
    (model / file).write_text("{}")
    with pytest.raises(ValueError, match=f"{file} lies among the files of"):
        stable_diffusion.load(model_id=model)


def test_files_that_nothing_reads_do_no_harm(model, harmless):
    """As in clones of repositories: scripts, other formats of the same weights, files without a suffix."""
    for name in "handler.py", "README", ".gitattributes", "v1-4.ckpt", "unet/README", "unet/diffusion_pytorch_model.bin", "vae/x.fp16.bin":
        (model / name).write_bytes(b"\x80\x02anything")
    for dtype in "float32", "float16":
        assert stable_diffusion.load(model_id=model, dtype=dtype)


def test_settings_of_a_file_elsewhere_are_not_followed(model, harmless):
    edit(model / "text_encoder/config.json", transformers_weights="../../adapter_model.bin")
    with pytest.raises(ValueError, match="'transformers_weights', which names code or files"):
        stable_diffusion.load(model_id=model)


@pytest.mark.parametrize("kind, said", [
    ("logging", "does not have: update"), ("DPMSolverSDEScheduler", "needs torch and torchsde: install")])
def test_a_class_that_is_none_or_needs_a_package_is_told_in_a_sentence(model, monkeypatch, kind, said):
    if kind.endswith("Scheduler"):
        monkeypatch.setattr(f"diffusers.{kind}", type(kind, (), {"_backends": ["torch", "torchsde"]}))
    edit(model / "model_index.json", scheduler=["diffusers", kind])
    with pytest.raises(ValueError, match=f"scheduler is a {kind}, which .*{said}"):
        stable_diffusion.load(model_id=model)


def test_a_pipeline_that_fetches_a_part_of_it_by_the_readme_is_refused(model):
    edit(model / "model_index.json", _class_name="KandinskyV22CombinedPipeline")
    with pytest.raises(ValueError, match="KandinskyV22CombinedPipeline, which takes a part from another model"):
        stable_diffusion.load(model_id=model)


def test_a_class_that_the_libraries_lack_is_told_with_what_to_do(model):
    edit(model / "model_index.json", text_encoder=["transformers", "CLIPFooModel"])
    with pytest.raises(ValueError, match="text_encoder is a CLIPFooModel, which the installed transformers does not have: update"):
        stable_diffusion.load(model_id=model)
    edit(model / "model_index.json", _class_name="FooPipeline")
    with pytest.raises(ValueError, match="is a FooPipeline, which diffusers .* does not have: update diffusers"):
        stable_diffusion.load(model_id=model)
    edit(model / "model_index.json", _class_name="UNet2DConditionModel")
    with pytest.raises(ValueError, match="is a UNet2DConditionModel, which diffusers"):
        stable_diffusion.load(model_id=model)


def test_a_local_folder_needs_no_network(model, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *a: pytest.fail("it asked the network"))
    assert stable_diffusion.load(model_id=model) and vae.load(model_id=model)


# --- what the record says of a folder

def test_the_record_has_a_folders_name_and_the_hash_of_what_was_loaded_but_no_path(model, tmp_path, monkeypatch):
    info = stable_diffusion.load(model_id=model).info
    assert (info.source, info.name) == ("model", "model") and len(info.sha256) == 64 and str(tmp_path) not in str(info)
    monkeypatch.chdir(model)
    assert stable_diffusion.load(model_id=".").info.source == "model"
    assert stable_diffusion.load(model_id=model).info.sha256 == info.sha256
    (model / "README.md").write_text("it is not loaded")
    assert stable_diffusion.load(model_id=model).info.sha256 == info.sha256
    network = UNet2DConditionModel.from_pretrained(model / "unet")
    with torch.no_grad():
        network.conv_out.bias[0] += 1
    (model / UNET).unlink()
    network.save_pretrained(model / "unet")
    assert stable_diffusion.load(model_id=model).info.sha256 != info.sha256
    assert vae.load(model_id=model).info.sha256 not in (None, info.sha256) and vae.load("demo").info.sha256 is None


def test_a_hash_is_taken_once_until_the_file_changes(tmp_path, monkeypatch):
    file = tmp_path / "weights"
    file.write_bytes(b"a")
    first = hashes.remembered_sha256(file)
    with monkeypatch.context() as patch:
        patch.setattr(hashes, "sha256", lambda path: pytest.fail("it was read again"))
        assert hashes.remembered_sha256(file) == first
    status = file.stat()
    file.write_bytes(b"b")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert hashes.remembered_sha256(file) == hashes.sha256(file) != first
