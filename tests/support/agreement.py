"""That Redis holds what the model says, nothing twice and nothing else."""

from __future__ import annotations

from task_helpers.couriers._preparing import digest
from task_helpers.envelopes import open_envelope
from task_helpers.serializers import MsgpackSerializer
from tests.support.model import QueueModel
from tests.support.seen import Seen, result_in


def agree(seen: Seen, model: QueueModel) -> None:
    _tasks_agree(seen, model)
    _places_agree(seen, model)
    _batches_agree(seen, model)
    _ends_agree(seen, model)


def _tasks_agree(seen: Seen, model: QueueModel) -> None:
    codec = MsgpackSerializer()
    stored = {}
    for task_id, envelope in seen.tasks.items():
        header, payload = open_envelope(envelope)
        deadline = header.deadline if header.deadline < 2 else 2
        stored[task_id] = (codec.loads(payload), header.priority, header.attempt, deadline)
    assert stored == {
        task_id: (t.data, t.priority, t.attempts, t.limited and (1 if t.overdue else 2))
        for task_id, t in model.tasks.items()
    }


def _places_agree(seen: Seen, model: QueueModel) -> None:
    assert len(seen.places) == len(set(seen.places)), "an id is in two places"
    assert seen.live(seen.lines["p"]) == model.pending
    assert seen.live(seen.lines["s1"]) == model.few
    assert seen.live(seen.lines["s2"]) == model.alone
    assert seen.live(seen.lines["z"]) == [task_id for _, _, task_id in model.ranked]
    assert set(seen.live(list(seen.delayed))) == model.delayed.keys()
    assert seen.wakes or not model.waits(), "an idle worker sleeps on"


def _batches_agree(seen: Seen, model: QueueModel) -> None:
    batches = model.batches
    assert {t: due == 1 for t, due in seen.leases.items()} == {
        token: batch.overdue for token, batch in batches.items() if batch.leased
    }
    assert seen.batches.keys() <= batches.keys()
    for token, batch in batches.items():
        assert seen.live(seen.batches.get(token, [])) == batch.ids
        assert len(seen.batches.get(token, [])) == batch.size


def _ends_agree(seen: Seen, model: QueueModel) -> None:
    assert {i: result_in(outcome) for i, outcome in seen.results.items()} == model.results
    assert seen.dead[0] == model.dead.keys()
    crashes = {i: t.in_company + 1000 * t.alone for i, t in model.tasks.items()}
    weighed = (model.tasks | model.dead).items()
    assert seen.weights == {task_id: t.weight for task_id, t in weighed if t.weight != 1}
    keyed = {task_id: t.key for task_id, t in model.tasks.items() if t.key}
    assert seen.flights == {*keyed, *map(digest, keyed.values())}
    assert seen.crashes == {task_id: count for task_id, count in crashes.items() if count}
