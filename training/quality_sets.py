"""The sets of pictures of notebooks/reference/sets: drawn by the demo models, scored against drawn faces.

    python training/quality_sets.py FOLDER     # about 8 minutes on two cores that do nothing else

Times are of an image by itself. Only the scores are kept: the pictures can be drawn again.
"""
import subprocess
import sys
from pathlib import Path

from faces import PROMPTS, caption
from train_vae import HELD_OUT

from genlib.models.drawn_faces import draw, random_face

PICTURES, AGAINST = 200, 1000  # of each set, and to compare with
KEPT = Path(__file__).parents[1] / "notebooks" / "reference" / "sets"
DIFFUSION, STYLEGAN2 = ["--model", "stable-diffusion"], ["--model", "stylegan2"]
SETS = {f"steps-{n}": [*DIFFUSION, "--steps", n] for n in (5, 10, 20, 50)} | \
       {f"guidance-{scale}": [*DIFFUSION, "--steps", 20, "--guidance-scale", scale] for scale in (1, 2, 5)} | \
       {f"truncation-{psi}": [*STYLEGAN2, "--truncation-psi", psi] for psi in (0.3, 0.5, 0.7, 0.85, 1)}


def main(folder: Path) -> None:
    """Draw what is missing in the folder, score it, and keep the scores."""
    against, prompts = folder / "drawn-faces", folder / "captions.txt"
    against.mkdir(parents=True, exist_ok=True)
    faces = [random_face(seed) for seed in range(HELD_OUT, HELD_OUT + AGAINST)]
    for number, face in enumerate(faces):
        draw(face).save(against / f"{number:04}.png")
    asked = [PROMPTS[number % len(PROMPTS)].format(caption(face)) for number, face in enumerate(faces[:PICTURES])]
    prompts.write_text("\n".join(asked) + "\n")
    for name, options in SETS.items():
        options = [*options, "--prompts", prompts] if options[1] == DIFFUSION[1] else options
        _genlib("generate", *options, "--weights", "demo", "--seeds", f"0-{PICTURES - 1}", "--out", folder / name)
    _genlib("score", *(folder / name for name in SETS), "--against", against)
    for name in SETS:
        (KEPT / name).mkdir(parents=True, exist_ok=True)
        (KEPT / name / "scores.json").write_bytes((folder / name / "scores.json").read_bytes())


def _genlib(*arguments) -> None:
    subprocess.run([sys.executable, "-m", "genlib", *map(str, arguments)], cwd=Path(__file__).parents[1], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
