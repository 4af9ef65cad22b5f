"""3x3 convolutions with a quarter of the multiplications, for CPUs: F(4x4, 3x3) of Lavin and Gray.

"Fast Algorithms for Convolutional Neural Networks" (arXiv:1509.09308), section 4. A tile of 4x4 results needs
a patch of 6x6 inputs:

    Y = A^T [(G g G^T) * (B^T d B)] A        g [3, 3] a kernel, d [6, 6] a patch, Y [4, 4]; * is elementwise

Summed over the channels, the products at one of the 36 positions are a matrix product over all tiles: 36
multiplications a tile instead of 9 x 16. The three transformations are matrix products too, with Kronecker
squares, so that there is no loop over positions.
"""

from functools import cache
from math import gcd

import numpy as np
import torch
from torch import Tensor

from genlib.models.native import NUMBERS, is_plain

# Polynomials are multiplied through their values at these points and at infinity. The usual 0, ±1, ±2 give
# more than twice the error.
POINTS = [0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)]
TILES = 256  # worked on at a time: enough for a matrix product, few enough for the caches


@cache
def transformations() -> tuple[Tensor, Tensor, Tensor]:
    """A^T [16, 36], G [36, 9], B^T [36, 36], for both dimensions (Toom-Cook; arXiv:1803.10986, section 2)."""
    A, G, B = np.zeros([4, 6]), np.zeros([6, 3]), np.zeros([6, 6])
    for i, point in enumerate(POINTS):
        others = [other for other in POINTS if other != point]
        A[:, i], G[i] = point ** np.arange(4), point ** np.arange(3) / np.prod(np.subtract(point, others))
        B[i, :5] = np.poly(others)[::-1]
    A[-1, -1] = G[-1, -1] = 1
    B[-1] = np.poly(POINTS)[::-1]
    return tuple(torch.tensor(np.kron(matrix, matrix), **NUMBERS) for matrix in (A, G, B))


def pays(x: Tensor, kernel: Tensor) -> bool:
    """Whether `convolve` is faster here than torch's convolution: from 128 channels and 64x64 up."""
    (C, H, W), (K, _, *size) = x.shape[1:], kernel.shape
    return size == [3, 3] and is_plain(x, kernel) and min(C, K) >= 128 and H % 4 == W % 4 == 0 and min(H, W) >= 64


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """conv2d(x, kernel, padding=1) with a relative error of about 1e-6. Not differentiable.

    x [N, C, H, W], kernel [K, C, 3, 3], float32, H and W multiples of 4 -> [N, K, H, W] in channels_last.
    """
    (N, C, H, W), K, (A, G, B) = x.shape, len(kernel), transformations()
    h, w = H // 4, W // 4
    rows = gcd(h, max(1, TILES // w))  # rows of tiles in a strip of the map, the unit of work
    U = (G @ kernel.reshape(K * C, 9).T).view(36, K, C).transpose(1, 2)
    y = torch.empty(N, K, H, W, **NUMBERS, memory_format=torch.channels_last)
    strip = torch.zeros(4 * rows + 2, W + 2, C, **NUMBERS)  # with its padding
    down, right, _ = strip.stride()
    patches = strip.as_strided([6, 6, rows, w, C], [down, right, 4 * down, 4 * right, 1])
    D, V = torch.empty(2, 36, rows * w, C, **NUMBERS)
    M, Y = torch.empty(36, rows * w, K, **NUMBERS), torch.empty(4, 4, rows, w, K, **NUMBERS)
    for source, result in zip(x.permute(0, 2, 3, 1), y.permute(0, 2, 3, 1).unflatten(2, (w, 4)).unflatten(1, (h, 4)), strict=True):
        for top in range(0, h, rows):
            first, last = 4 * top - 1, 4 * (top + rows) + 1
            inside = slice(max(first, 0), min(last, H))
            strip[: inside.start - first] = 0
            strip[inside.stop - first :] = 0
            strip[inside.start - first : inside.stop - first, 1:-1] = source[inside]
            D.view(patches.shape).copy_(patches)
            torch.mm(B, D.view(36, -1), out=V.view(36, -1))
            torch.bmm(V, U, out=M)
            torch.mm(A, M.view(36, -1), out=Y.view(16, -1))
            result[top : top + rows] = Y.permute(2, 0, 3, 1, 4)
    return y
