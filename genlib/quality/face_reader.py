"""A small network that tells the demo's drawn faces from other pictures; its features tell two faces apart.

training/classifier.py made it, of drawn faces alone: it says nothing of photographs.
"""
from pathlib import Path

import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

FILE = Path(__file__).with_name("face_reader.safetensors")
SIDE = 64  # pixels


class FaceReader(nn.Module):
    """Pictures [N, 3, 64, 64] in [-1, 1] -> `features` [N, 128] -> logits of attributes [N, values].

    The last two are those of "no face" and "a face".
    """

    def __init__(self, values: int):
        super().__init__()
        channels = [3, 16, 32, 48, 64]
        self.convolutions = nn.Sequential(*(
            layer for a, b in zip(channels, channels[1:], strict=False)
            for layer in (nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.Conv2d(b, b, 3, padding=1),
                          nn.BatchNorm2d(b), nn.ReLU())))
        self.dense = nn.Linear(64 * 16, 128)
        self.heads = nn.Linear(128, values)

    def features(self, x: Tensor) -> Tensor:
        """What the last layer reads the attributes from, [N, 128]."""
        return F.relu(self.dense(self.convolutions(x).flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """The logits, [N, values]."""
        return self.heads(self.features(x))


def load(kind: type[FaceReader] = FaceReader) -> FaceReader:
    """The trained network, on the CPU in float32."""
    weights = {name: value.float() if value.is_floating_point() else value for name, value in load_file(FILE).items()}
    model = kind(len(weights["heads.bias"]))
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False)
