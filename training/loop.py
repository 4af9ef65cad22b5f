"""What all trainings share: resuming where they stopped, averaged weights, a progress bar, a loss history."""
import ctypes
import json
import os
import sys
import time
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from genlib import device

DEVICE = device.pick()
CHECKPOINTS = Path(__file__).parent / "checkpoints"  # not kept in the repository
TRAINED = Path(__file__).parent / "trained.json"  # what each training of the demo took; kept in the repository
SAVE_EVERY = 200  # steps


def keep_memory() -> None:
    """Let glibc keep freed memory for the next feature map: fresh pages would cost a fifth of the time."""
    if sys.platform == "linux":
        for option, value in ((-1, 2**31 - 1), (-2, 2**28), (-3, 2**25)):  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD of malloc.h
            getattr(ctypes.CDLL(None), "mallopt", lambda *pair: 0)(option, value)


def autocast():
    """bfloat16, where the machine computes in it."""
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda" or torch.cpu._is_avx512_bf16_supported())


class Training:
    """Modules and optimizers under one name, saved every SAVE_EVERY steps, so that the same command resumes.

    `averages[name]` is the exponential moving average of the module of that name, if `decay` has a
    value for it.
    """

    def __init__(self, name: str, modules: dict, optimizers: dict, decay: dict[str, float]):
        self.name, self.modules, self.optimizers = name, modules, optimizers
        self.averages = {part: AveragedModel(modules[part], multi_avg_fn=get_ema_multi_avg_fn(value), use_buffers=True)
                         for part, value in decay.items()}
        self.step, self.seconds, self.history = 0, 0.0, []
        self.file = CHECKPOINTS / f"{name}.pt"
        if self.file.exists():
            self._load()

    def _parts(self) -> dict:
        return {"modules": self.modules, "optimizers": self.optimizers, "averages": self.averages}

    def _load(self) -> None:
        state = torch.load(self.file, weights_only=True, map_location=DEVICE)
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]
        for kind, parts in self._parts().items():
            for part, value in parts.items():
                value.load_state_dict(state[kind][part])

    def save(self) -> None:
        """Write the checkpoint, whole or not at all, and the history of losses beside it."""
        CHECKPOINTS.mkdir(exist_ok=True)
        state = {kind: {part: value.state_dict() for part, value in parts.items()} for kind, parts in self._parts().items()}
        temporary = self.file.with_suffix(".part")
        torch.save(state | dict(step=self.step, seconds=self.seconds, history=self.history), temporary)
        os.replace(temporary, self.file)
        self.file.with_suffix(".json").write_text(json.dumps(dict(steps=self.step, seconds=round(self.seconds), history=self.history)))

    def run(self, steps: int, one_step) -> None:
        """Call `one_step(step)`, which returns its losses by name, until `steps` steps are done.

        Random numbers depend on the step alone, so an interruption changes nothing.
        """
        with tqdm(total=steps, initial=self.step, desc=self.name, unit="step") as bar:
            while self.step < steps:
                begun = time.perf_counter()
                torch.manual_seed(self.step)
                losses = one_step(self.step)
                for part, average in self.averages.items():
                    average.update_parameters(self.modules[part])
                self.step, self.seconds = self.step + 1, self.seconds + time.perf_counter() - begun
                bar.update()
                if self.step % 20 == 0:
                    bar.set_postfix({name: f"{value:.4g}" for name, value in losses.items()})
                    self.history.append(dict(step=self.step) | {name: round(float(value), 6) for name, value in losses.items()})
                if self.step % SAVE_EVERY == 0 or self.step == steps:
                    self.save()

    def record(self) -> None:
        """Note in TRAINED what the training took, for the model card."""
        known = json.loads(TRAINED.read_text())
        known[self.name] = dict(steps=self.step, minutes=round(self.seconds / 60), machine=device.describe().device,
                                cores=torch.get_num_threads(), remark="")
        TRAINED.write_text(json.dumps(known, indent=1) + "\n")
