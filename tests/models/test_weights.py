"""Which weights a word stands for; downloads and their hashes; what is said where there are none."""
import errno
import gc
import os
import subprocess
import sys
import threading
import urllib.request
import warnings
import weakref
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from genlib import device
from genlib.models import hub, stable_diffusion, vae, weights
from genlib.runs import ModelInfo


def test_auto_is_the_demo_on_a_machine_without_a_gpu_and_says_so(monkeypatch, capsys):
    monkeypatch.setattr(device, "pick", lambda: torch.device("cpu"))
    weights._choose.cache_clear()
    assert weights.resolve("auto") == "demo"
    assert "weights: demo (no GPU" in capsys.readouterr().out
    weights._choose.cache_clear()


@pytest.mark.parametrize("answers, expected", [(True, "published"), (False, "demo")])
def test_auto_on_a_gpu_is_published_only_where_the_hub_answers(monkeypatch, answers, expected):
    monkeypatch.setattr(device, "pick", lambda: torch.device("cuda"))
    monkeypatch.setattr(weights, "hub_answers", lambda: answers)
    weights._choose.cache_clear()
    assert weights.resolve("auto") == expected
    weights._choose.cache_clear()


def test_the_environment_overrides_auto_and_nothing_else(monkeypatch):
    monkeypatch.setenv("GENLIB_WEIGHTS", "random")
    assert weights.resolve("auto") == "random" and weights.resolve("demo") == "demo"
    monkeypatch.setenv("GENLIB_WEIGHTS", "big")
    with pytest.raises(ValueError, match="GENLIB_WEIGHTS is 'big'"):
        weights.resolve("auto")


@pytest.mark.parametrize("load", [stable_diffusion.load, vae.load])
def test_an_unknown_word_is_refused_in_a_sentence(load):
    with pytest.raises(ValueError, match="weights is 'huge': use one of auto, demo, random, published"):
        load("huge")
    with pytest.raises(ValueError, match="profile is 'fast'"):
        load("demo", profile="fast")
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        load("demo", dtype="int8")


def answer(status):
    """A response of the HTTP library that the Hub's client uses, which differs by version."""
    [library] = {cls.__module__.split(".")[0] for cls in HfHubHTTPError.__mro__} - {"huggingface_hub", "builtins"}
    response = sys.modules[library].Response(status)
    response.request = sys.modules[library].Request("GET", "https://huggingface.co")
    return response


@pytest.mark.parametrize("error, kind, sentence", [
    (GatedRepoError("Cannot access gated repo", response=answer(403)), PermissionError, "gated: accept its terms .* HF_TOKEN .*Secrets"),
    (RepositoryNotFoundError("none", response=answer(404)), FileNotFoundError, "no folder and no model a/b.*HF_TOKEN"),
    (HfHubHTTPError("down", response=answer(503)), ConnectionError, "could not be downloaded .*check the network"),
    (OSError("We couldn't connect to the Hub"), ConnectionError, "could not be downloaded")])
def test_a_refusal_by_the_hub_is_explained_in_a_sentence(monkeypatch, tmp_path, error, kind, sentence):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub.HfApi, "model_info", lambda *a, **k: (_ for _ in ()).throw(error))
    with pytest.raises(kind, match=sentence):
        stable_diffusion.load(model_id="a/b")


def test_a_name_that_the_hub_cannot_have_is_refused_in_a_sentence(no_network):
    for name in "a/b/c", "./nowhere/at/all", "no such model", "~nobody-of-that-name/x":
        with pytest.raises(FileNotFoundError, match="there is no folder and no model"):
            stable_diffusion.load(model_id=name)


def test_published_weights_without_a_network_are_refused_in_a_sentence_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for load in stable_diffusion.load, vae.load:
        with pytest.raises(ConnectionError, match="could not be downloaded .* weights='demo' or weights='random'"):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                load("published")


def test_a_file_with_an_unexpected_hash_is_refused_before_it_is_opened(tmp_path):
    file = tmp_path / "network.pkl"
    file.write_bytes(b"something else")
    with pytest.raises(ValueError, match="has the sha256 .*, not .*damaged or replaced"):
        weights.check_sha256(file, "0" * 64)
    assert weights.check_sha256(file, weights.sha256(file)) == weights.sha256(file)


# --- downloads, from a server of this test's own

@pytest.fixture
def server(monkeypatch, tmp_path):
    """Answers by path: bytes of a file, or the address that it redirects to. `server.url` is its address."""
    for name in "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY":
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    monkeypatch.setattr(weights.time, "sleep", lambda seconds: None)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            answer = self.server.answers.get(self.path)
            self.send_response(404 if answer is None else 200 if isinstance(answer, bytes) else 302)
            if isinstance(answer, str):
                self.send_header("Location", answer)
            length = len(answer or b"") + self.server.promises
            self.send_header("Content-Length", str(0 if isinstance(answer, str) else length))
            self.end_headers()
            if isinstance(answer, bytes):
                self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.asked, server.promises = {"/a/network.pkl": b"first"}, [], 0
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()  # seconds until it notices its end
    yield server
    server.shutdown(), server.server_close()


def test_the_time_of_a_download_is_kept_apart_from_loading_and_of_what_is_in_the_cache_there_is_none(server, monkeypatch):
    clock = iter(range(100))  # a second at each look
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    for download_time_s, load_time_s in (1, 2), (None, 1):
        with weights.loading(ModelInfo("a network", "published", "thesis", server.url)) as info:
            weights.cached_download(f"{server.url}/a/network.pkl")
        assert (info.download_time_s, info.load_time_s) == (download_time_s, load_time_s)


def test_where_no_hash_is_published_later_reads_must_match_the_first_download(server):
    url = f"{server.url}/a/network.pkl"
    path, first = weights.cached_download(url)
    weights.remember_sha256(path, first)
    assert path.read_bytes() == b"first" and weights.cached_download(url) == (path, first) and len(server.asked) == 1
    path.write_bytes(b"changed")
    with pytest.raises(ValueError, match="sha256"):
        weights.cached_download(url)
    with pytest.raises(ConnectionError, match="missing.pkl could not be downloaded .*404"):
        weights.cached_download(f"{server.url}/missing.pkl")


@pytest.mark.parametrize("note", [b"", b"\n", b"abc  network.pkl\n", b"\xff\xfe\x00", b"g" * 64])
def test_a_note_that_holds_no_hash_is_said_and_the_file_not_believed(server, note):
    path, _ = weights.cached_download(f"{server.url}/a/network.pkl")
    path.with_name("network.pkl.sha256").write_bytes(note)
    with pytest.raises(ValueError, match="network.pkl.sha256 holds no sha256.*delete both"):
        weights.cached_download(f"{server.url}/a/network.pkl")


@pytest.mark.parametrize("note", ["{}", "\ufeff{}  network.pkl", "{}\tnetwork.pkl", "\n{} *network.pkl\r\n"])
def test_a_note_may_be_written_by_other_programs(server, note):
    path, known = weights.cached_download(f"{server.url}/a/network.pkl")
    path.with_name("network.pkl.sha256").write_text(note.format(known.upper()))
    assert weights.cached_download(f"{server.url}/a/network.pkl") == (path, known)
    path.write_bytes(b"changed")
    with pytest.raises(ValueError, match="damaged or replaced"):
        weights.cached_download(f"{server.url}/a/network.pkl")


def test_a_cache_that_can_only_be_read_is_used_with_a_note_or_without(server, monkeypatch):
    path, known = weights.cached_download(f"{server.url}/a/network.pkl")
    with monkeypatch.context() as patch:
        patch.setattr(weights, "write_atomically", lambda *_: (_ for _ in ()).throw(OSError(errno.EROFS, "read-only")))
        weights.remember_sha256(path, known)
    weights.remember_sha256(path, known)
    monkeypatch.setattr(weights, "write_atomically", lambda *_: pytest.fail("it was written again"))
    weights.remember_sha256(path, known)


def test_addresses_with_spaces_and_letters_of_other_alphabets_are_fetched(server):
    server.answers["/%D0%BC%20a.pkl"] = b"x"
    for name in "м a.pkl", "%D0%BC%20a.pkl":
        assert weights.cached_download(f"{server.url}/{name}")[0].name == "м a.pkl"


@pytest.mark.parametrize("host", ["a..b", "a" * 70 + ".org"])
def test_a_host_that_cannot_be_is_told_in_a_sentence(server, host):
    with pytest.raises(ConnectionError, match="x.pkl could not be downloaded"):
        weights.cached_download(f"http://{host}/x.pkl")


def test_a_published_hash_counts_more_than_a_note_that_was_changed_together_with_the_file(server):
    url = f"{server.url}/a/network.pkl"
    path, known = weights.cached_download(url)
    path.write_bytes(b"another")
    weights.remember_sha256(path, weights.sha256(path))
    with pytest.raises(ValueError, match="damaged or replaced"):
        weights.cached_download(url, known)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x/", "data:text/plain,x", "//"])
def test_a_redirect_to_another_kind_of_address_is_not_followed(server, target):
    server.answers["/a/moved.pkl"] = target
    with pytest.raises((ValueError, ConnectionError), match="moved.pkl (redirects to .* is not followed|could not be downloaded)"):
        weights.cached_download(f"{server.url}/a/moved.pkl")


def test_https_is_not_left_for_http_and_http_may_go_on(server):
    request = urllib.request.Request("https://example.org/a.pkl")
    with pytest.raises(ValueError, match="a.pkl redirects to http://example.org/b.pkl, which is not https"):
        weights._Redirects().http_error_302(request, None, 302, "Found", {"location": "http://me:pw@example.org/b.pkl?token=secret"})
    server.answers["/a/moved.pkl"] = "/a/network.pkl"
    assert weights.cached_download(f"{server.url}/a/moved.pkl")[0].read_bytes() == b"first"


@pytest.mark.parametrize("address", ["https://example.org/", "https://example.org", "https://example.org/a/", "file:///etc/passwd",
                                     "https:///a.pkl", "https://example.org/a/..", "ftp://example.org/a.pkl", "https://example.org/%2e%2e",
                                     "http://[::1/x.pkl", "https://example.org/a%00.pkl", "https://мережа.example/x.pkl"])
def test_an_address_that_names_no_file_on_the_web_is_refused_in_a_sentence(server, address):
    with pytest.raises(ValueError, match="is no address of a file: give one that begins with https://"):
        weights.cached_download(address)


def test_a_query_stays_out_of_names_and_sentences_but_tells_files_apart(server):
    server.answers |= {f"/get/x.pkl?id={i}/&token=secret": bytes([i]) for i in (1, 2)}
    paths = [weights.cached_download(f"{server.url}/get/x.pkl?id={i}/&token=secret")[0] for i in (1, 2)]
    assert [path.read_bytes() for path in paths] == [b"\1", b"\2"] and {path.name for path in paths} == {"x.pkl"}
    with pytest.raises(ConnectionError) as raised:
        weights.cached_download(f"http://me:secret@127.0.0.1:{server.server_port}/get/y.pkl?token=secret")
    assert "secret" not in str(raised.value)


def test_a_download_that_ends_early_is_tried_again_and_never_kept(server):
    server.promises = 10
    with pytest.raises(ConnectionError, match="could not be downloaded .*ended after 0.0 of 0.0 MB"):
        weights.cached_download(f"{server.url}/a/network.pkl")
    assert len(server.asked) == 3 and not list(Path(torch.hub.get_dir()).rglob("*.p*"))


def test_what_a_killed_download_left_is_deleted_a_day_later(server):
    path, _ = weights.cached_download(f"{server.url}/a/network.pkl")
    path.unlink()
    old, new, theirs = (path.with_name(name) for name in (".network.pkl.0a.part", ".network.pkl.0b.part", "network.pkl.abc.partial"))
    for part in old, new, theirs:
        part.write_bytes(b"half")
    for part in old, theirs:
        os.utime(part, (1, 1))
    weights.cached_download(f"{server.url}/a/network.pkl")
    assert sorted(file.name for file in path.parent.iterdir()) == [new.name, path.name]


def test_a_cache_that_is_a_file_is_named_and_a_link_to_a_folder_is_used(server, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(OSError, match="a file is where the folder of downloads should be.*TORCH_HOME") as raised:
        weights.cached_download(f"{server.url}/a/network.pkl")
    assert raised.value.filename == str(tmp_path / "cache")
    (tmp_path / "cache").unlink()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "elsewhere")
    assert weights.cached_download(f"{server.url}/a/network.pkl")[0].read_bytes() == b"first"


def test_a_link_in_place_of_the_file_is_replaced_and_what_it_points_to_left_alone(server, tmp_path):
    path, _ = weights.cached_download(f"{server.url}/a/network.pkl")
    path.unlink()
    path.symlink_to(tmp_path / "precious")
    assert weights.cached_download(f"{server.url}/a/network.pkl")[0].read_bytes() == b"first"
    assert not path.is_symlink() and not (tmp_path / "precious").exists()
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match="network.pkl is no regular file"):
        weights.cached_download(f"{server.url}/a/network.pkl")


@pytest.mark.parametrize("number, said", [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "quota"), (errno.EACCES, "may not write"),
                                          (errno.EROFS, "can only be read")])
def test_a_disk_in_the_way_of_a_network_file_is_named_with_the_folder(server, monkeypatch, number, said):
    class Full:
        def __init__(self, *_):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr("genlib.files.open", Full, raising=False)
    with pytest.raises(OSError) as raised:
        weights.cached_download(f"{server.url}/a/network.pkl")
    assert said in raised.value.strerror and "TORCH_HOME" in raised.value.strerror and str(torch.hub.get_dir()) in raised.value.filename
    assert len(server.asked) == 1, "asking again would not help"


def test_running_out_of_memory_is_explained_with_what_helps():
    with pytest.raises(MemoryError, match="Stable Diffusion v1-4 with random weights in float16 does not fit .* free.*weights='demo'"):
        with weights.loading(ModelInfo("Stable Diffusion v1-4", "random", "thesis", "seed 0", dtype="float16")):
            raise torch.OutOfMemoryError("CUDA out of memory")


# --- what the process held before

def test_ram_before_the_model_is_kept_and_one_that_was_loaded_is_remembered(monkeypatch):
    monkeypatch.setattr(device, "loaded", [])
    with weights.loading(ModelInfo("large", "random", "thesis", "seed 0")) as info:
        held = torch.ones(64 * 2**20, dtype=torch.uint8)
    assert info.load_ram_bytes == pytest.approx(64 * 2**20, rel=0.1)
    assert info.ram_before_bytes == pytest.approx(psutil.Process().memory_info().rss - held.nbytes, abs=8 * 2**20)
    with pytest.raises(ValueError), weights.loading(ModelInfo("damaged", "random", "thesis", "seed 0")):
        raise ValueError
    assert device.loaded == [info]


def test_a_dropped_model_that_refers_to_itself_is_gone_before_the_next_is_loaded_and_only_the_libraries_are_kept(monkeypatch):
    monkeypatch.setattr(device, "loaded", [])
    weights._keep_libraries.cache_clear()
    gc.freeze()  # as some Pythons do by themselves when they start
    before, models = gc.get_freeze_count(), []
    library = type("Library", (), {})  # made since then
    for _ in range(3):
        with weights.loading(ModelInfo("tuned", "random", "thesis", "seed 0")):
            assert not any(earlier() for earlier in models)
            model = torch.nn.Linear(2, 2)
            model.itself = [model]
            models.append(weakref.ref(model))
            del model
    assert gc.get_freeze_count() > before and library not in gc.get_objects()
    gc.unfreeze()
    weights._keep_libraries.cache_clear()


AS_A_NOTEBOOK = """
import sys, torch
from genlib import measure, quality
from genlib.models import images, {module}
from genlib.report import Report
before = set(sys.modules)
model = {module}.load("demo")
measure.repeat(lambda: {call}, experiment="e", model=model.info, iterations=1, results=sys.argv[1])
print(*{{".".join(name.split(".")[:2]) for name in set(sys.modules) - before}})
"""
CALLS = {"stable_diffusion": "model(prompt='', num_inference_steps=1).images",
         "vae": "images.to_pil(vae.decode(model, torch.zeros(1, 4, 8, 8)))",
         "stylegan2": "images.to_pil(model(torch.zeros(1, model.z_dim)))"}


@pytest.mark.slow
@pytest.mark.parametrize("module", CALLS)
def test_no_library_is_imported_between_the_reading_before_a_model_and_those_of_its_run(module, tmp_path):
    """It would count as the model's. Schedulers and readers of pictures, which are small, may come late."""
    code = AS_A_NOTEBOOK.format(module=module, call=CALLS[module])
    answer = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    imported = answer.stdout.splitlines()[-1].split()
    assert [name for name in imported if not name.startswith("PIL.") and name != "diffusers.schedulers"] == []


def test_what_torch_keeps_of_models_that_were_let_go_is_given_back_before_another_is_loaded(monkeypatch):
    """Else it would count as in use, and a model that fits would be refused."""
    said = []
    monkeypatch.setattr(device, "free_memory", lambda: said.append("freed"))
    with weights.loading(ModelInfo("m", "random", "thesis", "seed 0")):
        assert said == ["freed"]
