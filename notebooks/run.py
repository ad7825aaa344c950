"""Runs readout.py as a notebook, without a browser; ends with status 1 and the failing cell where one fails.

    python notebooks/run.py [FILE.ipynb]

keeps the executed notebook with its pictures in FILE.ipynb. Settings come from the environment, see README.md.
"""

import sys
from pathlib import Path

try:
    import jupytext
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
except ImportError as missing:
    sys.exit(f"{missing}; install what the notebook needs: pip install -r notebooks/requirements.txt")

HERE = Path(__file__).resolve().parent
# A readout of a large lake takes seconds; a cell that takes longer than this hangs.
CELL_SECONDS_MAX = 600


def main() -> int:
    notebook = jupytext.read(HERE / "readout.py")
    client = NotebookClient(notebook, timeout=CELL_SECONDS_MAX, kernel_name="python3", resources={"metadata": {"path": HERE}})
    failed = None
    try:
        client.execute()
    except CellExecutionError as error:
        failed = error
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                print(output.text, end="")
    if len(sys.argv) > 1:
        nbformat.write(notebook, sys.argv[1])
    if failed is not None:
        print(failed, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
