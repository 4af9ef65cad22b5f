"""genlib convert: one of NVIDIA's .pkl files as config.json and safetensors."""
from genlib.commands import a_path, short


def add(commands):
    """Declare the command's arguments."""
    parser = commands.add_parser("convert", help="turn one of NVIDIA's .pkl files into config.json and safetensors")
    parser.add_argument("file", type=a_path, metavar="FILE.pkl", help="a network file; none of the code in it is run")
    parser.add_argument("folder", type=a_path, metavar="DIR",
                        help="the folder to write, new or empty, which --weights and stylegan2.load take")
    return parser


def run(options) -> int:
    """Write the network's folder, which Generator.from_pretrained reads too."""
    from genlib.models import stylegan2, weights
    from genlib.models.stylegan2 import converted

    converted.check_free(options.folder)  # before the work
    generator = stylegan2.read(options.file)
    converted.write(generator, options.folder)
    print(f"{options.file.name} (sha256 {weights.sha256(options.file)}) -> {short(options.folder)}/: {generator.img_resolution} px, "
          f"{generator.num_parameters():,} parameters")
    return 0
