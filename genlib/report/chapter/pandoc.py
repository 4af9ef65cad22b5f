"""Read Markdown with pandoc into a tree of plain lists and dicts, and write the tree in another format.

The text holds words from other people's records. The reader therefore knows a few marks only, the tree is
checked, and pandoc runs in its sandbox, in which it neither opens a file nor asks the network.
"""
import json
import os
import re
import subprocess
from functools import cache

from genlib import escape

READER = "markdown_strict-raw_html+all_symbols_escapable+fenced_divs+header_attributes+intraword_underscores+lists_without_preceding_" \
         "blankline+backtick_code_blocks+space_in_atx_header+tex_math_dollars"
KNOWN = set("Para Plain Header BlockQuote BulletList OrderedList CodeBlock Div Str Space SoftBreak LineBreak Emph Strong Code Link Math "
            "InlineMath DisplayMath DefaultStyle DefaultDelim Decimal Period".split())
PLACES = ("table", "figure", "listing")  # what an empty Div stands for; each is numbered on its own
DIVS = (*PLACES, "sources", "gap")
NAME = re.compile(r"[\w-]+", re.ASCII)  # of a table, figure, listing or source: it becomes a label in every format
LINK = re.compile(r"https?://.+|#.+")
DEFINES = re.compile(r"\^\^|command|environment|declare", re.IGNORECASE)  # what could give a formula's words another meaning


@cache
def _program() -> str:
    """Where pandoc is; the one on PATH, which is 2.9 on Colab, is taken only if it is the newer one."""
    try:
        import pypandoc

        path, version = pypandoc.get_pandoc_path(), pypandoc.get_pandoc_version()
    except (ImportError, OSError):
        path = version = ""
    if not version or int(version.partition(".")[0]) < 3:
        there = f"pandoc {version} is too old" if version else "it is not here"
        raise ValueError(f'a chapter needs pandoc 3.0 or newer, and {there}: run `pip install "genlib[chapter]"`')
    return path


def pandoc(source: bytes, *arguments: str) -> bytes:
    """What pandoc makes of the source, with no date of today in it.

    Raises ValueError, with pandoc's own words, also where it only warns: of a formula that it does not
    understand, as it does none with a command of TeX that acts; of a block that does not end.
    """
    done = subprocess.run([_program(), "--sandbox", "--fail-if-warnings", "--eol=lf", *arguments], input=source, capture_output=True,
                          env=os.environ | {"SOURCE_DATE_EPOCH": "0"})
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().partition("\n")[0].removeprefix("[WARNING] ").rstrip(":")
        raise ValueError(f"pandoc does not take the chapter’s text ({escape.plain(said)}): correct the template")
    return done.stdout


def read(markdown: str) -> dict:
    """The tree of a text, checked. Raises ValueError, naming what it is, for anything but text, formulas,
    links within the document or to http(s), and the Divs of DIVS."""
    tree = json.loads(pandoc(markdown.encode(), "-f", READER, "-t", "json"))
    return tree | {"meta": {}, "blocks": replaced(tree["blocks"], _checked)}


def write(tree: dict, *arguments: str) -> bytes:
    """A tree in a format, as in `write(tree, "-t", "latex")`."""
    return pandoc(json.dumps(tree).encode(), "-f", "json", *arguments)


def replaced(node, replace):
    """A tree in which every element for which `replace(element)` returns a list, and not None, is replaced by
    the elements of the list; from the leaves up, in the order of the document."""
    if isinstance(node, dict):
        return {key: replaced(value, replace) for key, value in node.items()}
    if not isinstance(node, list):
        return node
    made = []
    for part in node:
        part = replaced(part, replace)
        new = replace(part) if isinstance(part, dict) and "t" in part else None
        made += [part] if new is None else new
    return made


def referred(link: dict) -> list[str]:
    """The labels that a link within the document is to: one, or those of sources that are cited together."""
    kind, colon, names = link["c"][2][0].removeprefix("#").partition(":")
    return [f"{kind}{colon}{name}" for name in names.split(",")]


def place(div: dict) -> tuple[str, str]:
    """What a Div of the text stands for: one of DIVS, and the name."""
    _, [kind], values = div["c"][0]
    return kind, dict(values)["name"]


def text(inlines: list) -> str:
    """The words of inline elements."""
    return "".join(node["c"] if node["t"] == "Str" else " " for node in inlines if node["t"] in ("Str", "Space", "SoftBreak"))


def string(text: str) -> dict:
    """Text, of anybody's, as an inline element on one line."""
    return {"t": "Str", "c": escape.plain(text)}


def paragraph(*inlines: dict) -> dict:
    """A paragraph of inline elements."""
    return {"t": "Para", "c": list(inlines)}


def div(blocks: list, label: str = "", *classes: str, **values: str) -> dict:
    """Blocks within a Div that has a label, classes and values."""
    return {"t": "Div", "c": [[label, list(classes), [[key.replace("_", "-"), value] for key, value in values.items()]], blocks]}


def code(lines: list[str]) -> dict:
    """A program's lines as a block."""
    return {"t": "CodeBlock", "c": [["", [], []], "\n".join(lines)]}


def raw(kind: str, text: str, block: bool = True) -> dict:
    """Text in a format's own words."""
    return {"t": "RawBlock" if block else "RawInline", "c": [kind, text]}


def _checked(node: dict) -> list:
    """The element, without the attributes that nobody reads."""
    kind, content = node["t"], node.get("c")
    if kind not in KNOWN:
        raise ValueError(f"the chapter’s text holds pandoc’s {kind}, and it may hold text, lists and formulas: take it out of the template")
    if kind == "Math" and (found := DEFINES.search(content[1])):
        raise ValueError(f"the formula {escape.plain(content[1])} of the chapter’s text holds {found[0]}: write it without")
    if kind == "Link" and not LINK.fullmatch(content[2][0]):
        raise ValueError(f"the chapter’s text has a link to {escape.plain(content[2][0])}: link to https:// or within the document")
    if kind == "Header":
        label, classes, _ = content[1]
        return [{"t": kind, "c": [content[0], [label, [name for name in classes if name == "unnumbered"], []], content[2]]}]
    if kind == "Div":
        [_, classes, values], name = content[0], dict(content[0][2]).get("name", "")
        if len(classes) != 1 or classes[0] not in DIVS or (classes[0] in PLACES and not NAME.fullmatch(name)):
            raise ValueError(f"the chapter’s text has a block {classes} with {values}: use one of {', '.join(DIVS)}, the first three with "
                             "a name of Latin letters, digits, - and _")
        return [div(content[1], "", *classes, name=name)]
    if kind in ("Link", "Code", "CodeBlock"):
        return [{"t": kind, "c": [["", [], []], *content[1:]]}]
    return [node]
