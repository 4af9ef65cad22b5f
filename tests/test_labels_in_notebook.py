"""Notebook 3 with a conditional network: every cell runs, and its pictures are those of their labels."""
import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from test_conditions_in_notebooks import sources

from genlib.models import images, stylegan2

PARAMETERS = dict(ITERATIONS=3, SEED=1, BATCHES_TRIED=[2], PRECISIONS_TRIED=["float32"])


def run_notebook(folder, channels=3, **parameters):
    """The names that notebook 3 leaves, run with a small network of three classes."""
    torch.manual_seed(0)
    stylegan2.network.Generator(4, 3, 4, 16, channels, dict(num_layers=1), dict(channel_base=64)).save_pretrained(folder / "network")
    names = {}
    for cell, source in sources("3_stylegan2_ada").items():
        if cell not in ("take-along", "work"):  # the latter measures the machine for seconds
            exec(source, names)
        if cell == "parameters":
            names |= PARAMETERS | dict(WEIGHTS=str(folder / "network"), RESULTS=str(folder / "results")) | parameters
    return names


@pytest.fixture(autouse=True)
def _no_window():
    matplotlib.use("agg")


@pytest.mark.parametrize("text, labels, channels", [
    ("", [1, 2, 0], 3), pytest.param("2", [2, 2, 2], 4, marks=pytest.mark.slow), pytest.param("0,2", [2, 0, 2], 1, marks=pytest.mark.slow)])
def test_each_picture_is_of_its_label_and_the_record_says_which_were_asked_for(tmp_path, capsys, text, labels, channels):
    names = run_notebook(tmp_path, channels, LABELS=text)
    assert f"3 classes; the pictures take these labels in turn: {text or 'all'}" in capsys.readouterr().out
    assert names["run"].settings["labels"] == (text or "all") and len(names["run"].good) == len(names["audit"].good) == 3
    G = names["G"] or stylegan2.load(tmp_path / "network")
    for file, seed, label in zip(names["run"].image_files(), range(1, 4), labels, strict=True):
        z = torch.from_numpy(np.random.RandomState(seed).randn(1, G.z_dim))
        [expected] = images.to_pil(G(z, torch.eye(3)[[label]], truncation_psi=0.7, noise_mode="const"))
        assert Image.open(file).tobytes() == expected.tobytes()


def test_labels_for_a_network_that_has_none_stop_the_notebook_with_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="labels are '1', but .* was trained without any: leave them out"):
        run_notebook(tmp_path, WEIGHTS="demo", LABELS="1")
