"""How a worker process ends, for whoever started it."""

DONE = 0
"""Nothing is left to do."""

FAILED = 1

TOO_LONG = 70
"""A batch took longer than it may, and is still held (EX_SOFTWARE of sysexits.h)."""

RECYCLE = 75
"""It holds nothing, and a fresh process is to take its place (EX_TEMPFAIL of sysexits.h)."""
