"""Replace a network's `forward` by a faster one: by cuDNN's attention, torch's compiler, a CUDA graph."""
import gc
import time
from contextlib import contextmanager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import _get_current_dispatch_mode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map_only

from genlib import device, progress

CUDNN_FIRST = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
KINDS = 4  # the most graphs of one network: each keeps its inputs and outputs in memory


def quicken(network: torch.nn.Module, *, cudnn_attention: bool = False, compiled: bool = False, graph_up_to_batch: int = 0,
            no_graph=lambda: None) -> None:
    """Replace the network's `forward` if anything is asked for.

    graph_up_to_batch: the largest batch that is recorded as a CUDA graph; 0: none.
    no_graph: called where there is no memory for a graph, and the network goes on without.
    """
    if cudnn_attention or compiled or graph_up_to_batch:
        network.forward = Quick(network, cudnn_attention, compiled, graph_up_to_batch, no_graph)


class Quick:
    """The `forward` of a network whose weights stay where they are.

    The first call with arguments of a kind (shapes, dtypes, other values) records what it launches as a
    graph; later calls of that kind replay it. Some calls bypass all this: those that need gradients, those
    that torch watches (a counter of operations would see nothing in a graph), and those of a network that was
    moved to another device or given LoRA layers. Other changes to its layers after loading (FreeU, hooks
    inside it) are not seen: load without the graph for them.
    """

    def __init__(self, network: torch.nn.Module, cudnn_attention: bool, compiled: bool, graph_up_to_batch: int, no_graph):
        self.network, self.plain, self.graphs, self.largest_batch = network, network.forward, {}, graph_up_to_batch
        self.no_graph, self.pool = no_graph, None
        self.device = next(network.parameters()).device
        self.cudnn_attention = cudnn_attention
        # Not with inductor's own graphs: the next call would overwrite their outputs, and PNDM keeps the last
        # four. Not with dynamic shapes: inductor then leaves out the best memory layout for convolutions.
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
        if batch <= self.largest_batch and kind not in self.graphs and len(self.graphs) < KINDS:
            self._record(kind, (arguments, keywords))
        if kind not in self.graphs:
            # Tensors on the CPU (the number of the step) are moved here: the library would wait for
            # the device.
            return self._call(*tree_map_only(torch.Tensor, lambda x: x.to(place.device, non_blocking=True), (arguments, keywords)))
        with torch.inference_mode():
            replay, buffers, output = self.graphs[kind]
            for buffer, tensor in zip(buffers, tensors, strict=True):
                buffer.copy_(tensor, non_blocking=True)
            replay()
        # Cloned outside inference mode, unless the caller is in it: else the caller could not
        # overwrite the result.
        return tree_map_only(torch.Tensor, torch.clone, output)

    def _call(self, arguments: tuple, keywords: dict):
        with sdpa_kernel(CUDNN_FIRST, set_priority=True) if self.cudnn_attention else nullcontext():
            return self.quick(*arguments, **keywords)

    @torch.inference_mode()
    def _record(self, kind: tuple, inputs: tuple[tuple, dict]) -> None:
        """Keep the call as a graph. Where there is no memory for it, no further graph is tried."""
        inputs = tree_map_only(torch.Tensor, lambda x: x.to(self.device, copy=True), inputs)
        cuda = self.device.type == "cuda"
        self.pool = self.pool or cuda and torch.cuda.graph_pool_handle()
        try:
            with torch.random.fork_rng([self.device] if cuda else []):  # so that the first call draws what it would without a graph
                replay, output = record(lambda: self._call(*inputs), self.pool)
            self.graphs[kind] = replay, [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, torch.Tensor)], output
        except torch.OutOfMemoryError as error:
            self.largest_batch = 0
            self.no_graph()
            progress.write(f"no CUDA graph, every operation is launched by itself: {str(error).splitlines()[0]}")


_stream = None  # one for all recordings: libraries take workspace on each stream that they meet, and keep it


def record(call, pool):
    """Record what `call` launches as a CUDA graph.

    Returns a function that launches it again, and the output, which each launch overwrites.
    pool: from torch.cuda.graph_pool_handle(), shared by graphs that are never replayed at the same time and
    live equally long.
    Raises torch.OutOfMemoryError, which leaves everything as it was; RuntimeError for a call that cannot be
    recorded, after which torch's state on the GPU must not be trusted.
    """
    global _stream
    _stream = _stream or torch.cuda.Stream()
    _stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(_stream), _no_collection():  # outermost: torch.cuda.graph leaves its stream in force after an error
        for _ in range(3):  # libraries choose and set up their kernels in the first calls, which a graph cannot hold
            call()
        graph = torch.cuda.CUDAGraph()
        try:
            # "thread_local": other threads may go on reading how much memory is used, which no
            # graph can record.
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
    """Without the garbage collector, which might free an older graph while another is recorded."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def cudnn_attention_wins(dtype: torch.dtype) -> bool:
    """Whether cuDNN's attention is at least 3 % faster than torch's own choice, at v1's largest layer."""
    if device.pick().type != "cuda" or dtype == torch.float32:
        return False
    x = torch.ones(2, 8, 4096, 40, device=device.pick(), dtype=dtype)  # 4096 positions, 8 heads of 40
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
    """Whether torch's compiler, which needs Triton, a C compiler and Python's headers, works for this GPU."""
    x = torch.ones(8, device=device.pick())
    try:
        torch.compile(lambda x: x + x)(x)
    except RuntimeError as error:
        progress.write(f"not compiled: {(str(error).strip() or type(error).__name__).splitlines()[0]}")
        return False
    return True
