"""
The worker process: performs tasks until it is killed.

    python -m worker SYSTEM URL LEDGER PROGRAM
"""

from __future__ import annotations

import sys
from pathlib import Path

from ledger import Ledger
from programs import WITHOUT_RESULTS
from system import system


def main(name: str, url: str, ledger: str, program: str) -> None:
    system(name)(url, program not in WITHOUT_RESULTS).work(Ledger(Path(ledger)))


if __name__ == "__main__":
    main(*sys.argv[1:])
