"""Train the demo's StyleGAN2: the generator is the package's own class; the discriminators are here.

    python training/train_stylegan2.py      # 36 minutes on two cores; resumable

Karras et al. 2020 (arXiv:1912.04958; arXiv:2006.06676): non-saturating loss; R1 every 16 steps; adaptive
augmentation, controlled by the second paper's r_v, which measures overfitting on held-out faces. No style
mixing and no path length regularisation, as in the second paper's smallest configuration.

What differs from the papers: beside their discriminator, which sees pixels, another sees the features of a
network that reads attributes (reader.py). The weight of R1 begins far above appendix C's and falls tenfold: a
discriminator has an easy task with flat shapes, and would win by far. The mapping network learns 30 times
faster, since this training is 100 times shorter. There is no noise, since nothing in a drawn face is random
except its attributes.
"""
import argparse
from math import log2, sqrt

import faces
import numpy as np
import torch
import torch.nn.functional as F
from loop import DEVICE, Training, autocast, keep_memory
from reader import CHANNELS, Reader, trained_reader
from torch import Tensor, nn
from train_vae import FACES, pictures_of

from genlib.models.stylegan2.layers import Dense
from genlib.models.stylegan2.low_pass import low_pass
from genlib.models.stylegan2.network import Generator

CONFIG = dict(z_dim=64, c_dim=0, w_dim=64, img_resolution=64, img_channels=3, mapping_kwargs=dict(num_layers=4, lr_multiplier=0.3),
              synthesis_kwargs=dict(channel_base=1536, channel_max=96, use_noise=False))
STEPS, BATCH, RATE, DECAY = 9_000, 16, 0.0025, 0.999
COOL = 0.25  # the share of the steps, at the end, during which the learning rate falls to 0
R1_EVERY = 16
R1_WEIGHTS = dict(pixels=(4.0, 0.4), features=(0.2, 0.02))  # at first and at last; appendix C has 0.05 for such pictures
R1_FALLS = (0.2, 0.5)  # between these shares of the steps, the weights fall
OVERFIT, AUGMENT_EVERY, AUGMENT_PACE = 0.5, 16, 500_000  # pace: the pictures in which p could go from 0 to 1
TESTED = 512  # held-out faces, on which overfitting shows


class Conv(nn.Module):
    """Convolution with equalised learning rate, then leaky ReLU (arXiv:1912.04958, figure 7).

    down: filter first with a low pass, and take stride 2. With size 1, this is the residual block's shortcut:
    linear, after the mean of 2x2 pixels instead of the filter, whose gradient took half of the
    discriminator's time on a CPU.
    """

    def __init__(self, channels: int, out_channels: int, size: int, down: bool = False, gain: float = sqrt(2)):
        super().__init__()
        self.weight, self.size, self.down, self.gain = nn.Parameter(torch.randn(out_channels, channels, size, size)), size, down, gain
        self.bias = None if down and size == 1 else nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("taps", low_pass([1, 3, 3, 1]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight / sqrt(self.weight[0].numel())
        if self.down:
            if self.size == 1:
                return F.conv2d(F.avg_pool2d(x, 2), kernel) * self.gain
            x = F.conv2d(x, self.taps.expand(x.shape[1], 1, 4, 4), padding=2, groups=x.shape[1])
            x = F.conv2d(x, kernel, self.bias, stride=2)
        else:
            x = F.conv2d(x, kernel, self.bias, padding=self.size // 2)
        return F.leaky_relu(x, 0.2) * self.gain


def with_spread(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C + 1, H, W]: the last channel is the spread in groups of four pictures.

    Karras et al. 2018 (arXiv:1710.10196), section 3.
    """
    groups = x.unflatten(0, (-1, 4)) if len(x) % 4 == 0 else x[None]  # [G, 4, C, H, W]
    spread = groups.var(dim=1, unbiased=False).add(1e-8).sqrt().mean(dim=(1, 2, 3))  # [G]
    spread = spread.repeat_interleave(len(x) // len(spread))[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, spread], dim=1)


class PixelDiscriminator(nn.Module):
    """Residual, with the spread as a channel at its end: [pictures [N, 3, 64, 64]] -> realness [N, 1]."""

    def __init__(self, resolution: int = 64, channel_base: int = 512, channel_max: int = 64):
        super().__init__()
        channels = [min(channel_base // 2**level, channel_max) for level in range(int(log2(resolution)), 1, -1)]
        self.from_rgb = Conv(3, channels[0], 1)
        self.blocks = nn.ModuleList(
            nn.ModuleList([Conv(a, a, 3), Conv(a, b, 3, down=True, gain=1.0), Conv(a, b, 1, down=True, gain=sqrt(0.5))])
            for a, b in zip(channels, channels[1:], strict=False))
        self.last = Conv(channels[-1] + 1, channels[-1], 3)
        self.dense = nn.Sequential(Dense(channels[-1] * 16, channels[-1], "lrelu"), Dense(channels[-1], 1))

    def forward(self, seen: list[Tensor]) -> Tensor:
        x = self.from_rgb(*seen)
        for first, second, shortcut in self.blocks:
            x = second(first(x)) + shortcut(x)
        return self.dense(self.last(with_spread(x)).flatten(1))


class FeatureDiscriminator(nn.Module):
    """A small discriminator for each resolution of the reader's features, 32 to 4 px -> realness [N, 4]."""

    def __init__(self, width: int = 64):
        super().__init__()
        self.bodies = nn.ModuleList(
            nn.Sequential(Conv(channels, width, 3), *(Conv(width, width, 3, down=True) for _ in range(3 - level)))
            for level, channels in enumerate(CHANNELS[1:]))
        self.lasts = nn.ModuleList(nn.Sequential(Conv(width + 1, width, 3), nn.Conv2d(width, 1, 4)) for _ in CHANNELS[1:])

    def forward(self, features: list[Tensor]) -> Tensor:
        parts = zip(self.bodies, self.lasts, features, strict=True)
        return torch.cat([last(with_spread(body(x))).flatten(1) for body, last, x in parts], dim=1)


class Features(nn.Module):
    """What the feature discriminator sees: the reader's features, with mean 0 and deviation 1 over faces."""

    def __init__(self, reader: Reader, pictures: Tensor):
        super().__init__()
        self.reader = reader
        with torch.no_grad():
            of_faces = reader.features(pictures)
        self.means = [x.mean(dim=(0, 2, 3), keepdim=True) for x in of_faces]
        self.deviations = [x.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-3) for x in of_faces]

    def forward(self, x: Tensor) -> list[Tensor]:
        parts = zip(self.reader.features(x), self.means, self.deviations, strict=True)
        return [(feature - mean) / deviation for feature, mean, deviation in parts]


def augment(x: Tensor, p: float) -> Tensor:
    """Augment pictures, each change with probability p.

    The changes: mirrored; moved, turned, scaled; other brightness, contrast, saturation.
    """
    if p == 0:
        return x
    N = len(x)

    def drawn(spread: float) -> Tensor:
        return torch.randn(N, device=x.device) * spread * (torch.rand(N, device=x.device) < p)

    mirror = 1 - 2 * (torch.rand(N, device=x.device) < 0.5 * p).float()
    angle, scale = drawn(0.5), torch.exp2(drawn(0.2))
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    turn = torch.stack([torch.stack([mirror * cos, -sin, drawn(0.12)], 1), torch.stack([mirror * sin, cos, drawn(0.12)], 1)], 1)
    x = F.grid_sample(x, F.affine_grid(turn, list(x.shape), align_corners=False), padding_mode="reflection", align_corners=False)
    grey = x.mean(dim=1, keepdim=True)
    bright, contrast, saturation = (value[:, None, None, None] for value in (drawn(0.2), torch.exp2(drawn(0.5)), torch.exp2(drawn(1.0))))
    return (grey + (x - grey) * saturation) * contrast + bright


class Player:
    """Training steps of the generator and both discriminators.

    `p` is the probability of augmentation, which rises with overfitting.
    """

    def __init__(self, generator: Generator, discriminators: dict[str, nn.Module], features: Features, pictures: np.ndarray, steps: int):
        self.generator, self.discriminators, self.steps = generator, discriminators, steps
        self.sees = {"pixels": lambda x: [x], "features": features}  # what each discriminator sees of pictures
        self.pictures, self.tested = pictures[:-TESTED], pictures[-TESTED:]
        self.p, self.scores = nn.Parameter(torch.zeros([], device=DEVICE), requires_grad=False), []
        self.optimizers = {name: torch.optim.Adam(module.parameters(), lr=RATE, betas=(0.0, 0.99))
                           for name, module in dict(generator=generator, **discriminators).items()}

    def real(self, step: int) -> Tensor:
        return pictures_of(self.pictures, np.random.RandomState(step).randint(0, len(self.pictures), BATCH))

    def judge(self, name: str, pictures: Tensor) -> Tensor:
        """The realness [N, 1 or 4] of pictures [N, 3, 64, 64], once augmented, by that discriminator."""
        with autocast():
            return self.discriminators[name](self.sees[name](augment(pictures, self.p.item()))).float()

    def step(self, step: int) -> dict[str, float]:
        self._train(False)
        with autocast():
            made = self.generator(torch.randn(BATCH, self.generator.z_dim, device=DEVICE)).float()
        losses = {"generator": sum(F.softplus(-self.judge(name, made)).mean() for name in self.discriminators)}
        self._update("generator", losses["generator"], step)
        self._train(True)
        both = torch.cat([made.detach(), self.real(step)])  # made once, for all networks
        for name in self.discriminators:
            fake, real = self.judge(name, both).chunk(2)
            losses[name] = F.softplus(fake).mean() + F.softplus(-real).mean()
            self._update(name, losses[name], step)
            if step % R1_EVERY == 0:
                self._update(name, self._slope(name, step) * self._r1_weight(name, step) / 2 * R1_EVERY, step)
            if name == "pixels":
                self._adapt(step, real, fake)
        return {name: loss.item() for name, loss in losses.items()} | dict(augmentation=self.p.item())

    def _train(self, on: bool) -> None:
        for discriminator in self.discriminators.values():
            discriminator.requires_grad_(on)

    def _slope(self, name: str, step: int) -> Tensor:
        """R1 (arXiv:2006.06676): the mean squared gradient of realness by what is seen of real pictures."""
        seen = [x.requires_grad_(True) for x in self.sees[name](augment(self.real(step), self.p.item()))]
        slopes = torch.autograd.grad(self.discriminators[name](seen).sum(), seen, create_graph=True)
        return sum(slope.square().sum(dim=(1, 2, 3)).mean() for slope in slopes)

    def _r1_weight(self, name: str, step: int) -> float:
        (first, last), (begin, end) = R1_WEIGHTS[name], R1_FALLS
        return first * (last / first) ** np.clip((step / self.steps - begin) / (end - begin), 0, 1)

    def _update(self, name: str, loss: Tensor, step: int) -> None:
        for group in self.optimizers[name].param_groups:
            group["lr"] = RATE * min(1, (1 - step / self.steps) / COOL)
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()

    def _adapt(self, step: int, real: Tensor, fake: Tensor) -> None:
        """Adapt p by r_v (arXiv:2006.06676, eq. 1).

        r_v is how far the scores of held-out faces are from those of the training's, towards those
        of generated ones.
        """
        self.scores.append((real.mean().item(), fake.mean().item()))
        if step % AUGMENT_EVERY == AUGMENT_EVERY - 1:
            with torch.no_grad():
                chosen = np.random.RandomState(step).randint(0, TESTED, 4 * BATCH)
                tested = self.judge("pixels", pictures_of(self.tested, chosen)).mean().item()
            real_mean, fake_mean = np.mean(self.scores, axis=0)
            overfit = (real_mean - tested) / max(real_mean - fake_mean, 1e-8)
            self.p.add_(BATCH * AUGMENT_EVERY / AUGMENT_PACE * np.sign(overfit - OVERFIT)).clamp_(0, 0.8)  # beyond 0.8 augmentations leak
            self.scores.clear()


class Probability(nn.Module):
    """The probability of augmentation as a module, so that checkpoints contain it."""

    def __init__(self, p: nn.Parameter):
        super().__init__()
        self.p = p


def main(steps: int) -> None:
    keep_memory()
    print(f"drawing {FACES + TESTED} faces ...", flush=True)
    pictures = faces.batch(range(FACES + TESTED))
    reader, reader_s = trained_reader(pictures)
    torch.manual_seed(0)
    generator = Generator(**CONFIG).to(DEVICE)
    discriminators = {name: kind().to(DEVICE, memory_format=torch.channels_last)
                      for name, kind in dict(pixels=PixelDiscriminator, features=FeatureDiscriminator).items()}
    player = Player(generator, discriminators, Features(reader, pictures_of(pictures, slice(256))), pictures, steps)
    modules = dict(generator=generator, **discriminators, augmentation=Probability(player.p))
    training = Training("stylegan2", modules, player.optimizers, decay=dict(generator=DECAY))
    training.seconds = training.seconds or reader_s
    training.run(steps, player.step)
    training.record()
    print(f"{training.seconds / 60:.1f} minutes")


@torch.inference_mode()
def trained_generator() -> Generator:
    """The checkpoint's averaged generator, with the mean of w over 10,000 z, which truncation needs."""
    training = Training("stylegan2", dict(generator=Generator(**CONFIG).to(DEVICE)), {}, decay=dict(generator=DECAY))
    if not training.step:
        raise SystemExit("there is no trained generator yet: python training/train_stylegan2.py")
    generator = training.averages["generator"].module.eval().requires_grad_(False)
    z = torch.randn(10_000, generator.z_dim, generator=torch.Generator().manual_seed(0))
    generator.mapping.w_avg.copy_(generator.mapping(z)[:, 0].mean(dim=0))
    return generator


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    main(parser.parse_args().steps)
