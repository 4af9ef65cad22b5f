"""A network that reads attributes from pictures; one of StyleGAN2's discriminators sees its frozen features.

Sauer et al. 2021 (arXiv:2111.01007): a discriminator that sees the features of a trained network demands what
matters in them, and teaches many times faster. Here the features show glasses, beards and smiles, which a
discriminator of pixels learns last. This is not the judge of the demo models (classifier.py): it has other
layers, another seed, and saw sharp pictures. But it learned the same task from the same faces.
"""
import classifier
import faces
import numpy as np
import torch
import torch.nn.functional as F
from loop import DEVICE, Training, autocast
from torch import Tensor, nn
from train_vae import FACES, pictures_of

STEPS, BATCH, RATE = 1500, 64, 2e-3
CHANNELS = (16, 32, 48, 64, 96)  # at 64, 32, 16, 8 and 4 px
VALUES = {name: values for name, values in classifier.VALUES.items() if name != "is_face"}


def convolution(channels: int, out_channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out_channels),
                         nn.LeakyReLU(0.2))


class Reader(nn.Module):
    """Pictures [N, 3, 64, 64] in [-1, 1] -> `features` at 32, 16, 8, 4 px -> the logits of all attributes."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, CHANNELS[0], 3, padding=1), nn.LeakyReLU(0.2))
        self.blocks = nn.ModuleList(nn.Sequential(convolution(a, b, 2), convolution(b, b, 1))
                                    for a, b in zip(CHANNELS, CHANNELS[1:], strict=False))
        self.heads = nn.Linear(CHANNELS[-1] * 16, sum(map(len, VALUES.values())))

    def features(self, x: Tensor) -> list[Tensor]:
        x, found = self.first(x), []
        for block in self.blocks:
            x = block(x)
            found.append(x)
        return found

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        logits = self.heads(self.features(x)[-1].flatten(1)).float()
        return dict(zip(VALUES, logits.split([len(values) for values in VALUES.values()], dim=1), strict=True))


def trained_reader(pictures: np.ndarray) -> tuple[Reader, float]:
    """The frozen reader, and how many seconds its training took. Trains it, unless a checkpoint is complete.

    pictures: the faces of seeds 0, 1, ...
    """
    torch.manual_seed(3)
    model = Reader().to(DEVICE, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    training = Training("reader", dict(reader=model), dict(adam=optimizer, schedule=schedule), decay={})
    known = classifier.targets([faces.random_face(seed) for seed in range(FACES)])

    def one_step(step):
        chosen = np.random.RandomState(step).randint(0, FACES, BATCH)
        with autocast():
            logits = model(pictures_of(pictures, chosen))
        loss = sum(F.cross_entropy(value, known[name][chosen].to(DEVICE), ignore_index=-1) for name, value in logits.items())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return dict(loss=loss.item())

    training.run(STEPS, one_step)
    return model.eval().requires_grad_(False), training.seconds
