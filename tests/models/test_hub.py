"""Models of the Hub: from its cache without a network, by component; or what is said of the trouble."""
import errno
import json
import os
import shutil
import sys
import types
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
from model_folders import in_cache
from safetensors.torch import load_file, save_file
from tqdm.contrib.concurrent import thread_map

from genlib import __main__ as commands
from genlib import progress, record
from genlib.models import hub, stable_diffusion, trouble, vae, weights

NAME = "somebody/something"
FP16 = r"\.fp16\.safetensors$"
PLAIN = r"(model|pytorch_model)\.safetensors$"


@pytest.fixture(scope="module")
def folders(pipe, tmp_path_factory):
    """The demo with plain and with fp16 files of every component; of the UNet alone in fp16."""
    folder = tmp_path_factory.mktemp("models")
    pipe.save_pretrained(folder / "plain")
    half = stable_diffusion.load("demo", dtype="float16")
    shutil.copytree(folder / "plain", folder / "both")
    half.save_pretrained(folder / "both", variant="fp16")
    shutil.copytree(folder / "plain", folder / "unet_alone")
    half.unet.save_pretrained(folder / "unet_alone" / "unet", variant="fp16")
    return folder


def read_in(pipe, which="unet"):
    """The dtype of the files that were read, told by their values: half precision has lost digits."""
    tensor = next(getattr(pipe, which).parameters()).float()
    return torch.equal(tensor, tensor.half().float())


@pytest.fixture
def sharded(folders, tmp_path):
    """A UNet in two fp16 files, named as older versions of diffusers did."""
    folder = Path(shutil.copytree(folders / "plain", tmp_path / "sharded"))
    whole = folder / "unet/diffusion_pytorch_model.safetensors"
    tensors, named = load_file(whole), {}
    for i in 1, 2:
        names = [name for j, name in enumerate(tensors) if j % 2 == i % 2]
        file = f"diffusion_pytorch_model-0000{i}-of-00002.fp16.safetensors"
        save_file({name: tensors[name].half() for name in names}, folder / "unet" / file, metadata={"format": "pt"})
        named |= dict.fromkeys(names, file)
    whole.unlink()
    (folder / "unet/diffusion_pytorch_model.safetensors.index.fp16.json").write_text(json.dumps(dict(metadata={}, weight_map=named)))
    return folder


# --- the cache, without a network

@pytest.mark.parametrize("load", [stable_diffusion.load, vae.load])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("kept", ["plain", "both", "unet_alone"])
def test_what_the_cache_holds_whole_is_loaded_without_a_network(folders, no_network, load, dtype, kept):
    in_cache(no_network, folders / kept, NAME)
    loaded = load(model_id=NAME, dtype=dtype)
    assert loaded.info.source == NAME and loaded.info.sha256 is None and loaded.info.dtype == dtype


def test_the_variant_is_chosen_by_component(folders, no_network):
    in_cache(no_network, folders / "both", NAME, leave_out=rf"unet/.*{PLAIN}|vae/.*{FP16}|text_encoder/.*{PLAIN}")
    loaded = stable_diffusion.load(model_id=NAME, dtype="float16")
    assert {part.dtype for part in (loaded.unet, loaded.vae, loaded.text_encoder)} == {torch.float16}
    with pytest.raises(ConnectionError, match="the cache lacks text_encoder/model.safetensors and 1 more"):
        stable_diffusion.load(model_id=NAME, dtype="float32")


def test_fp16_files_that_are_no_safetensors_and_names_without_a_dot_choose_nothing(folders, no_network, tmp_path):
    shutil.copytree(folders / "plain", tmp_path / "model")
    (tmp_path / "model/vae/diffusion_pytorch_model.fp16.bin").write_bytes(b"\x80\x02")
    (tmp_path / "model/unet/README").write_text("no dot")
    in_cache(no_network, tmp_path / "model", NAME)
    assert stable_diffusion.load(model_id=NAME, dtype="float16").vae.dtype == torch.float16


def test_v1_4_is_read_from_the_cache_without_asking_for_its_safety_checker(folders, no_network, monkeypatch, tmp_path):
    shutil.copytree(folders / "both", tmp_path / "v1-4")
    index = json.loads((tmp_path / "v1-4/model_index.json").read_text())
    index |= dict(safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"], requires_safety_checker=True)
    (tmp_path / "v1-4/model_index.json").write_text(json.dumps(index))
    in_cache(no_network, tmp_path / "v1-4", hub.V1_4, hub.V1_4_REVISION, main=False, leave_out=PLAIN)
    monkeypatch.setattr(hub.HfApi, "model_info", lambda *a, **k: pytest.fail("the Hub was asked"))
    loaded = stable_diffusion.load("published", dtype="float16")
    assert (loaded.info.source, loaded.info.revision) == (hub.V1_4, hub.V1_4_REVISION) and loaded.safety_checker is None
    assert vae.load("published", dtype="float16").info.revision == hub.V1_4_REVISION
    assert hub.Model(hub.V1_4).is_cached(torch.float16) and not hub.Model(hub.V1_4).is_cached(torch.float32)


@pytest.mark.parametrize("error", [
    ConnectionError("refused"), TimeoutError("timed out"), OfflineModeIsEnabled("offline"), LocalEntryNotFoundError("nothing here"),
    ValueError("Unknown scheme for proxy URL"), ImportError("Using SOCKS proxy, but the 'socksio' package is not installed"),
    type("ConnectError", (Exception,), {})("All connection attempts failed"), type("InvalidURL", (Exception,), {})("Invalid port: 'x'"),
    RuntimeError("Cannot send a request, as the client has been closed.")])
def test_whatever_the_hubs_client_raises_the_cache_is_tried_and_else_a_sentence_said(folders, no_network, monkeypatch, error, capsys):
    asked = []

    def fail(*_, **__):
        asked.append(1)
        raise error

    monkeypatch.setattr(hub.HfApi, "model_info", fail)
    with pytest.raises(ConnectionError, match=f"{NAME} could not be downloaded .*weights='demo'"):
        stable_diffusion.load(model_id=NAME)
    assert len(asked) == 1, "once, and not for each thing that is to be known"
    in_cache(no_network, folders / "plain", NAME)
    assert stable_diffusion.load(model_id=NAME) and len(asked) == 2
    assert f"{NAME} is read from the cache, revision {'a' * 12}" in capsys.readouterr().out


def test_where_hf_hub_offline_is_set_the_cache_is_read(folders, no_network, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    in_cache(no_network, folders / "plain", NAME)
    assert stable_diffusion.load(model_id=NAME)


def test_an_older_revision_that_is_whole_is_read_where_the_newest_is_not(folders, no_network):
    old = in_cache(no_network, folders / "plain", NAME, "b" * 40)
    os.utime(old, (1, 1))
    in_cache(no_network, folders / "plain", NAME, "c" * 40, leave_out=PLAIN)
    assert stable_diffusion.load(model_id=NAME)
    shutil.rmtree(no_network / "models--somebody--something" / "refs")
    assert stable_diffusion.load(model_id=NAME)


@pytest.mark.parametrize("lost", ["00002-of", "model_index"])
def test_a_newest_revision_without_a_shard_or_index_gives_way_to_an_older_whole_one(sharded, no_network, lost):
    os.utime(in_cache(no_network, sharded, NAME, "b" * 40), (1, 1))
    in_cache(no_network, sharded, NAME, "c" * 40, leave_out=lost)
    (no_network / "models--somebody--something/refs/main").write_bytes(b"\xff\xfe")
    assert stable_diffusion.load(model_id=NAME, dtype="float16")


def test_a_cache_without_a_shard_says_which(sharded, no_network):
    in_cache(no_network, sharded, NAME, leave_out="00002-of")
    with pytest.raises(ConnectionError, match="and the cache lacks unet/diffusion_pytorch_model-00002-of-00002.fp16.safetensors: check"):
        stable_diffusion.load(model_id=NAME, dtype="float16")


@pytest.mark.parametrize("gone, said", [
    (PLAIN, "text_encoder/model.safetensors and 2 more"), ("^scheduler", "scheduler/scheduler_config.json"),
    ("^tokenizer", "tokenizer/vocab.json and 1 more"), ("unet/config", "unet/config.json"), ("^vae", "vae/.* and 1 more")])
def test_an_incomplete_cache_says_which_files_it_lacks(folders, no_network, gone, said):
    in_cache(no_network, folders / "plain", NAME, leave_out=gone)
    with pytest.raises(ConnectionError, match=f"could not be downloaded .*, and the cache lacks {said}: check the network"):
        stable_diffusion.load(model_id=NAME)


def test_a_damaged_file_in_the_cache_is_named_by_the_blob_that_is_to_be_deleted(folders, no_network):
    snapshot = in_cache(no_network, folders / "plain", NAME)
    blob = (snapshot / "unet/diffusion_pytorch_model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=f"delete {blob} and download it again"):
        stable_diffusion.load(model_id=NAME)
    blob.unlink()
    with pytest.raises(ConnectionError, match="the cache lacks unet/diffusion_pytorch_model.safetensors"):
        stable_diffusion.load(model_id=NAME)


# --- the Hub

@pytest.fixture
def the_hub(folders, no_network, monkeypatch):
    """A Hub with one model, `the_hub.folder`; what was fetched from it, and how often it was asked."""
    this = types.SimpleNamespace(folder=folders / "both", asked=[], fetched=[])

    def files():
        return {file.relative_to(this.folder).as_posix() for file in this.folder.rglob("*") if file.is_file()}

    def model_info(self, repo_id, *, revision=None, timeout=None):
        this.asked.append((repo_id, revision, timeout))
        siblings = [types.SimpleNamespace(rfilename=name) for name in sorted(files())]
        return types.SimpleNamespace(sha=revision or "d" * 40, siblings=siblings)

    def fetch(repo_id, name, revision):
        target = no_network / f"models--{repo_id.replace('/', '--')}" / "snapshots" / revision / name
        if not target.exists():
            this.fetched.append(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(this.folder / name, target)
        return str(target)

    def snapshot_download(repo_id, *, revision=None, allow_patterns, tqdm_class):
        paths = [fetch(repo_id, name, revision or "d" * 40) for name in allow_patterns]
        return str(Path(paths[-1]).parent)

    monkeypatch.setattr(hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(hub, "hf_hub_download", lambda repo_id, name, revision: fetch(repo_id, name, revision))
    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    return this


def test_the_hubs_bars_of_bytes_feed_the_line_of_progress_and_that_of_files_does_not():
    with progress.Task("downloads a model", unit="MB") as task:
        bars = hub._bars(task)
        network, disk = (bars(desc=desc, total=0, initial=0, unit="B", unit_scale=True) for desc in ("Downloading", "Reconstructing"))
        for bar in network, disk:
            bar.total += 8 * record.MB
        thread_map(disk.update, [record.MB, 2 * record.MB], desc="Fetching 2 files", tqdm_class=bars)
        network.update(2 * record.MB)
        assert str(task).startswith("downloads a model 3 of 8 MB")


def test_half_precision_downloads_the_fp16_files_alone_and_only_what_is_read(the_hub):
    loaded = stable_diffusion.load("published", dtype="float16")
    taken = sorted(name for name in the_hub.fetched if name.endswith(".safetensors"))
    assert taken == ["text_encoder/model.fp16.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors",
                     "vae/diffusion_pytorch_model.fp16.safetensors"]
    assert {revision for _, revision, _ in the_hub.asked} == {hub.V1_4_REVISION} and loaded.info.revision == hub.V1_4_REVISION


def test_files_named_by_older_versions_are_downloaded_too(the_hub, sharded):
    the_hub.folder = sharded
    assert stable_diffusion.load(model_id=NAME, dtype="float16")
    assert len([name for name in the_hub.fetched if "-of-00002.fp16" in name]) == 2


def test_the_autoencoder_alone_downloads_no_other_component(the_hub):
    vae.load("published", dtype="float32")
    assert [name for name in the_hub.fetched if name.startswith(("unet", "text", "token"))] == []


def test_a_second_load_asks_the_hub_once_and_downloads_nothing(the_hub):
    assert stable_diffusion.load(model_id=NAME).info.download_time_s > 0
    the_hub.asked.clear(), the_hub.fetched.clear()
    assert stable_diffusion.load(model_id=NAME).info.download_time_s is None
    assert len(the_hub.asked) == 1 and the_hub.fetched == [] and the_hub.asked[0][2] is not None, "with a time limit"


def test_a_model_of_the_hub_without_safetensors_is_refused_before_a_download(the_hub, folders, tmp_path):
    the_hub.folder = shutil.copytree(folders / "plain", tmp_path / "old")
    (the_hub.folder / "vae/diffusion_pytorch_model.safetensors").rename(the_hub.folder / "vae/diffusion_pytorch_model.bin")
    for load in stable_diffusion.load, vae.load:
        with pytest.raises(FileNotFoundError, match=f"{NAME} has no safetensors files for torch.float32, as vae/.*can run code"):
            load(model_id=NAME)
    assert not [name for name in the_hub.fetched if name.endswith(("safetensors", "bin"))]


def test_a_model_of_another_kind_is_refused_by_its_index_before_a_download(the_hub, folders, tmp_path):
    the_hub.folder = shutil.copytree(folders / "plain", tmp_path / "flux")
    (the_hub.folder / "model_index.json").write_text('{"_class_name": "FluxFillPipeline"}')
    with pytest.raises(ValueError, match="is a FluxFillPipeline, which needs more than a prompt"):
        stable_diffusion.load(model_id=NAME)
    (the_hub.folder / "model_index.json").unlink()
    with pytest.raises(FileNotFoundError, match="has no model_index.json"):
        stable_diffusion.load(model_id="somebody/else")
    assert the_hub.fetched == ["model_index.json"]


# --- disks, folders, proxies

@pytest.mark.parametrize("number, said, how", [
    (errno.ENOSPC, "disk is full", "bare"), (errno.ENOSPC, "disk is full", "told by Rust"), (errno.ENOSPC, "disk is full", "wrapped"),
    (errno.EDQUOT, "quota", "with a file"), (errno.EROFS, "can only be read", "told by Rust"), (errno.EACCES, "may not write here", "bare"),
    (errno.EACCES, "may not write here", "wrapped"), (errno.EPERM, "may not write here", "with a file"),
    (errno.EEXIST, "a file is where the folder of downloads should be", "with a file"), (errno.ENOTDIR, "a file is where", "wrapped")])
def test_a_disk_or_folder_in_the_way_of_a_download_is_named_and_not_the_network(the_hub, no_network, monkeypatch, capsys, number, said,
                                                                                how):
    no_network.mkdir()

    def fail(*_, **__):
        cause = OSError(number, os.strerror(number), *(["/cache/blobs/x.incomplete"] if how in ("with a file", "wrapped") else []))
        if how == "told by Rust":
            raise RuntimeError(f"Data processing error: File reconstruction error: IO Error: {os.strerror(number)} (os error {number})")
        if how == "wrapped":
            raise LocalEntryNotFoundError("An error happened while trying to locate the file on the Hub") from cause
        raise cause

    monkeypatch.setattr(hub, "snapshot_download", fail)
    arguments = ["generate", "--model", "stable-diffusion", "--weights", NAME, "--seeds", "0", "--out", str(no_network.parent / "out")]
    if how == "bare":
        assert commands.main(arguments) == 1
        told = capsys.readouterr().err
    else:
        with pytest.raises(OSError) as raised:
            stable_diffusion.load(model_id=NAME)
        told = f"{raised.value.strerror}: {raised.value.filename}"
    assert said in told and told.strip().endswith(str(no_network)) and "HF_HOME" in told and "network:" not in told, told


def test_a_refused_connection_is_not_taken_for_a_folders_permission(no_network):
    import urllib.error

    refused = urllib.error.URLError(PermissionError(errno.EACCES, "Permission denied"))
    refused.__context__ = refused.reason
    assert isinstance(trouble.failed("x", refused, no_network, "HF_HOME"), ConnectionError)
    assert "check the network" in str(trouble.failed("x", refused, no_network, "HF_HOME"))


@pytest.fixture
def no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False), monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("name, value", [(n, "http://proxy:port") for n in ("https_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy")] + [
    ("HTTPS_PROXY", value) for value in ("htp://proxy:3128", "http://", "http://proxy:port", "http://proxy:99999", "my proxy",
                                         "http://[::1", "socks4://proxy:1", "file:///x", "http://user:secret@proxy:port")])
def test_a_proxy_that_is_no_address_gets_a_sentence_that_names_the_variable(no_network, no_proxies, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConnectionError, match=rf"could not be downloaded, since the environment variable {name} is .*write http://host:port"
                       ) as raised:
        stable_diffusion.load(model_id=NAME)
    assert "secret" not in str(raised.value)
    assert name in trouble.wrong_proxy() and not weights.hub_answers()


def test_a_socks_proxy_without_the_package_names_it(no_network, no_proxies, monkeypatch):
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setattr(trouble, "find_spec", lambda name: None)
    monkeypatch.setenv("ALL_PROXY", "socks5h://localhost:1080")
    with pytest.raises(ConnectionError, match="ALL_PROXY names a SOCKS proxy, .*pip install socksio"):
        stable_diffusion.load(model_id=NAME)
    assert not weights.hub_answers()


def test_a_proxy_that_does_not_answer_is_named(no_network, no_proxies, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://me:secret@127.0.0.1:1")
    with pytest.raises(ConnectionError, match="through the proxy http://127.0.0.1:1 that the environment variable https_proxy names.*check "
                       "that proxy") as raised:
        stable_diffusion.load(model_id=NAME)
    assert "secret" not in str(raised.value) and trouble.wrong_proxy() is None


@pytest.mark.parametrize("value", ["proxy:3128", "http://proxy", "https://user:pass@proxy:8080/", "http://10.0.0.1:3128", "http://[::1]:3128"])
def test_usual_proxies_are_not_called_wrong(no_proxies, monkeypatch, value):
    monkeypatch.setenv("HTTPS_PROXY", value)
    assert trouble.wrong_proxy() is None
    monkeypatch.setenv("HTTPS_PROXY", "htp://proxy")
    monkeypatch.setenv("NO_PROXY", "*")
    assert trouble.wrong_proxy() is None, "none is used"


def test_a_model_in_the_cache_loads_behind_a_broken_proxy(folders, no_network, no_proxies, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:port")
    in_cache(no_network, folders / "plain", NAME)
    assert stable_diffusion.load(model_id=NAME)
