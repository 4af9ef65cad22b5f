"""An executed notebook as an HTML page."""
from pathlib import Path

from genlib.files import write_atomically


def save(book, page: Path) -> None:
    """Write a notebook as HTML. If it cannot be made into a page, a line says so: a run is worth more."""
    from nbconvert import HTMLExporter

    try:
        body, _ = HTMLExporter().from_notebook_node(book, resources={"metadata": {"name": page.stem}})
    except Exception as error:
        return print(f"no {page.name} ({type(error).__name__}: {error});", end=" ")
    write_atomically(page, body.encode())
