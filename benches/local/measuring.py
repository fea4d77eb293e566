"""One measurement after the other, of whatever bench."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

from figures import Row


def measured(name: str, measure: Callable[[], list[Row]]) -> list[Row]:
    """Make one measurement and print its rows; what fails becomes a row, and the others go on."""
    begun = time.monotonic()
    print(f"{name} …", flush=True)
    try:
        rows = measure()
    except Exception as error:
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}".replace("|", "/").replace("\n", " ")
        rows = [Row(name, "", None, note=f"failed: {text[:200]}")]
    for row in rows:
        print(f"  {'  '.join(cell for cell in row.cells() if cell)}", flush=True)
    print(f"  {time.monotonic() - begun:.0f} s", flush=True)
    return rows
