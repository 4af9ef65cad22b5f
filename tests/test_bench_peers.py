"""The rows of the bench that compares genlib with others; `make bench` runs it."""
import sys

import bench_peers
import children
import pytest
import torch

from genlib.models import stylegan2
from genlib.models.stylegan2.network import Generator


def test_a_network_stands_for_all_of_its_rows_in_the_order_of_the_table():
    assert bench_peers.chosen(["stylegan2", "unet,2"]) == ["unet,2", "stylegan2,1", "stylegan2,4"]
    with pytest.raises(SystemExit, match="row is 'unet,3'"):
        bench_peers.chosen(["unet,3"])


def test_openvino_is_imported_without_its_telemetry(tmp_path, monkeypatch):
    (tmp_path / "openvino_telemetry.py").touch()
    (tmp_path / "openvino.py").write_text("try:\n import openvino_telemetry\nexcept ImportError:\n telemetry = None\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in "openvino", "openvino_telemetry":
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]
    assert bench_peers.openvino().telemetry is None


def test_a_child_process_that_fails_stops_the_bench_with_all_that_it_said(tmp_path):
    (tmp_path / "works.py").write_text("import sys\nprint('noise')\nprint(sys.argv[1:])")
    (tmp_path / "fails.py").write_text("print('on the way')\nraise ValueError('no such form')")
    assert children.child(str(tmp_path / "works.py"), "a", environment={}) == "['a']"
    with pytest.raises(SystemExit, match=r"(?s)fails.py failed:\non the way\n.*ValueError: no such form"):
        children.child(str(tmp_path / "fails.py"), environment={})


@pytest.mark.parametrize("clamp", [None, 0.5])
@torch.inference_mode()
def test_the_plain_formulation_draws_what_genlibs_network_draws(clamp):
    config = stylegan2.config(32)
    config["synthesis_kwargs"] |= dict(channel_max=16, conv_clamp=clamp, num_fp16_res=0)
    G = Generator(**config).eval()
    ws = G.mapping(torch.randn(2, G.z_dim))
    expected = G.synthesis(ws, "const")
    assert torch.allclose(bench_peers.Plain(G)(ws), expected, atol=1e-4 * expected.std().item())
