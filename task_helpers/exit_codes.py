"""How a worker process ends, for whoever started it."""

DONE = 0
"""Nothing is left to do."""

FAILED = 1
"""It could not even start."""

TOO_LONG = 70
"""A batch took longer than it may, and is still held (EX_SOFTWARE of sysexits.h)."""

CUT_SHORT = 71
"""Something ended it after it had worked, and it may hold a batch (EX_OSERR of sysexits.h)."""

RECYCLE = 75
"""It holds nothing, and a fresh process is to take its place (EX_TEMPFAIL of sysexits.h)."""
