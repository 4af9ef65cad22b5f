"""Make pictures: load a model by one call, get the library's own object back, with `.info` on it."""
import logging

STABLE_DIFFUSION, STYLEGAN2 = "stable-diffusion", "stylegan2"  # the models of `generate`, and the demo's folders
SEEDS = 10**8  # those of `generate` are below it, since its pictures' names have 8 digits

# Without torchvision, transformers warns at import of a slower path, which nothing here takes.
logging.getLogger("transformers.utils.import_utils").addFilter(lambda record: "requires torchvision" not in record.getMessage())
