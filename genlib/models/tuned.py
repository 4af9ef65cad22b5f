"""The tuned profile: the same pictures with less work. Each measure is a switch in `.info.switches` and can be left out alone.

What the switches do, beside those that diffusers names so (vae_slicing, *_channels_last) and `skip_equal_guidance` and `inference_mode`
of stable_diffusion.py:

    cudnn_attention     cuDNN's attention in the UNet, where it is quicker than torch's choice: timed at loading
    scheduler_on_cpu    PNDM's table of steps stays on the CPU, as its coefficients do: on a GPU each step would wait for the device
    unet_cuda_graph, cuda_graph   the network's hundreds of launches as one, at batch 1, where launching takes longer than computing
    filter_by_pooling   StyleGAN2's low-pass filter as three poolings in place of a depthwise convolution (not measured yet)
    release_weights     on a CPU, weights that are mapped from files (they are unless another precision is asked for) leave memory when
                        they have done their part of a picture: the text encoder's, the UNet's; they come in again as they are used
    compile             the UNet and the decoder through torch.compile: a minute or more at loading, for many images only
    huge_pages          of the environment, THP_MEM_ALLOC_ENABLE=1 before torch starts: `run --profile tuned` and `generate` set it
"""
import ctypes
import gc
import mmap
import os
import time
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import _get_current_dispatch_mode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from genlib import device
from genlib.runs import ModelInfo

# Compiling v1-4 was published to save 0.5 s an image on an A100, and takes minutes (not measured by us).
COMPILE_PAYS_FROM = 500  # images
CUDNN_FIRST = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
RELEASED_FROM = 100e6  # bytes of a network: of a small one, looking takes longer than its memory is worth
PAGES = Path("/proc/self/pagemap")
KINDS = 4  # graphs of one network: each keeps its inputs and outputs


def choose(info: ModelInfo, good: dict[str, bool], without=()) -> None:
    """Fill in `info.switches`: on in the tuned profile where the machine is good for it, unless `without` names it; and `huge_pages`,
    which holds for the whole process in either profile.

    Raises ValueError for a name that is no switch of the model.
    """
    if unknown := [name for name in without if name not in good]:
        raise ValueError(f"without names {unknown[0]!r}: use some of {', '.join(good)}")
    info.switches |= {name: yes and info.profile == "tuned" and name not in without for name, yes in good.items()}
    info.switches["huge_pages"] = huge_pages()


def huge_pages() -> bool:
    """Whether torch puts large tensors of the CPU on huge pages: its variable is set and Linux allows them."""
    try:
        allowed = "[never]" not in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return False
    return allowed and os.environ.get("THP_MEM_ALLOC_ENABLE") == "1"


def cudnn_attention_wins(dtype: torch.dtype) -> bool:
    """Whether cuDNN's attention is at least 3 % quicker than torch's own choice at v1's largest: 4096 positions, 8 heads of 40."""
    if device.pick().type != "cuda" or dtype == torch.float32:
        return False
    x = torch.ones(2, 8, 4096, 40, device=device.pick(), dtype=dtype)
    try:
        own = _attention_s(x)
        with sdpa_kernel(CUDNN_FIRST, set_priority=True):
            return _attention_s(x) < 0.97 * own
    except RuntimeError:  # cuDNN has none for this card or shape
        return False


def _attention_s(x: torch.Tensor) -> float:
    times = []
    for _ in range(5):
        device.synchronize()
        start = time.perf_counter()
        for _ in range(10):
            torch.nn.functional.scaled_dot_product_attention(x, x, x)
        device.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


def can_compile() -> bool:
    """Whether torch's compiler works for this GPU (it needs Triton, a C compiler, Python's headers): tried on a sum."""
    x = torch.ones(8, device=device.pick())
    try:
        torch.compile(lambda x: x + x)(x)
    except RuntimeError as error:
        print(f"not compiled: {(str(error).strip() or type(error).__name__).splitlines()[0]}")
        return False
    return True


def can_release() -> bool:
    """Whether memory that is mapped from files can be given back: on Linux, where weights stay in the host's memory."""
    return device.pick().type == "cpu" and PAGES.exists()


def release(network: torch.nn.Module) -> None:
    """Give back the memory of weights that are mapped from a file and were not changed: the file has them when they are used again.

    Of each stretch of weights its whole pages leave, or, if one of them is not the file's own (changed, swapped out, or of no file),
    none. Nobody may change weights meanwhile.
    """
    if torch.compiler.is_compiling():
        return
    for begin, end in _stretches(network):
        first, last = -(-begin // mmap.PAGESIZE), end // mmap.PAGESIZE
        if last > first and _unchanged(first, last):
            ctypes.CDLL(None).madvise(ctypes.c_void_p(first * mmap.PAGESIZE), ctypes.c_size_t((last - first) * mmap.PAGESIZE),
                                      mmap.MADV_DONTNEED)


def _stretches(network: torch.nn.Module) -> list[tuple[int, int]]:
    """Where in memory the weights lie, neighbours as one: addresses of the first byte and behind the last."""
    found = []
    for tensor in chain(network.parameters(), network.buffers()):
        if type(tensor.data) is torch.Tensor and tensor.device.type == "cpu" and tensor.layout == torch.strided and tensor.is_contiguous():
            found.append((tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes))
    joined = []
    for begin, end in sorted(found):
        if joined and begin - joined[-1][1] < mmap.PAGESIZE:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined


def _unchanged(first: int, last: int) -> bool:
    """Whether of these pages of memory those that are there are a file's own (Linux's pagemap: bit 63 there, 62 swapped, 61 a file's)."""
    try:
        with PAGES.open("rb", buffering=0) as pages:
            pages.seek(8 * first)
            found = np.frombuffer(pages.read(8 * (last - first)), dtype="=u8")
    except OSError:
        return False
    there, swapped, of_a_file = (found >> np.uint64(bit) & np.uint64(1) for bit in (63, 62, 61))
    return len(found) == last - first and not (swapped | there & ~of_a_file).any()


def keep_timesteps_on_cpu(scheduler) -> None:
    """Let `set_timesteps` leave its table on the CPU, whatever device the pipeline asks for."""
    plain = scheduler.set_timesteps
    scheduler.set_timesteps = lambda num_inference_steps, device=None: plain(num_inference_steps, device="cpu")


def quicken(network: torch.nn.Module, *, cudnn_attention: bool = False, compiled: bool = False, graph_up_to_batch: int = 0,
            no_graph=lambda: None) -> None:
    """Replace the network's `forward` by one that computes the same: cuDNN's attention, compiled, as a CUDA graph.

    no_graph: called where a graph's memory cannot be had, and the network goes on without.
    """
    if cudnn_attention or compiled or graph_up_to_batch:
        network.forward = Quick(network, cudnn_attention, compiled, graph_up_to_batch, no_graph)


class Quick:
    """The `forward` of a network whose weights stay where they are.

    As a graph: the first call with arguments of a kind (shapes, dtypes, other values) records what it launches, later ones replay that.
    Plainly: calls that want gradients, those that torch watches (a counter of operations would see nothing in a graph), and those of a
    network that was moved to another device or got LoRA's layers. Other changes of its layers after loading (FreeU, hooks inside it)
    are not seen: load without the graph for them.
    """

    def __init__(self, network: torch.nn.Module, cudnn_attention: bool, compiled: bool, graph_up_to_batch: int, no_graph):
        self.network, self.plain, self.graphs, self.largest_batch = network, network.forward, {}, graph_up_to_batch
        self.no_graph, self.pool = no_graph, None
        self.device = next(network.parameters()).device
        self.cudnn_attention = cudnn_attention
        # Without inductor's own graphs, whose outputs the next call would overwrite: PNDM keeps the last four.
        # For each shape anew: for one that may change it leaves out the convolutions' best layout.
        how = dict(fullgraph=True, dynamic=False, mode="max-autotune-no-cudagraphs")
        self.quick = torch.compile(self.plain, **how) if compiled else self.plain

    def __call__(self, *arguments, **keywords):
        leaves, structure = tree_flatten((arguments, keywords))
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        place = next(self.network.parameters())
        differentiated = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (place, *tensors))
        changed = place.device != self.device or getattr(self.network, "_hf_peft_config_loaded", False)
        if differentiated or changed or _get_current_dispatch_mode() is not None:
            return self.plain(*arguments, **keywords)
        shapes = [(leaf.shape, leaf.dtype) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        kind = (str(structure), place.data_ptr(), *shapes)
        batch = max((len(tensor) for tensor in tensors if tensor.ndim), default=0)
        with torch.inference_mode():
            if batch <= self.largest_batch and kind not in self.graphs and len(self.graphs) < KINDS:
                self._record(kind, leaves, structure)
        if kind not in self.graphs:
            # What is on the CPU (the number of the step) goes over without waiting for the device: the library would wait.
            moved = [leaf.to(place.device, non_blocking=True) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
            arguments, keywords = tree_unflatten(moved, structure)
            return self._call(*arguments, **keywords)
        with torch.inference_mode():
            replay, buffers, output = self.graphs[kind]
            for buffer, tensor in zip(buffers, tensors, strict=True):
                buffer.copy_(tensor, non_blocking=True)
            replay()
        # Outside inference mode, unless the caller is in it: else the caller could not overwrite what it gets.
        return tree_map(lambda leaf: leaf.clone() if isinstance(leaf, torch.Tensor) else leaf, output)

    def _call(self, *arguments, **keywords):
        if not self.cudnn_attention:
            return self.quick(*arguments, **keywords)
        with sdpa_kernel(CUDNN_FIRST, set_priority=True):
            return self.quick(*arguments, **keywords)

    def _record(self, kind: tuple, leaves: list, structure) -> None:
        """Keep the call as a graph; where its memory cannot be had, no graph is tried again and the calls are plain."""
        leaves = [leaf.to(self.device, copy=True) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        arguments, keywords = tree_unflatten(leaves, structure)
        cuda = self.device.type == "cuda"
        self.pool = self.pool or cuda and torch.cuda.graph_pool_handle()
        try:
            with torch.random.fork_rng([self.device] if cuda else []):  # the first call draws what it would draw without a graph
                replay, output = record(lambda: self._call(*arguments, **keywords), self.pool)
            self.graphs[kind] = replay, [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)], output
        except torch.OutOfMemoryError as error:
            self.largest_batch = 0
            self.no_graph()
            print(f"no CUDA graph, every operation is launched by itself: {str(error).splitlines()[0]}")


_stream = None  # of all recording: on each stream a library takes memory that it keeps


def record(call, pool):
    """What `call` launches as a CUDA graph: a function that launches it again, and what the call returned, which that overwrites.

    pool: of torch.cuda.graph_pool_handle(), for graphs that are replayed one after the other and live equally long.
    Raises torch.OutOfMemoryError, after which all is as before; RuntimeError for what cannot be recorded, after which torch's state on
    the GPU is not to be trusted.
    """
    global _stream
    _stream = _stream or torch.cuda.Stream()
    _stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(_stream), _no_collection():  # around the graph's own use of the stream, which an error would leave in force
        for _ in range(3):  # at its first calls a library chooses and sets up its kernels, which a graph cannot hold
            call()
        graph = torch.cuda.CUDAGraph()
        try:
            # In this thread alone is forbidden what cannot be recorded: others read the device's memory meanwhile.
            with torch.cuda.graph(graph, pool=pool, stream=_stream, capture_error_mode="thread_local"):
                output = call()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise RuntimeError("the network cannot be recorded as a CUDA graph: start anew and load it without its switch, "
                               "unet_cuda_graph or cuda_graph") from error
    torch.cuda.current_stream().wait_stream(_stream)
    return graph.replay, output


@contextmanager
def _no_collection():
    """Without the garbage collector, which might free an older graph while one is recorded."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
