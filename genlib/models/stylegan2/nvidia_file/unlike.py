"""Says what a file is that holds no StyleGAN2 generator, so that its owner knows what to do."""
from genlib.models.folder import what_is
from genlib.models.stylegan2.nvidia_file.machine import NetworkFileError, check, show
from genlib.models.stylegan2.nvidia_file.records import TORCH_MAGIC, Module, Network

USE = "use a .pkl file that the training of StyleGAN2-ADA wrote"
TORCH_SAVE = ("is a file of torch.save, and not of NVIDIA's code: load it with the code that wrote it, and write the averaged generator by "
              "pickle.dump({'G_ema': G_ema}, file)")
ARCHIVES = {b"PK": "a zip archive", b"7z\xbc\xaf": "a 7z archive", b"Rar!": "a rar archive", b"\x1f\x8b": "compressed by gzip",
            b"BZh": "compressed by bzip2", b"\xfd7zXZ": "compressed by xz", b"\x28\xb5\x2f\xfd": "compressed by zstd"}


def explain_beginning(head: bytes) -> None:
    """Raises NetworkFileError, saying what the file is, unless its first kilobyte may begin a pickle."""
    if head[:1] == b"\x80":
        return
    if head[:2] == b"PK" and b"data.pkl" in head:
        raise NetworkFileError(TORCH_SAVE)
    archive = next((name for start, name in ARCHIVES.items() if head.startswith(start)), None)
    if archive := "a tar archive" if head[257:262] == b"ustar" else archive:
        raise NetworkFileError(f"is {archive}: unpack it, and give the .pkl file in it")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**32:
        raise NetworkFileError(f"is a safetensors file: give the folder that holds it and its config.json, or {USE}")
    if said := what_is(head):
        raise NetworkFileError(f"is {said}: download the file itself again")
    raise NetworkFileError(f"is no pickle of protocol 2 to 5, since it begins with {head[:16]!r}: {USE}")


def explain_root(root) -> NetworkFileError:
    """What a pickle holds instead of the networks."""
    lone = "write it again by pickle.dump({'G_ema': network}, file)"
    match root:
        case int() if root == TORCH_MAGIC:
            return NetworkFileError(TORCH_SAVE.replace("is a file", "is a file in the old format", 1))
        case Module():
            return NetworkFileError(f"holds a {show(root.class_name)} by itself, and not a dict with it as 'G_ema': {lone}")
        case Network():
            return NetworkFileError("holds one network of the TensorFlow code by itself, and not the three G, D and Gs: use the whole file")
        case list() | tuple():
            what = ", ".join(map(_short, root[:4])) + ", ..." * (len(root) > 4) or "nothing"
            return NetworkFileError(f"holds a {type(root).__name__} of {what}, and not a dict with a 'G_ema': if one of them is the "
                                    f"averaged generator, {lone}")
        case {"G_ema": other}:  # a wrapper, for example, that training on several GPUs puts around it
            return NetworkFileError(f"its 'G_ema' is {_short(other)}, and not the network itself as NVIDIA's code pickles it: {lone}")
        case dict():
            what = ", ".join(map(show, list(root)[:6])) + ", ..." * (len(root) > 6) or "nothing that a text names"
            return NetworkFileError(f"holds a dict of {what}, and no 'G_ema': {USE}")
    return NetworkFileError(f"holds {_short(root)}, and neither a dict with a 'G_ema' nor TensorFlow's three networks: {USE}")


def _short(value) -> str:
    if type(value) is Module:
        return f"a {value.class_name[:100]!r}"
    if type(value) is dict:
        return f"a dict of {len(value)} entries"
    return show(value)


def check_generator(generator: Module) -> None:
    """Raises NetworkFileError if G_ema is another kind of generator, as the names of its parts tell."""
    def parts(module) -> dict:
        found = module.state.get("_modules") if type(module) is Module else None
        return found if type(found) is dict else {}

    synthesis, mapping = (parts(parts(generator).get(name)) for name in ("synthesis", "mapping"))
    if generator.class_name == "SuperresGenerator" or "embed_proj" in mapping:
        raise NetworkFileError(f"holds a generator of StyleGAN-XL, whose layers are others: {USE}")
    if any(name == "input" or name[:1] == "L" for name in synthesis):
        raise NetworkFileError(f"holds a StyleGAN3 generator, whose layers are others: {USE}")
    if generator.class_name != "Generator":
        raise NetworkFileError(f"its G_ema is of the class {show(generator.class_name)}, and StyleGAN2's is 'Generator': {USE}")
    check("b4" in synthesis, f"its G_ema has no part 'synthesis.b4', as every StyleGAN2 generator has: {USE}")


def check_square(given: dict, const) -> None:
    """Raises NetworkFileError for a network of rectangular pictures, by its settings or its first map."""
    resolution, shape = given.get("img_resolution"), getattr(const, "shape", None)
    if type(resolution) in (list, tuple):
        raise NetworkFileError(f"its img_resolution is {show(resolution)}, as in forks for rectangular pictures: use a network whose "
                               "img_resolution is one number, and whose pictures are square")
    if type(shape) is tuple and len(shape) == 3 and shape[1] != shape[2]:
        raise NetworkFileError(f"its pictures are rectangular, since its first map has {shape[2]} x {shape[1]} pixels and not 4 x 4: use a "
                               "network whose pictures are square")
