"""
What a backend outside this package is made of, beside `store`, `options` and the faces.

- `Lookout`, `Waiter`, `LoopWaiter`, `LoopBell`, `Lead` - those who wait, and who looks for all.
- `Door`, `Pace` - the bounds of queues; `Drain` - the rate that one of them depends on.
- `Health`, `pauses` - a store that is away.
- `PerLoop` - what belongs to one event loop; for what belongs to one process see `forks`.
- `chunks` - what one step can carry.
- `split_options`, `set_attributes` - the keywords of constructors.
"""

from task_helpers.couriers._attributes import set_attributes, split_options
from task_helpers.couriers._chunks import chunks
from task_helpers.couriers._door import Door, Pace
from task_helpers.couriers._drain import Drain
from task_helpers.couriers._leading import Lead
from task_helpers.couriers._lookout import Lookout, Waiter
from task_helpers.couriers._loop_waiters import LoopBell, LoopWaiter
from task_helpers.couriers._loops import PerLoop
from task_helpers.couriers._outages import Health, pauses

__all__ = [
    "Door",
    "Drain",
    "Health",
    "Lead",
    "Lookout",
    "LoopBell",
    "LoopWaiter",
    "Pace",
    "PerLoop",
    "Waiter",
    "chunks",
    "pauses",
    "set_attributes",
    "split_options",
]
