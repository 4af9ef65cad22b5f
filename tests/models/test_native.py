"""The kernels in C against torch in float64, and what happens where they cannot be had."""
import importlib
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode

from genlib.models import native
from genlib.models.stylegan2.low_pass import TAPS, depthwise, low_pass

library = importlib.import_module("genlib.models.native.library")  # the package has a function of the name
has_compiler = pytest.mark.skipif(not any(map(shutil.which, library.COMPILERS)), reason="no C compiler here")


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def off(found: torch.Tensor, exact: torch.Tensor) -> float:
    """The largest difference, in standard deviations."""
    return ((found.double() - exact).abs().max() / exact.std()).item()


@has_compiler
@pytest.mark.parametrize("shape", [(1, 16, 1, 1), (2, 16, 4, 4), (1, 48, 7, 13), (3, 32, 18, 30), (1, 272, 20, 9), (2, 560, 8, 8)])
@pytest.mark.parametrize("K", [32, 96, 160])
def test_the_convolution_is_torchs_at_any_size(shape, K):
    x, kernel, bias, residual = drawn(*shape), drawn(K, shape[1], 3, 3), drawn(K), drawn(shape[0], K, *shape[2:])
    exact = F.conv2d(x.double(), kernel.double(), bias.double(), padding=1)
    found = native.convolve(x, kernel, bias)
    assert off(found, exact) < 2e-5 and found.is_contiguous(memory_format=torch.channels_last)
    assert off(native.convolve(x.contiguous(memory_format=torch.channels_last), kernel, bias, residual), exact + residual) < 2e-5


@has_compiler
def test_many_strips_and_any_number_of_threads_give_the_same_to_the_bit():
    x, kernel, threads = drawn(1, 128, 100, 90), drawn(64, 128, 3, 3), torch.get_num_threads()
    try:
        found = []
        for count in 1, 2, 3:
            torch.set_num_threads(count)
            found.append(native.convolve(x, kernel))
    finally:
        torch.set_num_threads(threads)
    assert off(found[0], F.conv2d(x.double(), kernel.double(), padding=1)) < 2e-5
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


@has_compiler
@pytest.mark.parametrize("batch", [1, 2])
def test_upsampling_factors_noise_activation_and_limit_come_in_the_same_pass(batch):
    x, kernel, bias, noise = drawn(batch, 32, 9, 6), drawn(32, 32, 3, 3), drawn(32), drawn(batch, 1, 18, 12)
    scale_in, scale_out = drawn(batch, 32), drawn(batch, 32).abs()
    exact = F.conv_transpose2d((x * scale_in[:, :, None, None]).double(), kernel.double().transpose(0, 1), stride=2)
    exact = F.conv2d(exact, depthwise(low_pass(TAPS).double(), exact), padding=1, groups=32) * scale_out[:, :, None, None]
    exact = F.leaky_relu(exact + bias[:, None, None] + noise, 0.2).clamp(-30, 30)
    found = native.convolve(x, kernel, bias, taps=tuple(TAPS), scale_in=scale_in, scale_out=scale_out, noise=noise, slope=0.2, limit=30)
    assert off(found, exact) < 2e-5 and found.abs().max() == 30


@has_compiler
@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize("shape, groups", [((2, 64, 33, 7), 32), ((1, 16, 1, 1), 1), ((3, 320, 4, 4), 32)])
def test_the_normalisation_is_torchs(shape, groups, silu):
    x, weight, bias = 3 * drawn(*shape) + 20, drawn(shape[1]), drawn(shape[1])
    exact = F.group_norm(x.double(), groups, weight.double(), bias.double(), 1e-6)
    exact = F.silu(exact) if silu else exact
    torch.testing.assert_close(native.norm(x, groups, weight, bias, 1e-6, silu).double(), exact, rtol=1e-4, atol=5e-5)


@has_compiler
def test_values_that_are_not_finite_stay_so():
    x = drawn(1, 32, 8, 8)
    x[0, 3, 2, 2] = torch.nan
    assert native.convolve(x, drawn(32, 32, 3, 3)).isnan().any() and native.norm(x, 1, None, None, 1e-5, silu=True).isnan().all()
    limited = native.convolve(x, drawn(32, 32, 3, 3), slope=0.2, limit=1)
    assert limited[..., 1:4, 1:4].isnan().all(), "a limit does not turn it into a number"


def test_what_autograd_a_counter_or_another_kind_of_number_needs_is_not_taken():
    x, kernel = drawn(1, 16, 8, 8), drawn(32, 16, 3, 3)
    assert native.takes(x, kernel)
    for refused in [(x.half(), kernel), (x, kernel.double()), (x, drawn(32, 16, 1, 1)), (x, drawn(24, 16, 3, 3)), (x.to("meta"), kernel),
                    (x, kernel[:0]), (x[:, :8], drawn(32, 8, 3, 3)), (x[:0], kernel),
                    (x, torch.nn.Parameter(kernel)), (x, kernel, x.clone().requires_grad_())]:
        assert not native.takes(*refused)
    with torch.no_grad():
        assert native.takes(x, torch.nn.Parameter(kernel))
    with FlopCounterMode(display=False):
        assert not native.takes(x, kernel)


def test_what_maps_over_samples_or_derives_forwards_is_not_taken_and_spoils_nothing_for_later():
    x, kernel, seen = drawn(2, 16, 8, 8), drawn(32, 16, 3, 3), []

    def call(x):
        seen.append(native.takes(x, kernel))
        return F.conv2d(x, kernel, padding=1)
    torch.vmap(call)(x[None])
    torch.func.jvp(call, (x,), (x,))
    torch.func.functionalize(call)(x)
    with torch.no_grad(), forward_ad.dual_level():
        call(forward_ad.make_dual(x, x))
    torch.compile(call, backend="eager", fullgraph=True)(x)
    assert not any(seen) and len(seen) >= 5 and native.takes(x, kernel)


@has_compiler
@pytest.mark.parametrize("defaults", [torch.float64, torch.bfloat16, "meta"])
def test_torchs_defaults_for_new_tensors_change_nothing(defaults, monkeypatch):
    x, kernel, usual = drawn(1, 32, 9, 8), drawn(32, 32, 3, 3), torch.get_default_dtype()

    def both():
        return native.convolve(x, kernel, taps=tuple(TAPS)), native.norm(x, 4, None, None, 1e-5)
    expected = both()
    monkeypatch.setattr(native, "_kept", SimpleNamespace())
    native._to_points.cache_clear()
    try:
        with torch.device(defaults if defaults == "meta" else "cpu"):
            torch.set_default_dtype(usual if defaults == "meta" else defaults)
            found = both()
    finally:
        torch.set_default_dtype(usual)
    assert all(map(torch.equal, found, expected))


@has_compiler
@pytest.mark.parametrize("mean", [100, 1000])
def test_far_from_zero_the_normalisation_is_as_exact_as_torchs(mean):
    x = drawn(2, 64, 16, 16) + mean
    exact = F.group_norm(x.double(), 8)
    assert off(native.norm(x, 8, None, None, 1e-5), exact) < 4 * off(F.group_norm(x, 8), exact)


@has_compiler
@pytest.mark.parametrize("name, shape", [("kernel", [32, 32, 3, 3]), ("bias", [16]), ("residual", [1, 32, 8, 8]), ("scale_in", [1, 16]),
                                         ("scale_out", [2, 16]), ("noise", [2, 1, 4, 4]), ("noise", [2, 32, 8, 8])])
def test_a_shape_of_which_c_would_read_past_the_end_is_refused(name, shape):
    given = dict(kernel=drawn(32, 16, 3, 3)) | {name: drawn(*shape)}
    with pytest.raises(ValueError, match=name):
        native.convolve(drawn(2, 16, 8, 8), **given)


@pytest.fixture
def anew(monkeypatch, tmp_path):
    """No kernels yet, and an empty folder for them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    library.library.cache_clear()
    yield tmp_path / "hub" / "genlib"
    library.library.cache_clear()


def test_without_a_compiler_there_are_no_kernels_and_nothing_is_said(anew, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert not native.available() and not anew.exists() and capsys.readouterr().out == ""


@has_compiler
def test_a_compiler_that_fails_is_said_in_a_line_and_leaves_nothing(anew, monkeypatch, capsys):
    monkeypatch.setattr(library, "FLAGS", [*library.FLAGS, "--no-such-flag"])
    assert not native.available() and not list(anew.iterdir())
    [line] = [line for line in capsys.readouterr().out.splitlines() if "kernels in C are not used" in line]
    assert "no-such-flag" in line


@has_compiler
def test_a_damaged_file_of_kernels_is_said_too(anew, monkeypatch, capsys):
    monkeypatch.setattr(library, "_compile", lambda compiler, path: path.write_bytes(b"no library"))
    assert not native.available()
    said = capsys.readouterr().out
    assert "kernels in C are not used" in said and "b'" not in said


@has_compiler
def test_a_file_of_kernels_that_is_cut_off_is_made_anew(anew):
    """To load half a library would end the process."""
    assert native.available()
    [path] = anew.glob("*.so")
    whole = path.read_bytes()
    path.write_bytes(whole[:4096])
    library.library.cache_clear()
    assert native.available() and path.stat().st_size > 4096


@has_compiler
def test_a_file_of_kernels_that_another_user_put_there_is_not_run(anew, monkeypatch):
    assert native.available()
    [path] = anew.glob("*.so")
    before = path.stat().st_ino
    library.library.cache_clear()
    monkeypatch.setattr(library, "belongs_to_another", lambda path: True)
    assert native.available() and path.stat().st_ino != before


@has_compiler
def test_the_folder_of_torchs_downloads_may_be_named_from_where_one_is(anew, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", "here")
    assert native.available() and list(Path("here/hub/genlib").glob("*.so"))


@pytest.mark.parametrize("content", [b"no program", b"#!/bin/sh\necho wait >&2\nexec sleep 100\n", b"#!/no/such/shell\n"])
def test_a_compiler_that_does_not_run_or_answer_is_said_in_a_line(content, anew, monkeypatch, capsys, tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_bytes(content)
    compiler.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(compiler))
    monkeypatch.setattr(library, "ANSWERS_WITHIN_S", 0.5)
    if not library.system.is_linux():
        pytest.skip("compiles on Linux alone")
    assert not native.available() and "kernels in C are not used" in capsys.readouterr().out


@has_compiler
def test_the_kernels_are_compiled_once(anew, monkeypatch):
    assert native.available()
    library.library.cache_clear()
    monkeypatch.setattr(library, "_compile", None)
    assert native.available()


@has_compiler
@pytest.mark.parametrize("processor", [["-mavx2", "-mfma"], []])
def test_the_kernels_are_right_on_processors_without_avx512_too(anew, monkeypatch, processor):
    if "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("no processor of this kind")
    monkeypatch.setattr(library, "FLAGS", [flag for flag in library.FLAGS if flag != "-march=native"] + processor)
    x, kernel, bias = drawn(2, 48, 11, 21), drawn(96, 48, 3, 3), drawn(96)
    assert off(native.convolve(x, kernel, bias), F.conv2d(x.double(), kernel.double(), bias.double(), padding=1)) < 2e-5
    exact = F.silu(F.group_norm(x.double(), 16, eps=1e-5))
    torch.testing.assert_close(native.norm(x, 16, None, None, 1e-5, True).double(), exact, rtol=1e-4, atol=1e-5)


@has_compiler
def test_the_source_gives_no_warning():
    done = subprocess.run(["cc", "-Wall", "-fsyntax-only", "-fopenmp", "-O1", *map(str, library.SOURCES)], capture_output=True, text=True)
    assert not done.returncode and not done.stderr
