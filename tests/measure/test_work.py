"""How much work a call is, and how fast the machine could do it."""
import pytest
import torch
from card import MIB, measured

from genlib import measure, runs
from genlib.measure import work


def test_flops_of_a_matrix_product_a_convolution_and_attention_are_the_textbooks():
    a, b = torch.randn(3, 5), torch.randn(5, 7)
    assert measure.count_flops(lambda: a @ b) == 2 * 3 * 5 * 7
    image, kernel = torch.randn(1, 3, 8, 8), torch.randn(4, 3, 3, 3)
    assert measure.count_flops(lambda: torch.nn.functional.conv2d(image, kernel, padding=1)) == 2 * 4 * 3 * 9 * 64
    q = torch.randn(1, 2, 6, 4)  # 2 heads, 6 positions, 4 wide
    assert measure.count_flops(lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q)) == 2 * (2 * 2 * 6 * 6 * 4)


def test_the_work_and_the_machines_rates_are_kept_in_the_run_and_the_rates_measured_once(tmp_path):
    a = torch.ones(64, 64)
    run = measured(tmp_path, lambda: None)
    measure.record_work(run, measure.count_flops(lambda: a @ a))
    kept = runs.read(run.folder / "run.json")
    assert kept.flops_per_image == 2 * 64**3
    assert 1e8 < kept.machine.matmul_flops_per_s < 1e16 and 1e8 < kept.machine.bandwidth_bytes_per_s < 1e14
    assert measure.machine_rates("float32") == (kept.machine.matmul_flops_per_s, kept.machine.bandwidth_bytes_per_s)


def test_the_rate_for_a_network_of_mixed_precision_is_that_of_float16(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(work, "_rates", lambda where, dtype, settings: asked.append(dtype) or (1.0, 2.0))
    run = measured(tmp_path, lambda: None)
    run.model = runs.ModelInfo("a network", "random", "thesis", "here", dtype="mixed")
    measure.record_work(run, 1.0)
    assert asked == [torch.float16] and run.machine.matmul_flops_per_s == 1


def test_the_rate_of_a_matrix_product_is_2_rows_cubed_over_its_time(monkeypatch):
    monkeypatch.setattr(work, "seconds", lambda function, *arguments, **keywords: arguments[0].shape[0] / 1000)
    assert work._matmul_rate(torch.device("cpu"), torch.float32) == pytest.approx(2 * 256**3 / 0.256)


def test_a_copy_moves_every_byte_twice_once_to_read_and_once_to_write(monkeypatch):
    monkeypatch.setattr(work, "seconds", lambda *_, times=1: times * 0.5)
    assert work._copy_rate(torch.device("cpu")) == 2 * 256 * MIB / 0.5


def test_not_enough_memory_for_the_rates_is_null(monkeypatch):
    def too_large(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(work, "_copy_rate", too_large)
    work._rates.cache_clear()
    assert work.machine_rates("float32") == (None, None)
    work._rates.cache_clear()  # what failed here is not to be remembered by the next test


@pytest.mark.gpu
def test_a_matrix_product_of_known_work_is_counted_and_timed_with_the_device_at_rest(tmp_path):
    a = torch.ones(8192, 8192, device="cuda", dtype=torch.float16)

    def call():
        for _ in range(20):
            torch.mm(a, a)

    assert measure.count_flops(call) == 20 * 2 * 8192**3
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    [iteration] = measured(tmp_path, call).iterations
    assert iteration.time_s > 0.5 * start.elapsed_time(end) / 1000, "the clock was stopped before the kernels were done"


def test_layers_that_torch_fuses_are_counted_too():
    """In evaluation torch.nn.TransformerEncoderLayer is one operation, unknown to torch's counter."""
    layer = torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True).eval().requires_grad_(False)
    x = torch.randn(1, 16, 64)
    expected = 2 * 16 * (4 * 64 * 64 + 2 * 64 * 128) + 2 * 2 * 16 * 16 * 64  # projections, the two linear layers, attention
    with torch.inference_mode():
        assert measure.count_flops(lambda: [layer(x)]) == expected
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_call_whose_work_torch_does_not_know_is_said():
    with pytest.warns(UserWarning, match="no matrix product"):
        assert measure.count_flops(lambda: None) == 0


def test_the_rates_are_measured_again_when_threads_or_precision_change(monkeypatch):
    monkeypatch.setattr(work, "_matmul_rate", lambda where, dtype: torch.get_num_threads())
    monkeypatch.setattr(work, "_copy_rate", lambda where: 1)
    work._rates.cache_clear()
    threads = torch.get_num_threads()
    try:
        assert work.machine_rates("float32")[0] == threads
        torch.set_num_threads(threads + 1)
        assert work.machine_rates("float32")[0] == threads + 1
    finally:
        torch.set_num_threads(threads)
        work._rates.cache_clear()


def test_what_is_too_quick_for_the_clock_is_repeated_within_one_timing(monkeypatch):
    calls = []
    monkeypatch.setattr(work, "seconds", lambda function, *a, times=1, **k: calls.append(times) or 0.001 * times)
    assert work._median_time(0.001, None) == pytest.approx(0.001) and set(calls) == {50}
