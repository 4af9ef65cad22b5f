"""An executed notebook as an HTML page that asks no host: formulas are MathML, and there are no scripts."""
import html
import re
from pathlib import Path

from genlib import progress
from genlib.files import write_atomically

# JupyterLab's look without the scripts that its template takes from elsewhere: require.js, MathJax, mermaid.
# Lines of code are broken, since neither the page nor paper could be moved along to show their ends,
# and tables are printed small enough for Ukrainian ones to fit on A4: of many columns with heads that break.
TEMPLATE = """{%- extends 'index.html.j2' -%}
{% block html_head_js %}
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'">
{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block html_head_css %}<style>
math { font-size: 1.15em; }
.jp-Cell pre { white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere; }
@media print {
  .jp-OutputArea-output table { font-size: 7.5pt; }
  .jp-OutputArea-output :is(th, td) { padding: 0.2em 0.3em; }
  .jp-OutputArea-output tr:has(> :nth-child(10)) > th { overflow-wrap: anywhere; }
}
</style>{% endblock %}"""
THIN_SPACES = {"<mo>&#8289;</mo>": '<mo rspace="0.17em">&#8289;</mo>', "</munder>": '</munder><mspace width="0.17em"/>'}  # as TeX has
FORMULA = re.compile(r'<tex class="(\$+)">(.*?)</tex>', re.DOTALL)  # what stands for one until `_with_mathml`


def save(book, page: Path) -> None:
    """Write a notebook as HTML. If it cannot be made into a page, a line says so: a run is worth more."""
    from nbconvert import HTMLExporter

    try:
        exporter = HTMLExporter(raw_template=TEMPLATE, filters={"markdown2html": _to_html})
        body, _ = exporter.from_notebook_node(book, resources={"metadata": {"name": page.stem}})
    except Exception as error:
        return progress.write(f"no {page.name} ({type(error).__name__}: {error})")
    write_atomically(page, _with_mathml(body).encode())


def _to_html(markdown: str) -> str:
    """Markdown as HTML: formulas marked as in FORMULA, of pictures that lie on other hosts only the words."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def inline_math(self, body):
            return f'<tex class="$">{html.escape(body)}</tex>'

        def block_math(self, body):
            return f'<tex class="$$">{html.escape(body)}</tex>'

        def image(self, text, url, title=None):
            return text if url.startswith("http") else super().image(text, url, title)

    return MarkdownWithMath(renderer=Renderer(escape=False)).render(markdown)


def _with_mathml(body: str) -> str:
    """The page with its formulas as MathML; in TeX's words, as they were written, if pandoc is not here."""
    from genlib.report.chapter.pandoc import pandoc

    formulas = [f"{mark}{html.unescape(' '.join(tex.split()))}{mark}" for mark, tex in FORMULA.findall(body)]
    try:
        made = pandoc("\n\n".join(formulas).encode(), "-f", "markdown_strict+tex_math_dollars", "-t", "html5", "--mathml").decode()
        for bare, spaced in THIN_SPACES.items():
            made = made.replace(bare, spaced)
        made = re.findall("<math.*?</math>", made, re.DOTALL)
    except ValueError:
        made = []
    each = iter(made if len(made) == len(formulas) else map(html.escape, formulas))
    return FORMULA.sub(lambda _: next(each), body)
