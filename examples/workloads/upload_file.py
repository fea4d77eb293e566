"""Client.upload_file: a module of yours, on every worker.

Run it with `crewcall run demo -- python examples/workloads/upload_file.py`, or give a scheduler's address.
"""

import sys
import tempfile
from pathlib import Path

from dask.distributed import Client

MODULE = """
def greet(name):
    return f"hello {name}"
"""


def use(name: str) -> str:
    """Use the module where it was uploaded to."""
    import uploaded_greeting

    return str(uploaded_greeting.greet(name))


if __name__ == "__main__":
    with Client(*sys.argv[1:]) as client, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "uploaded_greeting.py"
        path.write_text(MODULE)
        client.upload_file(str(path))
        names = [f"worker {number}" for number in range(20)]
        found = client.gather(client.map(use, names))
    assert found == [f"hello {name}" for name in names]
    print(f"{len(found)} greetings from an uploaded module")
