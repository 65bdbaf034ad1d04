"""Run the notebooks again and keep their outputs: `python -m bench.notebook.rerun [RUN]`.

RUN, a run directory, becomes the reference that they look at: what was measured, packed tightly, without
reports. Without it the one that is there stays, and is analysed again where it has to be.

Rules:
- Each runs in a fresh kernel of this very interpreter, from its first cell to its last, in notebooks/, where
  the reference run lies. An error, or a word on stderr, ends it: nothing is saved then.
- What is saved is the same wherever it was run, but for what was measured: no times of execution, no
  versions, and the cells keep their ids.
- The kernel is spoken to through sockets of this user's own, not over TCP.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
import pyarrow.parquet as pq
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from traitlets.config import Config

from bench.analysis import store
from bench.rundir.reader import read
from bench.rundir.schema import FILES

FOLDER = Path(__file__).parents[2] / "notebooks"
REFERENCE = FOLDER / "reference"
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


def keep(run: Path) -> None:
    """Make a run the one that the notebooks look at. Raises UsageError."""
    read(run)
    with tempfile.TemporaryDirectory(dir=REFERENCE.parent) as made:
        for name in FILES:
            if name.endswith(".parquet"):
                _pack(run / name, Path(made, name))
            else:
                shutil.copyfile(run / name, Path(made, name))
        shutil.rmtree(REFERENCE, ignore_errors=True)
        shutil.copytree(made, REFERENCE)


def _pack(source: Path, target: Path) -> None:
    """The same table in a third of the room: times differ in their low bytes alone, so like bytes stand side
    by side, and all trials share one row group, which tells no statistics of itself."""
    table = pq.read_table(source)
    split = {name: "BYTE_STREAM_SPLIT" for name in table.column_names if name != "trial"}
    pq.write_table(
        table,
        target,
        row_group_size=max(1, table.num_rows),
        compression="zstd",
        compression_level=19,
        use_dictionary=["trial"],
        column_encoding=split,
        write_statistics=False,
    )


def main(argv: list[str]) -> None:
    """Take the run that is named as the reference, analyse what is there, and run all notebooks."""
    if argv:
        keep(Path(argv[0]))
    store.analyse(REFERENCE)
    for path in notebooks():
        print(path.name, flush=True)
        nbformat.write(execute(path), path)


if __name__ == "__main__":
    main(sys.argv[1:])
