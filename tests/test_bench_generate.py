"""The bench that counts the images of two processes; `make bench` runs it."""
import bench_generate
import pytest


def test_a_launch_that_fails_stops_the_bench_with_what_it_said(monkeypatch):
    monkeypatch.setitem(bench_generate.DRAWN, "stylegan2", (2, ["--steps", "10"]))
    with pytest.raises(SystemExit, match="--steps is given, but stylegan2 takes none"):
        bench_generate.images_per_s("stylegan2", processes=1)


def test_the_rate_is_the_one_that_generate_prints(monkeypatch):
    monkeypatch.setitem(bench_generate.DRAWN, "stylegan2", (2, []))
    assert bench_generate.images_per_s("stylegan2", processes=1) > 0
