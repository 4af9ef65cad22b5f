"""Why a download failed: the disk, a proxy or the network, in a sentence that says what to do."""
import errno
import os
import re
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten
from urllib.parse import urlsplit

from genlib.files import explain_storage, nearest

OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # a network never answers with one of these
OF_A_FOLDER = (errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


def failed(what: str, error: Exception, cache: Path, variable: str, lacks: str = "") -> OSError:
    """The exception to raise where downloading `what` into the folder `cache` ended in `error`.

    variable: the environment variable that moves the cache to another folder.
    lacks: what the cache has not, as a clause.
    Returns an OSError that names the folder if the disk is to blame, else a ConnectionError.
    """
    if number := _of_storage(error):
        return _storage(number, cache, variable)
    first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    reason = shorten(without_secrets(first), 160, placeholder=" ...")
    name, address = next(iter(_proxies().items()), (None, None))
    if wrong := wrong_proxy():
        return ConnectionError(f"{what} could not be downloaded{lacks}, since {wrong}")
    through = f" through the proxy {address} that the environment variable {name} names" if name else ""
    check = "that proxy" if name else "the network"
    return ConnectionError(f"{what} could not be downloaded{through} ({reason}){lacks}: check {check}, or use weights='demo' or "
                           "weights='random', which need no network")


def wrong_proxy() -> str | None:
    """What is wrong with the environment's settings of a proxy, as a clause; None if nothing can be seen."""
    for name, address in _proxies().items():
        try:
            parts = urlsplit(address)
            usable = bool(parts.hostname) and (parts.port or 1) > 0 and not re.search(r"\s", address)  # port: ValueError if it is no number
        except ValueError:
            usable = False
        if not usable or parts.scheme not in ("http", "https", "socks5", "socks5h"):
            return (f"the environment variable {name} is {address!r}, which is no address of a proxy: "
                    "write http://host:port, or unset it")
        if parts.scheme.startswith("socks") and not find_spec("socksio"):
            return (f"the environment variable {name} names a SOCKS proxy, and the package for these is missing: run "
                    "`pip install socksio`, or name an http:// proxy")
    return None


def _proxies() -> dict[str, str]:
    """The proxies that the environment names, by variable; without names and passwords of users."""
    if "*" in (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""):
        return {}
    found = {name: value for variable in PROXIES for name in (variable.lower(), variable) if (value := os.environ.get(name))}
    return {name: re.sub(r"[^/]*@", "", value if "://" in value else f"http://{value}") for name, value in found.items()}


def without_secrets(text: str) -> str:
    """A text whose addresses have lost users' names, passwords and everything from the question mark on."""
    return re.sub(r"(\w+://)(?:[^/\s@]*@)?([^\s?#'\"]*)(?:[?#][^\s'\"]*)?", r"\1\2", text)


def _of_storage(error: BaseException | None, outermost: bool = True) -> int | None:
    """The number of the disk's or folder's error that lies behind an exception."""
    if error is None:
        return None
    number = getattr(error, "errno", None)
    if number is None and (told := re.search(r"\(os error (\d+)\)", str(error))):  # the Hub's fast downloads, written in Rust
        number = int(told[1])
    # A firewall's refusal is a PermissionError too, but has no file, and HTTP libraries wrap it.
    if number in OF_THE_DISK or number in OF_A_FOLDER and (outermost or error.filename):
        return number
    return _of_storage(error.__cause__ or error.__context__, outermost=False)


def _storage(number: int, cache: Path, variable: str) -> OSError:
    folder = nearest(cache)
    elsewhere = f"the environment variable {variable} names another folder for downloads"
    if number in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        return OSError(number, f"a file is where the folder of downloads should be: delete or rename it; {elsewhere}", str(folder))
    try:
        with explain_storage(folder):
            raise OSError(number, os.strerror(number))
    except OSError as error:
        return OSError(number, f"{error.strerror}; {elsewhere}", str(folder))
