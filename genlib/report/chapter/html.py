"""The document as one HTML page: pictures within it, formulas as MathML, and no request to any host."""
from base64 import b64encode

from genlib import escape
from genlib.report import formats
from genlib.report.chapter import pandoc
from genlib.report.chapter.form import Form
from genlib.report.chapter.pandoc import code, div, paragraph, raw, string

PAGE = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ max-width: 50em; margin: 2em auto; padding: 0 1em; font-family: "{font}", serif; line-height: 1.5; }}
h1 {{ text-align: center; }}
table {{ border-collapse: collapse; line-height: 1.2; font-size: 0.8em; }}
caption {{ font-weight: normal !important; }}
th, td {{ border: 1px solid; padding: 0.2em 0.3em; text-align: center; }}
tr:has(> :nth-child(10)) > th {{ overflow-wrap: anywhere; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #bbb; padding: 0.5em; line-height: 1.2; }}
img {{ width: 100%; }}
.figure {{ text-align: center; break-inside: avoid; }}
h2, h3 {{ break-after: avoid; }}
.gap {{ border: 1px dashed #c60; background: #fff3e0; padding: 0 1em; }}
</style>
</head>
<body>
{body}</body>
</html>
"""


class Html(Form):
    """A page that a browser opens from the disk."""
    kind = "html"

    def document(self, tree):
        tree = self.filled(tree)
        body = pandoc.write(tree, "-t", "html5", "--mathml", "--wrap=none").decode()
        title = next((pandoc.text(node["c"][2]) for node in tree["blocks"] if node["t"] == "Header"), "")
        return PAGE.format(language=self.report.language, title=escape.html(title), font=self.page.font, body=body).encode()

    def table(self, label, table):
        return [div([raw("html", formats.to_html(table.data, table.name, self.caption(label, table.title), table.note))], label)]

    def figure(self, label, figure):
        address = f"data:image/png;base64,{b64encode(self.pictures[figure.name]).decode()}"
        caption = self.caption(label, figure.caption)
        image = {"t": "Image", "c": [["", [], []], [string(caption)], [address, ""]]}
        return [div([paragraph(image), paragraph(string(caption))], label, "figure")]

    def listing(self, label, listing):
        return [div([paragraph(string(self.caption(label, listing.title))), code(listing.lines)], label)]

    def gap(self, blocks):
        return [div(blocks, "", "gap")]
