"""The judge of the demo models: it tells whether a picture is a face and reads its attributes.

    python training/classifier.py      # 5 minutes on two cores; writes genlib/quality/face_reader.safetensors

It is trained only on drawn faces. They are slightly blurred and noised, so that it reads what is drawn
instead of recognising the pen.
"""
import faces
import numpy as np
import torch
import torch.nn.functional as F
from loop import DEVICE, Training
from safetensors.torch import save_file
from torch import Tensor
from train_vae import pictures_of

from genlib.quality import face_reader
from genlib.quality.face_reader import FaceReader

VALUES = dict(gender=list(faces.STYLES), skin=list(faces.SKIN), hair=list(faces.HAIR), style=["long", "curly", "bun", "short", "bald"],
              eyes=list(faces.EYES), background=list(faces.BACKGROUND), light=list(faces.LIGHT), glasses=[False, True],
              beard=[False, True], smile=[False, True], is_face=[False, True])
STEPS, BATCH, NOT_FACES, FACES = 2000, 96, 32, 20_000


class Classifier(FaceReader):
    """As genlib's, with its logits by attribute."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Logits [N, number of values] by attribute."""
        return dict(zip(VALUES, super().forward(x).split([len(values) for values in VALUES.values()], dim=1), strict=True))


def load() -> Classifier:
    """The trained classifier, on the CPU in float32."""
    return face_reader.load(Classifier)


@torch.inference_mode()
def read(model: Classifier, pictures: np.ndarray) -> list[dict]:
    """What pictures, uint8 [N, 64, 64, 3], show: the most likely value of each attribute, and `is_face`."""
    logits = model(pictures_of(pictures, slice(None)).to(model.dense.weight.device))
    best = {name: value.argmax(dim=1).tolist() for name, value in logits.items()}
    return [{name: VALUES[name][best[name][i]] for name in VALUES} for i in range(len(pictures))]


def not_faces(pictures: Tensor) -> Tensor:
    """Turn each picture into something that is no face: noise, shuffled, two in one, upside down, melted."""
    N = len(pictures)
    kinds = torch.arange(N) % 6
    made = torch.rand_like(pictures) * 2 - 1  # kind 0 stays noise
    coarse = F.interpolate(torch.randn(N, 3, 8, 8), size=64, mode="bilinear")
    made[kinds == 1] = coarse[kinds == 1].clamp(-1, 1)
    patches = pictures.unfold(2, 16, 16).unfold(3, 16, 16)[:, :, torch.randperm(4)][:, :, :, torch.randperm(4)]
    made[kinds == 2] = patches.permute(0, 1, 2, 4, 3, 5).reshape(pictures.shape)[kinds == 2]
    made[kinds == 3] = (0.5 * pictures + 0.5 * pictures.roll(N // 2, 0).flip(3).roll((5, 9), (2, 3)))[kinds == 3]
    made[kinds == 4] = pictures.flip(2)[kinds == 4]
    shift = F.interpolate(torch.randn(N, 2, 6, 6) * (0.1 + 0.2 * torch.rand(N, 1, 1, 1)), size=64, mode="bicubic").permute(0, 2, 3, 1)
    grid = F.affine_grid(torch.eye(2, 3).expand(N, 2, 3), list(pictures.shape), align_corners=False)
    made[kinds == 5] = F.grid_sample(pictures, grid + shift, padding_mode="reflection", align_corners=False)[kinds == 5]
    return made


def worn(x: Tensor) -> Tensor:
    """The pictures, each slightly blurred and noised, as models leave them."""
    blurred = F.avg_pool2d(F.pad(x, [1] * 4, mode="reflect"), 3, stride=1)
    return x.lerp(blurred, torch.rand(len(x), 1, 1, 1)) + torch.randn_like(x) * 0.06 * torch.rand(len(x), 1, 1, 1)


def targets(drawn: list[faces.Face]) -> dict[str, Tensor]:
    """By attribute, the index of each face's value; -1 where it cannot be seen (a bald head's hair)."""
    found = {name: [values.index(getattr(face, name)) for face in drawn] for name, values in VALUES.items() if name != "is_face"}
    found["hair"] = [-1 if face.style == "bald" else index for face, index in zip(drawn, found["hair"], strict=True)]
    return {name: torch.tensor(indices) for name, indices in found.items()}


def main() -> None:
    torch.manual_seed(0)
    model = Classifier(sum(map(len, VALUES.values())))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, STEPS)
    training = Training("classifier", dict(classifier=model), dict(adam=optimizer, schedule=schedule), decay={})
    print(f"drawing {FACES} faces ...", flush=True)
    drawn = [faces.random_face(seed) for seed in range(FACES)]
    pictures, known = faces.batch(range(FACES)), targets(drawn)

    def one_step(step):
        chosen = np.random.RandomState(step).randint(0, FACES, BATCH)
        x = pictures_of(pictures, chosen).cpu()
        others = not_faces(x[:NOT_FACES])
        logits = model(worn(torch.cat([x, others])).to(DEVICE))
        is_face = F.cross_entropy(logits.pop("is_face").cpu(), torch.tensor([1] * BATCH + [0] * NOT_FACES))
        loss = is_face + sum(F.cross_entropy(value[:BATCH].cpu(), known[name][chosen], ignore_index=-1) for name, value in logits.items())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return dict(loss=loss.item(), is_face=is_face.item())

    training.run(STEPS, one_step)
    save_file({name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}, face_reader.FILE)
    print(f"{training.seconds / 60:.1f} minutes; right on faces held out:", accuracies(load()))


def accuracies(model: Classifier, first: int = 1_000_000, count: int = 1000) -> dict[str, float]:
    """The share of right answers by attribute, on `count` held-out faces and as many pictures of no face."""
    drawn, pictures = [faces.random_face(seed) for seed in range(first, first + count)], faces.batch(range(first, first + count))
    said, right = read(model, pictures), {}
    for name, indices in targets(drawn).items():
        right[name] = float(np.mean([answer[name] == VALUES[name][i] for answer, i in zip(said, indices.tolist(), strict=True) if i >= 0]))
    torch.manual_seed(1)
    others = ((not_faces(pictures_of(pictures, slice(None)).cpu()).clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1).byte().numpy()
    return right | {"is_face": float(np.mean([answer["is_face"] for answer in said])),
                    "is_no_face": float(np.mean([not answer["is_face"] for answer in read(model, others)]))}


if __name__ == "__main__":
    main()
