"""Run the notebooks again and keep their outputs: `python -m bench.rerun_notebooks [NAME.ipynb …]`.

Rules:
- Each runs in a fresh kernel of this very interpreter, from its first cell to its last, in notebooks/, where
  the reference run lies. An error, or a word on stderr, ends it: nothing is saved then.
- What is saved is the same wherever it was run, but for what was measured: no times of execution, no
  versions, and the cells keep their ids.
- The kernel is spoken to through sockets of this user's own, not over TCP.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from traitlets.config import Config

FOLDER = Path(__file__).parent.parent / "notebooks"
TIMEOUT_S = 60
"""For a cell; a whole notebook takes less."""
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class NotebookFailed(Exception):
    """A notebook did not run through; the message says which, where and why."""


def notebooks() -> list[Path]:
    """The notebooks in their order."""
    return sorted(FOLDER.glob("*.ipynb"))


def execute(path: Path) -> nbformat.NotebookNode:
    """The notebook as it is after a run in its own folder. Raises NotebookFailed."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="wirelab-") as sockets:
        local = {"transport": "ipc", "connection_file": str(Path(sockets, "kernel.json"))}
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            config=Config(KernelManager=local),
            timeout=TIMEOUT_S,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(path.parent)}},
        )
        try:
            client.execute()
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise NotebookFailed(f"{path.name} did not run through: {error}") from error
    for cell in notebook.cells:
        said = [output.text for output in cell.get("outputs", []) if output.get("name") == "stderr"]
        if said:
            raise NotebookFailed(f"{path.name}, cell {cell.id}, wrote to stderr: {''.join(said)}")
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
    return notebook


def main(names: list[str]) -> None:
    """Run those named, or all, and save them."""
    for path in [FOLDER / name for name in names] or notebooks():
        print(path.name, flush=True)
        notebook: Any = execute(path)
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main(sys.argv[1:])
