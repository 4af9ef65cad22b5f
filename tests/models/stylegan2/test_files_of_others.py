"""Network files as people make them: by forks, with objects of their own, or files of another kind."""
import argparse
import bz2
import datetime
import decimal
import functools
import gzip
import io
import logging
import lzma
import os
import pathlib
import pickle
import random
import re
import socket
import tarfile
import types
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque

import network_files as files
import numpy as np
import pytest
import torch
from network_files import Call, EasyDict, Object, assert_exact, assert_refused, assert_same, complete, read_bytes, tiny
from safetensors.torch import save

from genlib.models import stylegan2
from genlib.models.stylegan2 import nvidia_file


def settings_of(generator: Object, place: str) -> dict:
    kwargs = generator.state["_init_kwargs"]
    return kwargs if place == "generator" else kwargs[place]


def with_setting(name: str, value, place="mapping_kwargs") -> Object:
    generator = tiny()
    settings_of(generator, place)[name] = value
    return generator


# ---- Settings that forks add

OFF = [0, False, None, "", [], (), {}, 0.0, -0.0, set(), frozenset(), b"", bytearray(), OrderedDict(), defaultdict(list), EasyDict(),
       deque(), np.int64(0), np.int8(0), np.uint8(0), np.float32(0), np.float16(0), np.bool_(False), np.str_(""),
       np.zeros((0, 3)), torch.zeros(0)]
ON = [1, True, "none", "0", [0], {"a": 0}, (None,), 0.5, float("nan"), np.float64(1), np.bool_(True), np.array([0]), torch.zeros(1), b"a",
      torch.float32, torch.device("cpu"), pathlib.PurePosixPath("a"), Call(os.system, "touch executed")]


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("place", ["generator", "mapping_kwargs", "synthesis_kwargs"])
def test_unknown_settings_that_can_only_mean_off_are_passed_over(protocol, place):
    generator = tiny()
    settings_of(generator, place).update({f"setting{i}": value for i, value in enumerate(OFF)})
    data = files.dumps({"G_ema": generator}, protocol)
    assert_exact(data)
    assert list(read_bytes(data).passed_over) == [f"setting{i}" for i in range(len(OFF))]


@pytest.mark.parametrize("value", ON, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("place", ["generator", "mapping_kwargs", "synthesis_kwargs"])
def test_unknown_settings_that_may_mean_something_are_refused_by_name(tmp_path, monkeypatch, value, place):
    monkeypatch.chdir(tmp_path)
    assert_refused(files.dumps({"G_ema": with_setting("sharpness", value, place)}), "'sharpness'", "unknown")
    assert not list(tmp_path.iterdir())


def test_what_is_passed_over_is_said_in_one_line_with_its_names_and_values(tmp_path, capsys):
    generator = with_setting("freeze_layers", 0)
    settings_of(generator, "mapping_kwargs")["freeze_embed"] = False
    stylegan2.read(files.write(tmp_path / "n.pkl", {"G_ema": generator}))
    assert capsys.readouterr().out == (
        "n.pkl: passed over as off are settings that StyleGAN2-ADA does not have (freeze_layers=0, freeze_embed=False): pictures may "
        "differ if whoever added them meant more by it\n")
    settings_of(generator, "mapping_kwargs").update({f"setting{i}": 0 for i in range(10_000)})
    stylegan2.read(files.write(tmp_path / "n.pkl", {"G_ema": generator}))
    assert len(capsys.readouterr().out) < 1200
    stylegan2.read(files.write(tmp_path / "n.pkl", {"G_ema": tiny()}))
    assert not capsys.readouterr().out


@pytest.mark.parametrize("name, value", [("blur", 0), ("blur", None), ("blur", []), ("blur", np.float32(0)), ("blur", 2), ("blur", "no")])
def test_settings_that_forks_of_the_tensorflow_code_add_are_treated_alike(name, value):
    header, tensors = files.golden("tf_skip16_cond")
    data = files.dumps(files.tensorflow(header["static_kwargs"] | {name: value}, files.flat_variables(tensors)))
    if value in (2, "no"):
        assert_refused(data, "'blur'")
    else:
        assert list(read_bytes(data).passed_over) == ["blur"]


@pytest.mark.parametrize("place, name, value", [
    ("synthesis_kwargs", "conv_clamp", 0), ("synthesis_kwargs", "conv_clamp", None), ("synthesis_kwargs", "num_fp16_res", 0),
    ("synthesis_kwargs", "fp16_channels_last", False), ("mapping_kwargs", "embed_features", 0), ("mapping_kwargs", "layer_features", None),
    ("mapping_kwargs", "w_avg_beta", 0), ("synthesis_kwargs", "resample_filter", None),
])
def test_nvidias_own_settings_keep_their_meaning_whatever_the_value(place, name, value):
    config, state_dict = files.tiny_generator()
    config[place][name] = value
    if name == "resample_filter":
        for path in ("b4", "b8", "b8.conv0", "b8.skip"):  # conv1 has the default, which it does not use
            state_dict[f"synthesis.{path}.resample_filter"] = torch.ones(1, 1)
    found = read_bytes(files.dumps({"G_ema": files.generator(config, state_dict)}))
    assert found.config == complete(config) and found.config[place][name] == value and not found.passed_over


def test_a_network_without_z_is_read_if_it_has_labels():
    config, state_dict = files.tiny_generator()
    config |= dict(z_dim=0, c_dim=2)
    state_dict |= {"mapping.embed.weight": torch.ones(3, 2), "mapping.embed.bias": torch.ones(3), "mapping.fc0.weight": torch.ones(3, 3)}
    data = files.dumps({"G_ema": files.generator(config, state_dict)})
    assert_same(read_bytes(data).state_dict, state_dict)
    assert_refused(files.dumps({"G_ema": with_setting("z_dim", 0, "generator")}), "z_dim and c_dim are both 0")


@pytest.mark.parametrize("place, name, value, allowed", [
    ("mapping_kwargs", "num_layers", 10_000_000, "from 1 to 100"), ("mapping_kwargs", "layer_features", 10**9, "from 1 to 65536"),
    ("synthesis_kwargs", "channel_base", 10**12, "from 1 to 16777216"), ("synthesis_kwargs", "conv_clamp", -1, "from 0 to 1e9"),
    ("generator", "img_resolution", 2**20, "16384"), ("generator", "z_dim", 10**8, "from 0 to 65536"),
    ("synthesis_kwargs", "resample_filter", [1] * 65, "1 to 64 numbers"), ("synthesis_kwargs", "kernel_size", 4, "3, 5"),
])
def test_a_setting_out_of_bounds_is_refused_with_the_bounds(place, name, value, allowed):
    assert_refused(files.dumps({"G_ema": with_setting(name, value, place)}), name, allowed)


def test_more_layers_than_any_network_has_are_refused_with_the_limit():
    generator = tiny()
    generator.at("mapping").state["_modules"] |= {f"fc{i}": None for i in range(1, 2000)}
    assert_refused(files.dumps({"G_ema": generator}), "more than 1000 parts")
    generator.at("mapping").state["_modules"] = {str(i): None for i in range(200_000)}
    assert_refused(files.dumps({"G_ema": generator}), "more objects than fit into 32 MiB")


# ---- Objects that the generator does not need

class Tagged(EasyDict):
    """A dict whose items are attributes too, as in the package easydict."""
    def __init__(self, **items):
        super().__init__(items)
        self.__dict__.update(items)


class WithKeywords:
    def __reduce_ex__(self, protocol):
        return (Call.__new__, (Call,), {"a": 1}) if protocol < 2 else object.__reduce_ex__(self, protocol)

    def __getnewargs_ex__(self):
        return (), {"a": 1}


def optimizer():
    made = torch.optim.Adam(torch.nn.Linear(2, 3).parameters())
    made.param_groups[0]["params"][0].grad = torch.ones(3, 2)
    made.step()
    return made


FOREIGN = {
    "torch.device": torch.device("cuda:0"), "torch.float16": torch.float16, "PosixPath": pathlib.PurePosixPath("/data/faces"),
    "Namespace": argparse.Namespace(lr=0.002), "SimpleNamespace": types.SimpleNamespace(a=1), "Linear": torch.nn.Linear(2, 2),
    "Sequential": torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3), torch.nn.ReLU()), "Adam": optimizer(), "getLogger": logging.getLogger("a"),
    "TensorDataset": torch.utils.data.TensorDataset(torch.ones(3)), "Counter": Counter("abca"), "complex": 1j, "range": range(3),
    "datetime": datetime.datetime(2021, 5, 1), "Decimal": decimal.Decimal("0.1"), "AddressFamily": socket.AF_INET,
    "_compile": re.compile("a"), "print": functools.partial(print, "a"), "Random": random.Random(0),
    "randomstate": np.random.RandomState(0), "_rebuild_sparse_tensor": torch.eye(3).to_sparse(),
    "system": Call(os.system, "touch executed"), "eval": Call(eval, "open('executed', 'w')"),
}
PLAIN = {
    "sizes": torch.Size([1, 3]), "an optimizer's state": optimizer().state_dict(), "a state dict": torch.nn.Linear(2, 3).state_dict(),
    "numbers": [np.float32(1), np.dtype("int64"), np.dtype([("a", "f4")]), np.zeros(2, "M8[s]"), np.str_("a"), np.array(["a"], object)],
    "an object made with keywords": WithKeywords(),
    "halves": [torch.ones(2, dtype=kind) for kind in (torch.float16, torch.bfloat16, torch.int64, torch.complex64)],
    "sets": [frozenset("ab"), deque([1], 3), {1, 2}], "dicts": [defaultdict(int, {1: 2}), Tagged(a=1, path="b")],
    "paths": [f"{i:06}.png" for i in range(2000)],
}


@pytest.fixture
def unharmed(tmp_path, monkeypatch):
    """Runs the test in its own folder, and checks that nothing left a file there."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.iterdir())


def written(root, protocol: int) -> bytes:
    return files.dumps(root, protocol, project__data={"WithKeywords": WithKeywords}, project__dicts={"Tagged": Tagged})


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", FOREIGN | PLAIN)
def test_objects_beside_the_generator_and_in_attributes_that_it_does_not_need_leave_it_exact(unharmed, name, protocol):
    value = (FOREIGN | PLAIN)[name]
    for of_class in (WithKeywords, Tagged):
        of_class.__module__ = of_class.__qualname__ = of_class.__name__
    generator = tiny()
    for path in ("", "mapping", "synthesis.b8.conv1"):
        generator.at(path).state["extra"] = value
    generator.state["_forward_hooks"] = OrderedDict({0: value})
    assert_exact(written({"extra": value, "G": Object("Generator", _modules={"a": value}), "G_ema": generator, "training_set_kwargs":
                          EasyDict(path=value)}, protocol))


@pytest.mark.parametrize("name", FOREIGN)
def test_an_object_in_place_of_what_the_generator_needs_is_refused_by_its_name(unharmed, name):
    value = FOREIGN[name]
    for place in ("a setting", "a part", "an attribute", "a tensor", "a table", "G_ema"):
        generator = tiny()
        match place:
            case "a setting":
                generator.state["_init_kwargs"]["synthesis_kwargs"]["conv_clamp"] = value
            case "a part":
                generator.at("synthesis.b8").state["_modules"]["attention"] = value
            case "an attribute":
                generator.at("synthesis.b8").state["architecture"] = value
            case "a tensor":
                generator.at("mapping").state["_buffers"]["w_avg"] = value
            case "a table":
                generator.at("mapping").state["_buffers"] = value
            case "G_ema":
                generator = value
        assert_refused(written({"G_ema": generator}, 2 if place == "a part" else 4), name)


def test_the_guard_of_these_tests_notices_what_an_unpickler_would_run(unharmed):
    with pytest.raises(AssertionError, match="find_class"), files.nothing_runs():
        pickle.loads(files.dumps(Call(os.system, "touch executed")))


def test_tensors_with_attributes_are_read():
    generator = tiny()
    for table in (generator.at("mapping").state["_buffers"], generator.at("mapping.fc0").state["_parameters"]):
        for name, value in table.items():
            if value is not None:
                value = value if isinstance(value, torch.Tensor) else torch.nn.Parameter(value.call[1][0])
                value.note, table[name] = "attribute", value
    data = files.dumps({"G_ema": generator})
    assert b"_rebuild_parameter_with_state" in data and b"_rebuild_from_type_v2" in data
    assert_exact(data)


@pytest.mark.parametrize("protocol", [2, 4])
def test_keys_that_are_no_text_are_read(protocol):
    keys = {0: "a", 1: "b", None: 1, (0, (1, "c")): 2, 0.5: 3, -1: 4, torch.float32: 5, frozenset("ab"): 6, b"bytes": 7, "x" * 2000: 8}
    assert_exact(files.dumps({"class_names": keys, 7: "a", "G_ema": tiny(), (1, 2): keys}, protocol))


# ---- Files of other kinds

def in_zip(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"\x80\x04N.")
    return file.getvalue()


def torch_save(root, **options) -> bytes:
    file = io.BytesIO()
    torch.save(root, file, **options)
    return file.getvalue()


def in_tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("network.pkl"))
    return file.getvalue()


GOOD = files.dumps({"G_ema": tiny()})
OTHERS = {
    "an old checkpoint": (torch_save({"g_ema": torch.ones(2)}, _use_new_zipfile_serialization=False), "in the old format of torch.save"),
    "a checkpoint": (torch_save({"g_ema": torch.ones(2)}), "a file of torch.save"),
    "a zip": (in_zip("network.pkl"), "a zip archive"), "gzip": (gzip.compress(GOOD), "gzip"), "bzip2": (bz2.compress(GOOD), "bzip2"),
    "xz": (lzma.compress(GOOD), "xz"), "tar": (in_tar(), "a tar archive"), "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(50), "7z"),
    "a web page": (b"<!DOCTYPE html><html><title>Google Drive - Virus scan warning", "web page"), "another": (b"\n <HTML>", "web page"),
    "an error": (b"\xef\xbb\xbf<?xml version='1.0'?><Error>", "web page"), "JSON": (b'{"error": "quota"}', "a text that begins with"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:a205\nsize 381624121\n", "git lfs pull"),
    "nothing": (b"", "is empty: download"), "zeros": (bytes(5000), "zeros"), "half": (GOOD[: len(GOOD) // 2], "cut off at byte"),
    "safetensors": (save({"a": torch.ones(2)}), "safetensors"), "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF"),
    "a text": (b"hello", "a text that begins with 'hello'"), "protocol 0": (pickle.dumps({"G_ema": 1}, 0), "no pickle of protocol 2 to 5"),
    "a lone generator": (files.dumps(tiny()), "holds a 'Generator' by itself"),
    "a list": (files.dumps([tiny(), Object("Discriminator", _modules={})]), "holds a list of a 'Generator', a 'Discriminator'"),
    "a tuple of three": (files.dumps((tiny(), None, tiny())), "holds a tuple of a 'Generator', None, a 'Generator'"),
    "a long list": (files.dumps([tiny()] * 9), "'Generator', ..., and not"), "an empty list": (pickle.dumps([]), "holds a list of nothing"),
    "other names": (files.dumps({"G": tiny(), "D": None, "g_ema": None}), "'G', 'D', 'g_ema', and no 'G_ema'"),
    "a wrapper": (pickle.dumps({"G_ema": torch.nn.DataParallel(torch.nn.Linear(2, 2))}), "DataParallel' would make, and not the network"),
    "a state dict": (pickle.dumps({"G_ema": {"mapping.w_avg": torch.ones(3)}}), "its 'G_ema' is a dict of 1 entries"),
    "one TensorFlow network": (files.dumps(files.tensorflow({}, {})[2]), "one network of the TensorFlow code by itself"),
    "two TensorFlow networks": (files.dumps(files.tensorflow({}, {})[1:]), "holds a tuple of a network, a network"),
    "the first StyleGAN": (files.dumps(files.tensorflow({}, {}, version=3)), "first StyleGAN"),
    "an unknown object": (pickle.dumps(argparse.Namespace(a=1)), "'argparse.Namespace'"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_file_of_another_kind_is_named_as_what_it_is(what):
    data, word = OTHERS[what]
    assert_refused(data, word)


@pytest.mark.parametrize("parts, class_name, word", [
    ({"input": None, "L0_36_512": None}, "Generator", "a StyleGAN3 generator"), ({"input": Object("X")}, "Generator", "StyleGAN3"),
    ({"input": None, "L0_36_1024": Call(torch.nn.Identity)}, "SuperresGenerator", "StyleGAN-XL"),
    ({}, "TriPlaneGenerator", "of the class 'TriPlaneGenerator'"), ({"main": None}, "Generator", "no part 'synthesis.b4'"),
])
def test_a_generator_of_another_kind_is_named_as_what_it_is(parts, class_name, word):
    generator = tiny()
    generator.meta["class_name"], generator.at("synthesis").state["_modules"] = class_name, parts
    assert_refused(files.dumps({"G_ema": generator}), word)


def test_the_stem_of_stylegan_xl_is_told_by_its_embedding():
    generator = tiny()
    generator.at("mapping").state["_modules"] |= {"embed": Call(torch.nn.Identity), "embed_proj": Object("FullyConnectedLayer")}
    assert_refused(files.dumps({"G_ema": generator}), "StyleGAN-XL")


@pytest.mark.parametrize("resolution", [[8, 16], (8, 4), [8, 8], torch.Size([4, 8])])
def test_rectangular_networks_are_named_by_their_two_sizes(resolution):
    assert_refused(files.dumps({"G_ema": with_setting("img_resolution", resolution, "generator")}), "img_resolution is", "rectangular")


def test_a_rectangular_network_is_known_by_its_first_map():
    generator = with_setting("init_res", [4, 6], "synthesis_kwargs")
    generator.at("synthesis.b4").state["_parameters"]["const"] = torch.ones(3, 4, 6)
    assert_refused(files.dumps({"G_ema": generator}), "rectangular", "6 x 4 pixels")


def test_a_rectangular_network_of_the_tensorflow_code_is_named():
    header, tensors = files.golden("tf_skip16_cond")
    data = files.dumps(files.tensorflow(header["static_kwargs"] | {"resolution_h": 32}, files.flat_variables(tensors)))
    assert_refused(data, "resolution_h is 32", "rectangular")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes")
def test_a_pipe_or_a_folder_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "n.pkl")
    for path in (tmp_path, tmp_path / "n.pkl"):
        with pytest.raises(nvidia_file.NetworkFileError, match="no file: give a .pkl file"):
            nvidia_file.read(path)
