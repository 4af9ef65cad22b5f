import json
import os
import pickle

import network_files
import pytest
import torch
from network_files import Call
from safetensors.torch import load_file, save_file

from genlib import __main__ as commands
from genlib.models import stylegan2
from genlib.models.stylegan2 import converted
from genlib.models.stylegan2.network import Generator
from genlib.models.stylegan2.nvidia_file import NetworkFileError


@pytest.fixture
def network_file(tmp_path):
    return network_files.write(tmp_path / "network.pkl", {"G_ema": network_files.tiny()})


@pytest.fixture
def folder(network_file, tmp_path):
    converted.write(stylegan2.read(network_file), tmp_path / "converted")
    return tmp_path / "converted"


def contents(folder) -> dict:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def assert_the_same_network(folder):
    _, state_dict = network_files.tiny_generator()
    network_files.assert_same(converted.read(folder).state_dict(), state_dict)


# ---- genlib convert

def convert(network_file, folder, capsys) -> str:
    """What the command says on stderr; empty if it succeeds."""
    status = commands.main(["convert", str(network_file), str(folder)])
    said = capsys.readouterr().err
    assert status == bool(said) and said.count("\n") == status
    return said


def test_convert_leaves_a_folder_with_others_files_as_it_is(network_file, tmp_path, capsys):
    out = tmp_path / "model"
    out.mkdir()
    for name in ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors", "mine.txt"):
        (out / name).write_bytes(b"of others")
    before = contents(out)
    assert "holds diffusion_pytorch_model.fp16.safetensors and 2 more: give a new or an empty folder" in convert(network_file, out, capsys)
    assert contents(out) == before


def test_convert_writes_into_new_and_empty_folders_and_links_to_them_but_not_twice(network_file, tmp_path, capsys):
    (tmp_path / "drive").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "drive")
    for out in (tmp_path / "new" / "folder", tmp_path / "link"):
        assert not convert(network_file, out, capsys)
        assert_the_same_network(out)
        assert "holds config.json and 1 more" in convert(network_file, out, capsys)
    assert sorted(contents(tmp_path / "drive")) == ["config.json", "diffusion_pytorch_model.safetensors"]


def test_convert_never_writes_onto_a_file_or_through_a_link(network_file, tmp_path, capsys):
    (tmp_path / "notes").write_bytes(b"mine")
    (tmp_path / "to a file").symlink_to(tmp_path / "notes")
    (tmp_path / "to nothing").symlink_to(tmp_path / "nothing")
    for out in ("notes", "to a file", "network.pkl"):
        assert "is no folder" in convert(network_file, tmp_path / out, capsys)
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap" / "config.json").symlink_to(tmp_path / "notes")
    assert "holds config.json" in convert(network_file, tmp_path / "trap", capsys)
    with pytest.raises(ValueError, match="is no folder"):
        converted.write(stylegan2.read(network_file), tmp_path / "to nothing")
    assert (tmp_path / "notes").read_bytes() == b"mine" and not (tmp_path / "nothing").exists()
    network_files.assert_same(stylegan2.read(network_file).state_dict(), network_files.tiny_generator()[1])


def test_a_link_that_appears_while_convert_writes_is_replaced(network_file, tmp_path, monkeypatch):
    (tmp_path / "notes").write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(converted, "check_free", lambda folder: (folder / "config.json").symlink_to(tmp_path / "notes"))
    converted.write(stylegan2.read(network_file), tmp_path / "out")
    assert (tmp_path / "notes").read_bytes() == b"mine" and not (tmp_path / "out" / "config.json").is_symlink()


# ---- Folders that are read

@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_folders_of_other_precisions_are_read_as_float32(folder, tmp_path, dtype):
    torch.nn.Module.to(converted.read(folder), dtype).save_pretrained(tmp_path / "other")
    found, (_, state_dict) = converted.read(tmp_path / "other"), network_files.tiny_generator()
    network_files.assert_same(found.state_dict(), {name: tensor.to(dtype).float() for name, tensor in state_dict.items()})


def test_a_network_in_several_files_is_read(folder, tmp_path):
    converted.read(folder).save_pretrained(tmp_path / "several", max_shard_size="1KB")
    assert len(contents(tmp_path / "several")) > 3
    assert_the_same_network(tmp_path / "several")


def test_a_folder_of_links_as_in_the_hubs_cache_is_read(folder, tmp_path):
    (tmp_path / "snapshot").mkdir()
    for file in folder.iterdir():
        (tmp_path / "snapshot" / file.name).symlink_to(os.path.relpath(file, tmp_path / "snapshot"))
    assert_the_same_network(tmp_path / "snapshot")


def indexed(folder, name: str):
    """An index that says that a file of that name has all the tensors."""
    names = load_file(folder / converted.WEIGHTS)
    (folder / f"{converted.WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, name)}))


@pytest.mark.parametrize("name", ["weights.bin", "weights.pkl", "../weights.safetensors", "/weights.safetensors", "a/b.safetensors",
                                  "weights.safetensors.bin", 7])
def test_an_index_that_names_anything_but_safetensors_files_beside_it_is_refused_by_name(folder, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for place in (folder, tmp_path):
        (place / "weights.bin").write_bytes(pickle.dumps(Call(os.system, "touch executed")))
    indexed(folder, name)
    with pytest.raises(NetworkFileError, match=f"names '{name}' as a file of weights: only safetensors files"):
        stylegan2.load(folder)
    assert not (tmp_path / "executed").exists()


def edited(folder, **changes):
    config = json.loads((folder / converted.CONFIG).read_text()) | changes
    (folder / converted.CONFIG).write_text(json.dumps(config))


@pytest.mark.parametrize("changes, said", [
    (dict(mapping_kwargs=dict(num_layers=10_000_000)), "from 1 to 100"), (dict(z_dim=10**9), "from 0 to 65536"),
    (dict(img_resolution=2**20), "16384"), (dict(img_resolution=2**14, synthesis_kwargs=dict(channel_base=2**14)), "disagree"),
    (dict(synthesis_kwargs=dict(channel_base=10**12)), "from 1 to 16777216"), (dict(synthesis_kwargs=[1]), "for a table of settings"),
    (dict(synthesis_kwargs=dict(sharpness=0)), "unknown setting"), (dict(blur=1), "unknown setting"), (dict(img_resolution=[8, 4]), "8, 4"),
    (dict(auto_map=dict(A="a.B")), "auto_map"), (dict(_class_name=["code", "Generator"]), "code"),
    (dict(_class_name="AutoencoderKL"), "AutoencoderKL"), (dict(quantization_config=dict(quant_method="x")), "unknown setting"),
])
def test_settings_out_of_bounds_and_names_of_code_are_refused_before_memory_is_taken(folder, changes, said):
    edited(folder, **changes)
    with pytest.raises(NetworkFileError, match=said):
        stylegan2.load(folder)


@pytest.mark.parametrize("content, said", [
    (b"", "empty"), (b"version https://git-lfs.github.com/spec/v1\noid sha256:a\n", "git-lfs"), (b"<!DOCTYPE html>", "web page"),
    (bytes(500), "zeros|tensor"), (pickle.dumps(Call(os.system, "touch executed")), "run code"), (b"PK\3\4" + bytes(99), "archive"),
])
def test_weights_that_are_something_else_are_named(folder, tmp_path, monkeypatch, content, said):
    monkeypatch.chdir(tmp_path)
    (folder / converted.WEIGHTS).write_bytes(content)
    with pytest.raises(NetworkFileError, match=said) as caught:
        stylegan2.load(folder)
    assert str(caught.value).endswith(": convert the .pkl again") and "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()


def test_whole_numbers_for_tensors_are_refused(folder):
    save_file({name: tensor.int() for name, tensor in load_file(folder / converted.WEIGHTS).items()}, folder / converted.WEIGHTS)
    with pytest.raises(NetworkFileError, match="disagree"):
        converted.read(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes")
@pytest.mark.parametrize("name", [converted.CONFIG, converted.WEIGHTS])
def test_a_pipe_in_a_folder_is_refused_without_waiting(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(NetworkFileError, match="no regular file"):
        converted.read(folder)


def test_what_is_written_is_what_diffusers_reads(folder):
    _, state_dict = network_files.tiny_generator()
    network_files.assert_same(Generator.from_pretrained(folder).state_dict(), state_dict)
