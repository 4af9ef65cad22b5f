"""A notebook executed in a kernel of its own; a copy and a page of it without this machine's paths."""
import os
import sys
from pathlib import Path

from genlib import notebook, places
from genlib.commands import page, short
from genlib.commands.progress import Progress
from genlib.files import explain_storage, write_atomically


def execute(source: Path, copy: Path, results: Path, parameters: dict, progress: Progress) -> None:
    """Leave a notebook's executed copy, .ipynb and .html. ValueError if a cell fails or the kernel dies."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    name, book = source.stem, _prepared(source, parameters)

    class Client(NotebookClient):
        def output(self, outs, message, *others):
            progress.said(message["content"].get("text", ""))
            return super().output(outs, message, *others)

    client = Client(book, km=_own_kernel(), resources={"metadata": {"path": str(source.parent)}}, record_timing=False,
                    iopub_timeout=60,  # seconds that an output may be late, as on a machine that is measured
                    shutdown_kernel="immediate",  # to take torch down in good order takes a second, and serves nothing
                    extra_arguments=["--log-level=CRITICAL"])  # of the kernel, which warns that it talks over a local port
    environment = os.environ | {"GENLIB_RESULTS": str(results), "JPY_SESSION_NAME": str(source)}
    with explain_storage(results):
        copy.with_suffix(".html").unlink(missing_ok=True)  # of an earlier run
    public = _without_paths(book, names := {results: results.name, notebook.PROJECT: notebook.PROJECT.name})
    _save(public, copy)
    try:
        with client.setup_kernel(env=environment, cleanup_kc=True):
            for index, cell in enumerate(book.cells):
                progress.at(book, index)
                if cell.cell_type != "code":
                    continue
                try:
                    client.execute_cell(cell, index)
                finally:
                    public.cells[index] = _without_paths(cell, names)
                    _save(public, copy)
    except CellExecutionError as error:
        raise ValueError(f"{name} stopped in its cell {cell.execution_count} with {error.ename}: {error.evalue}\nThe executed copy is "
                         f"{short(copy)}; what was measured before it is kept in {short(results)}") from None
    except DeadKernelError:
        raise ValueError(f"{name} was killed, which mostly happens when the machine's memory is used up: free some or take smaller "
                         f"weights; what was measured is kept in {short(results)}, and the same command goes on there") from None
    except RuntimeError as error:
        raise ValueError(f"{name} has no kernel ({error}): see what `{sys.executable} -m ipykernel_launcher` says") from None
    progress.beside(lambda: page.save(public, copy.with_suffix(".html")))


def _prepared(source: Path, parameters: dict):
    """The notebook as it is to be executed: the parameters after its own, and no outputs.

    Of the metadata only the cells' tags stay: Jupyter, VS Code and Colab keep people's names, times and the
    state of widgets there, the last in a form that stops the making of the page.
    """
    import nbformat

    book = nbformat.v4.upgrade(nbformat.read(source, as_version=4))
    book.metadata = nbformat.from_dict({"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
    for cell in book.cells:
        cell.metadata = nbformat.from_dict({"tags": cell.metadata.get("tags", [])})
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    lines = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    place = next((place for place, cell in enumerate(book.cells, 1) if "parameters" in cell.metadata.tags), 0)
    book.cells.insert(place, nbformat.v4.new_code_cell(f"# Parameters of genlib run\n{lines}", metadata={"tags": ["injected-parameters"]}))
    return book


def _own_kernel():
    """A manager of a kernel of this Python, whatever kernel the user has installed under the name python3."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    return AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))


def _save(book, copy: Path) -> None:
    import nbformat

    write_atomically(copy, nbformat.writes(book).encode())


def _without_paths(value, names: dict[Path, str]):
    """Apply `places.without_paths` to each text of a notebook or a part of one, but not to pictures."""
    import nbformat

    if isinstance(value, str):
        return places.without_paths(value, names)
    if isinstance(value, list):
        return [_without_paths(part, names) for part in value]
    if isinstance(value, dict):
        parts = {key: part if key.startswith("image/") else _without_paths(part, names) for key, part in value.items()}
        return nbformat.from_dict(parts)
    return value
