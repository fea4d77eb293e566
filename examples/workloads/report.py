"""performance_report: a page about what a computation did.

Run it with `crewcall run demo -- python examples/workloads/report.py`, or give a scheduler's address. The
cluster and this program need bokeh.
"""

import sys
import tempfile
from pathlib import Path

import dask.array as da
from dask.distributed import Client, performance_report

if __name__ == "__main__":
    with Client(*sys.argv[1:]), tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        with performance_report(filename=str(page)):
            total = da.ones((2000, 2000), chunks=(500, 500)).sum().compute()
        assert total == 2000 * 2000
        text = page.read_text()
        assert "Dask Performance Report" in text
        print(f"a report of {len(text) // 1024} KiB about a sum of {total:.0f}")
