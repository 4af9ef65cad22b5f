"""Make pictures: load a model by one call, get the library's own object back, with `.info` on it."""
import logging

STABLE_DIFFUSION, STYLEGAN2 = "stable-diffusion", "stylegan2"  # the models of `generate`, and the demo's folders
MODELS = {STABLE_DIFFUSION: "pictures of prompts, by denoising", STYLEGAN2: "pictures of what its network learned, in one pass"}
WEIGHTS = {  # the words for them
    "auto": "published where there is a GPU and a network, else demo; GENLIB_WEIGHTS in the environment overrides it",
    "demo": "small models inside the package, of 64 px: seconds, offline",
    "random": "the published architectures at full size with random values: real time and memory, no download, no faces",
    "published": "CompVis/stable-diffusion-v1-4, and NVIDIA's StyleGAN2-ADA for FFHQ at 512 px: downloaded"}
DTYPES = {  # those that `genlib.device` and `stylegan2.load` take
    "auto": "half precision on GPUs, float32 on CPUs", "float32": "every model",
    "float16": "Stable Diffusion and the VAE, on GPUs", "mixed": "StyleGAN2-ADA: float16 in the blocks that its file names, on GPUs",
    "bfloat16": "every model; quick where the processor has instructions for it"}
PROFILES = {"thesis": "the model as the thesis ran it", "tuned": "the same pictures with less work, by the switches"}
SEEDS = 10**8  # those of `generate` are below it, since its pictures' names have 8 digits

# Without torchvision, transformers warns at import of a slower path, which nothing here takes.
logging.getLogger("transformers.utils.import_utils").addFilter(lambda record: "requires torchvision" not in record.getMessage())
