"""NVIDIA's published networks: their short names, files and licence. Free of torch."""
BASE_URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/"
TRANSFER = "transfer-learning-source-nets/"
PRESETS = {
    "ffhq": "ffhq.pkl", "metfaces": "metfaces.pkl", "afhqcat": "afhqcat.pkl", "afhqdog": "afhqdog.pkl", "afhqwild": "afhqwild.pkl",
    "brecahad": "brecahad.pkl", "cifar10": "cifar10.pkl",
    "ffhq1024": TRANSFER + "ffhq-res1024-mirror-stylegan2-noaug.pkl", "ffhq512": TRANSFER + "ffhq-res512-mirror-stylegan2-noaug.pkl",
    "ffhq256": TRANSFER + "ffhq-res256-mirror-paper256-noaug.pkl",
    "celebahq256": TRANSFER + "celebahq-res256-mirror-paper256-kimg100000-ada-target0.5.pkl",
    "lsundog256": TRANSFER + "lsundog-res256-paper256-kimg100000-noaug.pkl",
}
SHA256 = {"ffhq": "a205a346e86a9ddaae702e118097d014b7b8bd719491396a162cca438f2f524c"}  # for the others, the first download's hash is kept
PUBLISHED = "ffhq512"  # the network of the thesis
LICENCE = ("NVIDIA's networks are under the NVIDIA Source Code License: for research or evaluation only, not for commercial use "
           "(https://nvlabs.github.io/stylegan2-ada-pytorch/license.html)")
