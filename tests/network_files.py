"""Write network files as NVIDIA's code does, by stub modules of the same names; none of that code is here."""
import contextlib
import io
import json
import math
import os
import pickle
import sys
import tempfile
import types
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from genlib.models.stylegan2 import nvidia_file
from genlib.models.stylegan2.nvidia_file import NetworkFileError

GOLDEN = Path(__file__).parent / "data" / "golden"
SOURCE = "open('executed', 'w')  # whoever executes a network's source text writes this file\n" * 20
BUFFERS = ("w_avg", "noise_const", "resample_filter")
HOOKS = ["_backward_hooks", "_forward_hooks", "_forward_pre_hooks", "_state_dict_hooks", "_load_state_dict_pre_hooks",  # old torch; new:
         "_backward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs",
         "_state_dict_pre_hooks", "_load_state_dict_post_hooks"]
GAINS = {"lrelu": math.sqrt(2), "relu": math.sqrt(2), "swish": math.sqrt(2)}

MAPPING = dict(num_layers=8, embed_features=None, layer_features=None, activation="lrelu", lr_multiplier=0.01, w_avg_beta=0.995)
SYNTHESIS = dict(channel_base=32768, channel_max=512, num_fp16_res=0, architecture="skip", resample_filter=[1, 3, 3, 1], conv_clamp=None,
                 fp16_channels_last=False, kernel_size=3, use_noise=True, activation="lrelu")


def golden(name: str) -> tuple[dict, dict[str, torch.Tensor]]:
    """The header and tensors of a golden file."""
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        header = {key: json.loads(value) if value[0] in "{[" else value for key, value in file.metadata().items()}
        return header, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def golden_generator(name: str) -> tuple[dict, dict[str, torch.Tensor]]:
    """The configuration and state dict of a golden file."""
    header, tensors = golden(name)
    return header["config"], {key[3:]: value for key, value in tensors.items() if key.startswith("sd.")}


def tiny_generator() -> tuple[dict, dict[str, torch.Tensor]]:
    """The smallest generator with every kind of tensor, except for labels: 8 px, two channels, resnet."""
    config = dict(z_dim=2, c_dim=0, w_dim=3, img_resolution=8, img_channels=1,
                  mapping_kwargs=dict(num_layers=1, lr_multiplier=0.01, w_avg_beta=0.9),
                  synthesis_kwargs=dict(channel_base=16, channel_max=3, architecture="resnet", num_fp16_res=1, conv_clamp=256))
    random = torch.Generator().manual_seed(0)
    taps = torch.tensor([1.0, 3, 3, 1])
    shapes = {
        "mapping.w_avg": [3], "mapping.fc0.weight": [3, 2], "mapping.fc0.bias": [3], "synthesis.b4.const": [3, 4, 4],
        "synthesis.b8.torgb.weight": [1, 2, 1, 1], "synthesis.b8.torgb.bias": [1], "synthesis.b8.torgb.affine.weight": [2, 3],
        "synthesis.b8.torgb.affine.bias": [2], "synthesis.b8.skip.weight": [2, 3, 1, 1]}
    for layer, after, before, r in [("b4.conv1", 3, 3, 4), ("b8.conv0", 2, 3, 8), ("b8.conv1", 2, 2, 8)]:
        for name, shape in {"weight": [after, before, 3, 3], "bias": [after], "affine.weight": [before, 3], "affine.bias": [before],
                            "noise_const": [r, r], "noise_strength": []}.items():
            shapes[f"synthesis.{layer}.{name}"] = shape
    state_dict = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
    for path in ("b4", "b4.conv1", "b8", "b8.conv0", "b8.conv1", "b8.skip"):
        state_dict[f"synthesis.{path}.resample_filter"] = torch.outer(taps, taps) / 64
    return config, state_dict


class Object:
    """Pickles like an object of the PyTorch code: as a call with class name, source text and attributes."""

    def __init__(self, class_name: str, version=6, source=SOURCE, **state):
        self.meta = {"type": "class", "version": version, "module_src": source, "class_name": class_name, "state": state}

    @property
    def state(self) -> dict:
        return self.meta["state"]

    def __reduce__(self):
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)

    def at(self, path: str) -> "Object":
        """The part of that dotted path."""
        return self if not path else self.state["_modules"][path.split(".")[0]].at(path.partition(".")[2])


class EasyDict(dict):
    __module__ = "dnnlib.util"


class Network:
    __module__ = "dnnlib.tflib.network"

    def __init__(self, **state):
        self.__dict__.update(state)

    def __getstate__(self):
        return self.__dict__


class Call:
    """Pickles as a call."""

    def __init__(self, function, *args, state=None):
        self.call = (function, args, state)

    def __reduce__(self):
        return self.call


@contextlib.contextmanager
def stubs(**more):
    """Modules with NVIDIA's names, while pickle looks them up.

    more: attributes of further modules, in whose names dots are written as `__`.
    """
    def _reconstruct_persistent_obj(meta):
        raise AssertionError("never called")

    names = {"torch_utils.persistence": {"_reconstruct_persistent_obj": _reconstruct_persistent_obj}, "dnnlib.util": {"EasyDict": EasyDict},
             "dnnlib.tflib.network": {"Network": Network}} | {name.replace("__", "."): attributes for name, attributes in more.items()}
    names = {name.split(".")[0]: {} for name in names if name.split(".")[0] not in sys.modules} | names
    before = {name: sys.modules.get(name) for name in names}
    for name, attributes in names.items():
        sys.modules[name] = types.ModuleType(name)
        for key, value in attributes.items():
            value.__module__, value.__qualname__ = name, key
            setattr(sys.modules[name], key, value)
    try:
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


def dumps(root, protocol: int = 4, pickler=pickle.Pickler, **more) -> bytes:
    file = io.BytesIO()
    with stubs(**more):
        pickler(file, protocol).dump(root)
    return file.getvalue()


def write(path, root, protocol: int = 4) -> Path:
    Path(path).write_bytes(dumps(root, protocol))
    return Path(path)


def generator(config: dict, state_dict: dict, table=OrderedDict, later=False, channels_last=False) -> Object:
    """The generator as the PyTorch code pickles it, with the attributes of its modules.

    table: OrderedDict as in old versions of torch, or dict as in new ones.
    later: as NVIDIA's later code does, put the synthesis keywords beside the others.
    """
    m = dict(num_layers=8, activation="lrelu", lr_multiplier=0.01, w_avg_beta=0.995) | config.get("mapping_kwargs", {})
    s = dict(architecture="skip", conv_clamp=None, use_noise=True, activation="lrelu", num_fp16_res=0, kernel_size=3
             ) | config.get("synthesis_kwargs", {})
    z, c, w, R, channels = (config[key] for key in ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels"))
    num_ws, blocks = 2 * int(math.log2(R)) - 2, [2**level for level in range(2, int(math.log2(R)) + 1)]
    kwargs = dict(z_dim=z, c_dim=c, w_dim=w, img_resolution=R, img_channels=channels)
    kwargs |= {"mapping_kwargs": EasyDict(config.get("mapping_kwargs", {}))}
    kwargs |= config.get("synthesis_kwargs", {}) if later else {"synthesis_kwargs": EasyDict(config.get("synthesis_kwargs", {}))}

    def module(class_name, path, parts=(), **attributes):
        start = f"{path}." if path else ""
        own = {name[len(start):]: tensor for name, tensor in state_dict.items() if name.startswith(start) and "." not in name[len(start):]}
        parameters = {name: parameter(tensor) for name, tensor in own.items() if name not in BUFFERS}
        buffers = {name: stored(tensor) for name, tensor in own.items() if name in BUFFERS}
        return Object(class_name, training=False, **{name: table() for name in HOOKS[:5 if table is OrderedDict else None]},
                      _non_persistent_buffers_set=set(), _parameters=table(parameters | {"none": None}),
                      _buffers=table(buffers | {"nothing": None}), _modules=table(parts), **attributes)

    def stored(tensor):
        return tensor.contiguous(memory_format=torch.channels_last) if channels_last and tensor.ndim == 4 else tensor

    def parameter(tensor):
        return Call(torch._utils._rebuild_parameter, stored(tensor), False, OrderedDict())

    def dense(path, activation="linear", m=1.0):
        fan_in = state_dict[f"{path}.weight"].shape[1]
        return module("FullyConnectedLayer", path, activation=activation, weight_gain=np.float64(m / np.sqrt(fan_in)), bias_gain=m)

    def layer(path, r, up):
        return module("SynthesisLayer", path, [("affine", dense(f"{path}.affine"))], resolution=r, up=up, use_noise=s["use_noise"],
                      activation=s["activation"], conv_clamp=s["conv_clamp"], padding=s["kernel_size"] // 2,
                      act_gain=np.float64(GAINS[s["activation"]]))

    def block(r):
        path, parts = f"synthesis.b{r}", []
        if r > 4:
            parts.append(("conv0", layer(f"{path}.conv0", r, 2)))
        parts.append(("conv1", layer(f"{path}.conv1", r, 1)))
        if f"{path}.torgb.weight" in state_dict:
            gain = np.float64(1 / np.sqrt(state_dict[f"{path}.torgb.weight"].shape[1]))
            parts.append(("torgb", module("ToRGBLayer", f"{path}.torgb", [("affine", dense(f"{path}.torgb.affine"))],
                                          conv_clamp=s["conv_clamp"], weight_gain=gain)))
        if f"{path}.skip.weight" in state_dict:
            parts.append(("skip", module("Conv2dLayer", f"{path}.skip", activation="linear", up=2, down=1, conv_clamp=None, padding=0,
                                         bias=None, act_gain=1.0)))
        before = state_dict[f"{path}.conv0.weight"].shape[1] if r > 4 else 0
        return module("SynthesisBlock", path, parts, in_channels=before, w_dim=w, resolution=r, img_channels=channels, is_last=r == R,
                      architecture=s["architecture"], use_fp16=r >= max(2 ** (len(blocks) + 2 - s["num_fp16_res"]), 8), channels_last=False)

    layers = [(f"fc{i}", dense(f"mapping.fc{i}", m["activation"], m["lr_multiplier"])) for i in range(m["num_layers"])]
    embed = [("embed", dense("mapping.embed"))] if c else []
    mapping = module("MappingNetwork", "mapping", embed + layers, z_dim=z, c_dim=c, w_dim=w, num_ws=num_ws, num_layers=m["num_layers"],
                     w_avg_beta=m["w_avg_beta"])
    synthesis = module("SynthesisNetwork", "synthesis", [(f"b{r}", block(r)) for r in blocks], w_dim=w, img_resolution=R,
                       img_resolution_log2=len(blocks) + 1, img_channels=channels, block_resolutions=blocks, num_ws=num_ws)
    return module("Generator", "", [("synthesis", synthesis), ("mapping", mapping)], _init_args=(), _init_kwargs=kwargs, z_dim=z, c_dim=c,
                  w_dim=w, img_resolution=R, img_channels=channels, num_ws=num_ws)


def tensorflow(static_kwargs: dict, variables: dict[str, np.ndarray], version: int = 4) -> tuple:
    """(G, D, Gs) as the TensorFlow code pickles it. variables: the generator's, by flattened names."""
    def network(name, prefix, components, **state):
        own = [(key[len(prefix):], value) for key, value in variables.items()
               if key.startswith(prefix) and not any(key[len(prefix):].startswith(f"{part}/") for part in components)]
        return Network(version=version, name=name, components=components, build_module_src=SOURCE, variables=own, **state)

    parts = {part: network(f"G_{part}", f"{part}/", {}, static_kwargs={}) for part in ("mapping", "synthesis")}
    gs = network("Gs", "", EasyDict(parts), static_kwargs=EasyDict(static_kwargs))
    training = [("lod", np.float32(0)), ("w", np.ones((2, 3), "f4"))]
    other = Network(version=version, name="G", static_kwargs={}, components={}, build_module_src=SOURCE, variables=training)
    return other, other, gs


def flat_variables(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """The variables of a golden TensorFlow file, with scalars as numpy numbers."""
    values = {name[3:]: tensor.numpy() for name, tensor in tensors.items() if name.startswith("tf.")}
    return {name: value if value.shape else value[()] for name, value in values.items()}


def seeds() -> list[bytes]:
    """Small good files of every kind, from which to make bad ones."""
    header, tensors = golden("tf_resnet16")
    beside = [Call(os.system, "touch executed"), torch.device("cpu"), Path("faces"), {0: np.float32(1)}, Object("AugmentPipe", version=5)]
    return [dumps({"G_ema": generator(*tiny_generator()), "beside": beside[:protocol]}, protocol) for protocol in (2, 3, 4, 5)] + [
        dumps(tensorflow(header["static_kwargs"], flat_variables(tensors)), protocol) for protocol in (2, 5)]


class _Random:
    """Pickles as a tensor of random values, which exist only while it is written."""

    def __init__(self, shape):
        self.shape = shape

    def __reduce__(self):
        return torch.rand(self.shape).__reduce_ex__(2)


class _Forgetful(pickle._Pickler):
    """Forgets weights once they are written, where the ordinary pickler keeps every object."""

    def memoize(self, obj):
        if not isinstance(obj, (bytes, tuple, torch.storage.TypedStorage)):
            super().memoize(obj)


def write_full_size(path, config: dict, shapes: dict) -> None:
    """A file with random G, D and G_ema, where D is about as large as the published one at 1024 px."""
    taps = torch.tensor([1.0, 3, 3, 1])
    filters = {name: torch.outer(taps, taps) / 64 for name in shapes if name.endswith("resample_filter")}
    hooks = {name: {} for name in HOOKS}
    layers = {f"layer{i}": Object("Layer", **hooks, _parameters={"weight": _Random(size)}, _buffers={}, _modules={})
              for i, size in enumerate([[512, 512, 3, 3]] * 12 + [[1536, 512]])}
    root = {name: generator(config, {key: filters.get(key, _Random(shape)) for key, shape in shapes.items()}, dict)
            for name in ("G", "G_ema")}
    root["D"] = Object("Discriminator", **hooks, _parameters={}, _buffers={}, _modules=layers)
    with stubs(), open(path, "wb") as file:
        _Forgetful(file, 4).dump(root)


# ---- Reading

RUNS = ("exec", "compile", "import", "pickle.find_class", "marshal.loads", "os.system", "os.exec", "os.fork", "os.posix_spawn",
        "subprocess.Popen", "socket.connect", "ctypes.dlopen")  # what Python reports before it runs something
_watching = False


@contextlib.contextmanager
def nothing_runs():
    """Fails as soon as anything is imported, compiled, executed, unpickled, or opened for writing."""
    global _watching
    _watching = True
    try:
        yield
    finally:
        _watching = False


def _audit(event: str, arguments: tuple) -> None:
    if _watching and (event in RUNS or event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
        raise AssertionError(f"{event} {arguments}")


sys.addaudithook(_audit)


def complete(config: dict) -> dict:
    return config | {"mapping_kwargs": MAPPING | config.get("mapping_kwargs", {}),
                     "synthesis_kwargs": SYNTHESIS | config.get("synthesis_kwargs", {})}


def assert_same(state_dict: dict, expected: dict):
    """The names, shapes and values are the same, to the bit."""
    assert state_dict.keys() == expected.keys()
    for name, tensor in state_dict.items():
        assert tensor.dtype == torch.float32 and tensor.is_contiguous() and tensor.shape == expected[name].shape, name
        assert tensor.numpy().tobytes() == expected[name].contiguous().numpy().tobytes(), name


def tiny(**changes) -> Object:
    return generator(*tiny_generator(), **changes)


def read_bytes(data: bytes) -> nvidia_file.NetworkFile:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.pkl"
        path.write_bytes(data)
        with nothing_runs():
            return nvidia_file.read(path)


def assert_exact(data: bytes):
    config, state_dict = tiny_generator()
    found = read_bytes(data)
    assert_same(found.state_dict, state_dict)
    assert found.config == complete(config) and found.generation == "pytorch"


def assert_refused(data: bytes, *words: str):
    """Reading raises a NetworkFileError that names the file and contains the words."""
    with pytest.raises(NetworkFileError) as caught:
        read_bytes(data)
    for word in ("network.pkl: ", *words):
        assert word in str(caught.value)
    assert len(str(caught.value)) < 1000 and "\n" not in str(caught.value)
