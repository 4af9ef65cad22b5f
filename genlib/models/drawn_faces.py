"""Faces drawn from seeds with named attributes, 64x64 pixels: a generator that learned nothing.

The demo models learned from them; measured like a model, they are the floor of what a picture costs.
"""
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SIZE, SCALE = 64, 4  # drawn four times as large and then reduced, for antialiasing
SKIN = {"pale": (250, 220, 200), "fair": (240, 200, 170), "tan": (214, 163, 122), "brown": (160, 108, 74), "dark": (104, 68, 48)}
HAIR = {"black": (34, 28, 30), "brown": (104, 66, 40), "blond": (230, 196, 112), "red": (190, 70, 32), "gray": (168, 168, 172)}
EYES = {"brown": (96, 58, 28), "blue": (58, 110, 190), "green": (66, 140, 80)}
BACKGROUND = {"blue": (130, 170, 214), "green": (150, 196, 150), "beige": (226, 208, 180), "pink": (232, 180, 190), "gray": (176, 178, 184)}
STYLES = {"woman": ("long", "curly", "bun", "short"), "man": ("short", "curly", "bald", "long")}
LIGHT = ("left", "right", "front")


@dataclass(frozen=True)
class Face:
    """What is in the picture, and where. Lengths are in pixels of the 64, angles in degrees."""
    gender: str  # decides which hair styles are likely
    skin: str
    hair: str
    style: str
    eyes: str
    background: str
    light: str
    glasses: bool
    beard: bool
    smile: bool
    x: float = 32.0  # the middle of the head
    y: float = 35.0
    width: float = 15.0  # half of the head's
    height: float = 19.0
    tilt: float = 0.0
    shade: float = 0.0  # of skin and hair, from -1 (darker) to 1


def random_face(seed: int) -> Face:
    """The face of a seed, the same on every machine."""
    random = np.random.RandomState(seed)

    def one_of(choices, weights=None):
        return str(random.choice(list(choices), p=weights))

    gender = one_of(STYLES)
    style = one_of(STYLES[gender], [0.45, 0.25, 0.15, 0.15] if gender == "woman" else [0.6, 0.2, 0.12, 0.08])
    return Face(
        gender, one_of(SKIN), one_of(HAIR), style, one_of(EYES), one_of(BACKGROUND), one_of(LIGHT), glasses=bool(random.rand() < 0.35),
        beard=gender == "man" and bool(random.rand() < 0.45), smile=bool(random.rand() < 0.5), x=32 + random.uniform(-2, 2),
        y=35 + random.uniform(-1.5, 1.5), width=15 + random.uniform(-1.5, 1.5), height=19 + random.uniform(-1.5, 1.5),
        tilt=random.uniform(-7, 7), shade=random.uniform(-1, 1))


def draw(face: Face) -> Image.Image:
    """The face as an RGB picture of 64x64 pixels."""
    canvas = _Canvas(face)
    skin, hair = _shaded(SKIN[face.skin], face.shade), _shaded(HAIR[face.hair], face.shade)
    _hair_behind(canvas, face, hair)
    _body(canvas, face, skin)
    canvas.ellipse(0, 0, 1, 1, skin)
    for side in (-1, 1):
        canvas.ellipse(side * 1.0, 0.05, 0.13, 0.2, _darker(skin, 0.93))  # ears
    _beard(canvas, face, hair)
    _hair_in_front(canvas, face, hair)
    _features(canvas, face, skin, hair)
    if face.glasses:
        _glasses(canvas)
    return _lit(canvas.image.resize((SIZE, SIZE), Image.Resampling.BOX), face.light)


class _Canvas:
    """Draws in the head's coordinates: (0, 0) is its middle, 1 half its width or height, tilted as it is."""

    def __init__(self, face: Face):
        self.face, self.image = face, Image.new("RGB", (SIZE * SCALE, SIZE * SCALE), BACKGROUND[face.background])
        self.pen = ImageDraw.Draw(self.image)
        angle = np.deg2rad(face.tilt)
        self.turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    def points(self, points) -> list[tuple[float, float]]:
        inside = np.asarray(points, dtype=float) * [self.face.width, self.face.height] @ self.turn.T + [self.face.x, self.face.y]
        return [tuple(point) for point in inside * SCALE]

    def ellipse(self, x, y, rx, ry, colour, start=0.0, end=360.0):
        self.polygon(_arc(x, y, rx, ry, start, end), colour)

    def polygon(self, points, colour):
        self.pen.polygon(self.points(points), fill=colour)

    def line(self, points, colour, width):
        self.pen.line(self.points(points), fill=colour, width=round(width * SCALE), joint="curve")


def _arc(x, y, rx, ry, start=0.0, end=360.0) -> list[tuple[float, float]]:
    angles = np.deg2rad(np.linspace(start, end, 48))
    return list(zip(x + rx * np.cos(angles), y + ry * np.sin(angles), strict=True))


def _hair_behind(canvas: _Canvas, face: Face, hair) -> None:
    if face.style == "long":
        canvas.ellipse(0, -0.15, 1.22, 1.08, hair)
        canvas.polygon([(-1.22, -0.1), (1.22, -0.1), (1.3, 1.35), (-1.3, 1.35)], hair)
    elif face.style == "curly":
        for angle in np.linspace(165, 375, 13):
            x, y = 1.05 * np.cos(np.deg2rad(angle)), -0.1 + 0.98 * np.sin(np.deg2rad(angle))
            canvas.ellipse(x, y, 0.36, 0.3, hair)
    elif face.style == "bun":
        canvas.ellipse(0, -1.15, 0.42, 0.32, hair)
    if face.style in ("bun", "short"):
        canvas.ellipse(0, -0.12, 1.07, 1.0, hair, 170, 370)


def _body(canvas: _Canvas, face: Face, skin) -> None:
    shirt = [(70, 80, 110), (150, 60, 60), (60, 110, 90), (220, 220, 225)][int(face.x * 97 + face.width * 31) % 4]
    canvas.polygon([(-0.38, 0.7), (0.38, 0.7), (0.45, 1.5), (-0.45, 1.5)], _darker(skin, 0.86))  # neck
    canvas.ellipse(0, 1.95, 1.9, 0.72, shirt)


def _beard(canvas: _Canvas, face: Face, hair) -> None:
    if face.beard:
        jaw = _arc(0, 0.02, 0.98, 1.02, 12, 168)
        canvas.polygon([*jaw, (-0.62, 0.36), (-0.35, 0.3), (0, 0.36), (0.35, 0.3), (0.62, 0.36)], _darker(hair, 0.92))


def _hair_in_front(canvas: _Canvas, face: Face, hair) -> None:
    if face.style == "bald":
        return
    fringe = {"short": -0.48, "long": -0.42, "curly": -0.4, "bun": -0.6}[face.style]
    top = _arc(0, -0.04, 1.04, 1.02, 197, 343)
    canvas.polygon([*top, (0.72, fringe - 0.02), (0.2, fringe - 0.12), (-0.3, fringe), (-0.78, fringe + 0.06)], hair)
    if face.style == "long":
        for side in (-1, 1):
            canvas.polygon([(side * 0.8, -0.5), (side * 1.08, -0.4), (side * 1.24, 1.1), (side * 0.93, 0.9)], hair)


def _features(canvas: _Canvas, face: Face, skin, hair) -> None:
    brow = _darker(hair if face.style != "bald" else HAIR["brown"], 0.8)
    for side in (-1, 1):
        x = side * 0.4
        canvas.ellipse(x, -0.05, 0.2, 0.11, (250, 250, 250))
        canvas.ellipse(x, -0.05, 0.11, 0.1, EYES[face.eyes])
        canvas.ellipse(x, -0.05, 0.05, 0.05, (15, 15, 18))
        canvas.line([(x - 0.2, -0.26), (x, -0.31), (x + 0.2, -0.26)], brow, 0.9)
        if face.smile:
            canvas.ellipse(side * 0.58, 0.3, 0.17, 0.11, _mixed(skin, (226, 100, 90), 0.35))
    canvas.line([(0.03, 0.0), (0.1, 0.24), (-0.06, 0.27)], _darker(skin, 0.72), 0.7)
    lips = _mixed((170, 60, 60), skin, 0.2)
    if face.smile:
        canvas.polygon(_arc(0, 0.44, 0.36, 0.24, 0, 180), lips)
        canvas.polygon(_arc(0, 0.46, 0.28, 0.11, 0, 180), (252, 250, 246))
    else:
        canvas.line([(-0.24, 0.53), (0, 0.51), (0.24, 0.53)], lips, 1.3)


def _glasses(canvas: _Canvas) -> None:
    frame = (28, 28, 34)
    for side in (-1, 1):
        canvas.line([*_arc(side * 0.41, -0.04, 0.33, 0.21)], frame, 1.1)
        canvas.line([(side * 0.74, -0.08), (side * 1.0, -0.12)], frame, 1.0)
    canvas.line([(-0.1, -0.07), (0.1, -0.07)], frame, 1.1)


def _lit(image: Image.Image, light: str) -> Image.Image:
    across = np.linspace(-1, 1, SIZE) * {"left": -1, "right": 1, "front": 0}[light]
    down = np.linspace(0.04, -0.06, SIZE)
    factor = 1 + 0.16 * across[None, :] + down[:, None]
    return Image.fromarray((np.asarray(image) * factor[..., None]).clip(0, 255).astype(np.uint8))


def _shaded(colour, shade: float) -> tuple:
    return _darker(colour, 1 + 0.08 * shade)


def _darker(colour, factor: float) -> tuple:
    return tuple(min(255, round(value * factor)) for value in colour)


def _mixed(a, b, share: float) -> tuple:
    return tuple(round((1 - share) * x + share * y) for x, y in zip(a, b, strict=True))
