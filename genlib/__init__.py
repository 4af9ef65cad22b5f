"""genlib: what it costs to make images with generative models, and how good they are.

    experiments  what can be measured: an entry each
    models/      make pictures: stable_diffusion, vae, stylegan2, images
    measure/     measure a call: repeat, sweep, count_flops, repeat_as_in_thesis
    quality/     judge pictures: psnr, ssim, sharpness, diversity
    report/      say what came out: Report, its tables and figures (never loads torch)
    runs         runs on disk; record: what one holds; checks: what it may hold; pictures; archives; folders
    remarks      what is remarked of a run while it is measured; progress: what is under way, how long still
    files        written whole or not at all; escape and lines: text of strangers
    device       which device and dtype; describe the machine; nvml and system: what drivers and systems tell
    places       what a written path means, and what others see of it; notebook: Colab, Kaggle and laptops
    locale/      the reader's language
    commands/    `genlib run`, which executes the notebooks as `make run` does, and the others
"""

__version__ = "0.1.0"
