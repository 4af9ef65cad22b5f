"""The sources that a chapter cites, in the form of DSTU 8302:2015, and what the models' licences allow."""
import re
from dataclasses import dataclass

from genlib import escape, experiments
from genlib.locale import N_
from genlib.report import cells
from genlib.runs import ModelInfo, Run


@dataclass(frozen=True)
class Paper:
    """A publication in English, whose entry keeps English abbreviations in a list of any language."""
    authors: str  # all of them: "Surname I. I., Surname I."
    title: str
    container: str  # the journal, the proceedings or the archive
    year: int
    place: str = ""  # volume, number, pages
    doi: str = ""
    url: str = ""  # of one that is in no volume


CVPR = "Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition"
NEURIPS = "Advances in Neural Information Processing Systems"
ICLR = "International Conference on Learning Representations"
PAPERS = {
    "rombach2022": Paper(
        "Rombach R., Blattmann A., Lorenz D., Esser P., Ommer B.", "High-Resolution Image Synthesis with Latent Diffusion Models",
        CVPR, 2022, "P. 10684–10695", doi="10.1109/CVPR52688.2022.01042"),
    "radford2021": Paper(
        "Radford A., Kim J. W., Hallacy C., Ramesh A., Goh G., Agarwal S., Sastry G., Askell A., Mishkin P., Clark J., Krueger G., "
        "Sutskever I.", "Learning Transferable Visual Models From Natural Language Supervision",
        "Proceedings of Machine Learning Research", 2021, "Vol. 139. P. 8748–8763", url="https://arxiv.org/abs/2103.00020"),
    "liu2022": Paper(
        "Liu L., Ren Y., Lin Z., Zhao Z.", "Pseudo Numerical Methods for Diffusion Models on Manifolds", ICLR, 2022,
        url="https://arxiv.org/abs/2202.09778"),
    "ho2022": Paper(
        "Ho J., Salimans T.", "Classifier-Free Diffusion Guidance", "arXiv", 2022, url="https://arxiv.org/abs/2207.12598"),
    "kingma2014": Paper(
        "Kingma D. P., Welling M.", "Auto-Encoding Variational Bayes", ICLR, 2014, url="https://arxiv.org/abs/1312.6114"),
    "goodfellow2014": Paper(
        "Goodfellow I. J., Pouget-Abadie J., Mirza M., Xu B., Warde-Farley D., Ozair S., Courville A., Bengio Y.",
        "Generative Adversarial Nets", NEURIPS, 2014, "Vol. 27. P. 2672–2680", url="https://arxiv.org/abs/1406.2661"),
    "karras2019": Paper(
        "Karras T., Laine S., Aila T.", "A Style-Based Generator Architecture for Generative Adversarial Networks", CVPR, 2019,
        "P. 4401–4410", doi="10.1109/CVPR.2019.00453"),
    "karras2020": Paper(
        "Karras T., Laine S., Aittala M., Hellsten J., Lehtinen J., Aila T.", "Analyzing and Improving the Image Quality of StyleGAN",
        CVPR, 2020, "P. 8110–8119", doi="10.1109/CVPR42600.2020.00813"),
    "karras2020ada": Paper(
        "Karras T., Aittala M., Hellsten J., Laine S., Lehtinen J., Aila T.",
        "Training Generative Adversarial Networks with Limited Data", NEURIPS, 2020, "Vol. 33. P. 12104–12114",
        url="https://arxiv.org/abs/2006.06676"),
    "ho2020": Paper(
        "Ho J., Jain A., Abbeel P.", "Denoising Diffusion Probabilistic Models", NEURIPS, 2020, "Vol. 33. P. 6840–6851",
        url="https://arxiv.org/abs/2006.11239"),
    "vandenoord2016": Paper(
        "van den Oord A., Kalchbrenner N., Kavukcuoglu K.", "Pixel Recurrent Neural Networks",
        "Proceedings of Machine Learning Research", 2016, "Vol. 48. P. 1747–1756", url="https://arxiv.org/abs/1601.06759"),
    "dinh2017": Paper(
        "Dinh L., Sohl-Dickstein J., Bengio S.", "Density Estimation Using Real NVP", ICLR, 2017, url="https://arxiv.org/abs/1605.08803"),
    "esser2021": Paper(
        "Esser P., Rombach R., Ommer B.", "Taming Transformers for High-Resolution Image Synthesis", CVPR, 2021, "P. 12873–12883",
        doi="10.1109/CVPR46437.2021.01268"),
    "wang2004": Paper(
        "Wang Z., Bovik A. C., Sheikh H. R., Simoncelli E. P.",
        "Image Quality Assessment: From Error Visibility to Structural Similarity", "IEEE Transactions on Image Processing", 2004,
        "Vol. 13, No. 4. P. 600–612", doi="10.1109/TIP.2003.819861"),
    "student1908": Paper(
        "Student", "The Probable Error of a Mean", "Biometrika", 1908, "Vol. 6, No. 1. P. 1–25", doi="10.1093/biomet/6.1.1"),
    "welch1947": Paper(
        "Welch B. L.", "The Generalization of ‘Student’s’ Problem When Several Different Population Variances Are Involved",
        "Biometrika", 1947, "Vol. 34, No. 1/2. P. 28–35", doi="10.1093/biomet/34.1-2.28"),
    "mickey1966": Paper(
        "Mickey M. R., Brown M. B.", "Bounds on the Distribution Functions of the Behrens-Fisher Statistic",
        "The Annals of Mathematical Statistics", 1966, "Vol. 37, No. 3. P. 639–642"),
    "grubbs1969": Paper(
        "Grubbs F. E.", "Procedures for Detecting Outlying Observations in Samples", "Technometrics", 1969, "Vol. 11, No. 1. P. 1–21",
        doi="10.1080/00401706.1969.10490657"),
    "brown1974": Paper(
        "Brown M. B., Forsythe A. B.", "Robust Tests for the Equality of Variances", "Journal of the American Statistical Association",
        1974, "Vol. 69, No. 346. P. 364–367", doi="10.1080/01621459.1974.10482955"),
    "hines2000": Paper(
        "Hines W. G. S., Hines R. J. O.", "Increased Power with Modified Forms of the Levene (Med) Test for Heterogeneity of Variance",
        "Biometrics", 2000, "Vol. 56, No. 2. P. 451–454", doi="10.1111/j.0006-341X.2000.00451.x"),
    "dersimonian1986": Paper(
        "DerSimonian R., Laird N.", "Meta-Analysis in Clinical Trials", "Controlled Clinical Trials", 1986, "Vol. 7, No. 3. P. 177–188",
        doi="10.1016/0197-2456(86)90046-2"),
    "hartung2001": Paper(
        "Hartung J., Knapp G.", "On Tests of the Overall Treatment Effect in Meta-Analysis with Normally Distributed Responses",
        "Statistics in Medicine", 2001, "Vol. 20, No. 12. P. 1771–1782", doi="10.1002/sim.791"),
    "wilson1927": Paper(
        "Wilson E. B.", "Probable Inference, the Law of Succession, and Statistical Inference",
        "Journal of the American Statistical Association", 1927, "Vol. 22, No. 158. P. 209–212", doi="10.1080/01621459.1927.10502953"),
    "newcombe1998": Paper(
        "Newcombe R. G.", "Interval Estimation for the Difference between Independent Proportions: Comparison of Eleven Methods",
        "Statistics in Medicine", 1998, "Vol. 17, No. 8. P. 873–890",
        doi="10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I"),
    "fleiss1971": Paper(
        "Fleiss J. L.", "Measuring Nominal Scale Agreement among Many Raters", "Psychological Bulletin", 1971,
        "Vol. 76, No. 5. P. 378–382", doi="10.1037/h0031619"),
}
METHODS = ("student1908", "welch1947", "mickey1966", "grubbs1969", "brown1974", "hines2000")  # by which every report judges times
OF_SESSIONS = ("dersimonian1986", "hartung2001")  # by which several sessions are
OF_ANSWERS = ("wilson1927", "newcombe1998", "fleiss1971")  # by which answers of people are judged
OF_FAMILIES = (  # that say what each family of methods models
    "vandenoord2016", "dinh2017", "kingma2014", "goodfellow2014", "ho2020", "esser2021", "rombach2022")
NAMED_AUTHORS = 3  # of more, the title stands first and the first author behind it

GENLIB = "genlib"
ADDRESSES = {  # of projects; other names in a record are somebody's own
    "torch": "https://pytorch.org", "diffusers": "https://github.com/huggingface/diffusers",
    "transformers": "https://github.com/huggingface/transformers", "accelerate": "https://github.com/huggingface/accelerate",
    "safetensors": "https://github.com/huggingface/safetensors", "numpy": "https://numpy.org", "pillow": "https://python-pillow.org",
    "scikit-image": "https://scikit-image.org",
    "psutil": "https://github.com/giampaolo/psutil", "nvidia-ml-py": "https://pypi.org/project/nvidia-ml-py",
    "cudnn": "https://developer.nvidia.com/cudnn"}

LICENCE_OF_WEIGHTS = {
    "demo": N_(
        "The demonstration models are a part of genlib under its MIT License and learned from drawn faces alone: their pictures show "
        "nobody and may be used freely."),
    "random": N_("Networks with random weights learned from nothing, so that no model’s licence applies to their pictures."),
}
LICENCES = [  # of published weights, by a pattern of their source
    (r"CompVis/stable-diffusion-v1-4", N_(
        "Stable Diffusion v1-4 and its VAE are under the CreativeML Open RAIL-M licence: the authors claim no rights in the pictures, "
        "for whose use whoever makes them is accountable. A thesis may show them; uses that harm others, such as spreading false "
        "information, are forbidden.")),
    (r"https://nvlabs-fi-cdn\.nvidia\.com/.*", N_(
        "NVIDIA’s networks are under the NVIDIA Source Code License, which allows their use for research or evaluation only and not "
        "commercially. A thesis may show their pictures, beside which the network and its paper are to be named.")),
    (r"https://nvlabs-fi-cdn\.nvidia\.com/.*ffhq.*", N_(
        "The FFHQ network learned from photographs of real people: the dataset is under CC BY-NC-SA 4.0, and each photograph under "
        "the licence that its author chose on Flickr. Both allow non-commercial use that names the source; the dataset is not meant "
        "for the recognition of faces.")),
]
PHOTOGRAPH = N_(
    "The photograph that the VAE returns is NASA’s portrait of the astronaut Eileen Collins, in the public domain: it may be shown "
    "with NASA named as the source, and not as if NASA or she endorsed anything.")


def sources(report) -> dict[str, str]:
    """The entries of the list of sources as plain text in the report's language, by the keys that texts cite.

    In order, each under its key in PAPERS: the papers of the report's experiments, those of METHODS and,
    where there are several sessions, answers of people or other methods, of OF_SESSIONS, OF_ANSWERS and
    OF_FAMILIES; then the models as model1, model2 ... (none for random weights, which come from nowhere);
    genlib and the packages as package1, package2 ... The date of access is that of the newest run's start.
    """
    papers = dict.fromkeys([key for run in _runs(report) for key in experiments.find(run.experiment).papers])
    methods = [*METHODS, *OF_SESSIONS * cells.in_sessions(report.rows), *OF_ANSWERS * (len(report.answers) > 0),
               *OF_FAMILIES * (len(report.table("methods").data) > 0)]
    entries = {key: _paper(report, PAPERS[key]) for key in [*papers, *methods]}
    entries |= {f"model{number}": entry for number, entry in enumerate(_models(report), 1)}
    return entries | {f"package{number}": entry for number, entry in enumerate(_packages(report), 1)}


def licences(report) -> list[str]:
    """What the licences of the report's models, and of its photograph, mean for pictures in a thesis."""
    sentences = [sentence for model in _loaded(report) for sentence in _licences_of(report, model)]
    if any("photograph" in (run.variant, run.settings.get("original")) for run in report.summary["run"]):
        sentences.append(report.say(PHOTOGRAPH))
    return list(dict.fromkeys(sentences))


def _paper(report, paper: Paper) -> str:
    authors = paper.authors.split(", ")
    surname, _, initials = authors[0].partition(" ")
    head = f"{paper.title} / {initials} {surname} et al." if len(authors) > NAMED_AUTHORS else \
        f"{paper.authors.removesuffix('.')}. {paper.title}."
    where = f"DOI: {paper.doi}." if paper.doi else paper.url and _address(report, paper.url)
    return " ".join(filter(None, [head, f"{paper.container}.", f"{paper.year}.", paper.place and f"{paper.place}.", where]))


def _address(report, url: str) -> str:
    """The address, with the date of access where a run has one."""
    newest = max(run.start for run in report.summary["run"])
    if newest.year == 1:  # no run says when it started
        return f"URL: {url}"
    return report.say("URL: {url} (accessed {year}-{month}-{day}).", url=url, year=f"{newest.year:04}", month=f"{newest.month:02}",
                      day=f"{newest.day:02}")


def _runs(report) -> list[Run]:
    """The report's runs, by experiment in the order of the entries."""
    known = [entry.slug for entry in experiments.EXPERIMENTS]
    return sorted(report.summary["run"], key=lambda run: known.index(run.experiment) if run.experiment in known else len(known))


def _loaded(report) -> list[ModelInfo]:
    return [run.model for run in _runs(report) if run.model]


def _models(report) -> list[str]:
    """An entry for each place that weights are from, whatever parts of it were loaded."""
    places = {}
    for model in _loaded(report):
        place = ("demo",) if model.weights == "demo" else (model.weights, model.source, model.revision, model.sha256)
        if model.weights != "random":
            places.setdefault(place, []).append(escape.plain(model.name))
    return [_model(report, ", ".join(dict.fromkeys(names)), *place) for place, names in places.items()]


def _model(report, names: str, weights: str, source: str = "", revision: str | None = None, sha256: str | None = None) -> str:
    if weights == "demo":
        return report.say("{names}: small demonstration models of these kinds, a part of genlib.", names=names)
    source = escape.plain(source)
    on_the_hub = f"https://huggingface.co/{source}" if re.fullmatch(r"[\w.-]+/[\w.-]+", source) else ""
    address = source if re.match("https?://", source) else on_the_hub
    return " ".join(filter(None, [
        report.say("{names}: weights of a neural network.", names=names),
        revision and report.say("Revision {revision}.", revision=escape.plain(revision)),
        sha256 and f"SHA-256: {escape.plain(sha256)}.",
        _address(report, address) if address else report.say("File or folder {name}.", name=source)]))


def _packages(report) -> list[str]:
    """genlib first, which a run from its folder, not installed, lacks among its packages."""
    versions, commits = {GENLIB: {}}, {}
    for machine in (run.machine for run in _runs(report)):
        commits |= {escape.plain(machine.commit): None} if machine.commit else {}
        for name, version in machine.packages.items():
            versions.setdefault(escape.plain(name), {})[escape.plain(version)] = None
    return [_package(report, name, list(found), list(commits) if name == GENLIB else []) for name, found in versions.items()]


def _package(report, name: str, versions: list[str], commits: list[str]) -> str:
    return " ".join(filter(None, [
        report.count("{name}: software, version {versions}.", "{name}: software, versions {versions}.", len(versions), name=name,
                     versions=", ".join(versions)) if versions else report.say("{name}: software.", name=name),
        commits and report.say("Commit {commits}.", commits=", ".join(commits)),
        name in ADDRESSES and _address(report, ADDRESSES[name])]))


def _licences_of(report, model: ModelInfo) -> list[str]:
    if model.weights in LICENCE_OF_WEIGHTS:
        return [report.say(LICENCE_OF_WEIGHTS[model.weights])]
    known = [report.say(licence) for pattern, licence in LICENCES if re.fullmatch(pattern, model.source)]
    return known or [report.say("The record of the run does not say under which licence {model} ({source}) is.",
                                model=escape.plain(model.name), source=escape.plain(model.source))]
