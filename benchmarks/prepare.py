"""
Makes the tables of a system in an empty database.

    python -m prepare SYSTEM URL
"""

from __future__ import annotations

import sys

from system import system


def main(name: str, url: str) -> None:
    system(name)(url, True).prepare()


if __name__ == "__main__":
    main(*sys.argv[1:])
