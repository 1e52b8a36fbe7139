"""The worker's side of a courier, without I/O."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from uuid import UUID

from task_helpers import ids, progress
from task_helpers.couriers._claims import Claim
from task_helpers.couriers._returning_flows import ReturningFlows
from task_helpers.couriers._taking_flows import TakingFlows
from task_helpers.couriers._worker_side import known_header
from task_helpers.couriers.queues import valid_queue_name
from task_helpers.effects import Flow
from task_helpers.progress import Progress

logger = logging.getLogger("task_helpers.couriers")


class WorkerFlows(TakingFlows, ReturningFlows):
    """Every operation of a worker courier, once for blocking and awaitable ones."""

    def renew(self, queue_name: str, worker: str, task_ids: Iterable[UUID] | None) -> Flow[None]:
        """A batch that is lost is dropped: its errors would be refused, its successes may count."""
        queue = valid_queue_name(queue_name)
        ending = [claim for claim in self._claims.held(queue) if claim.ending]
        claims = list(dict.fromkeys([*self._claims_of(queue, task_ids), *ending]))
        until = time.monotonic() + self._options.lease_ms / 1000
        tokens = [claim.token for claim in claims]
        lost = yield from self._store.renew(queue, worker, tokens, self._options.lease_ms)
        for claim in claims:
            if claim.token not in lost:
                claim.until = until
            elif not claim.ending and self._claims.drop(claim):
                logger.warning("A batch in queue %s is not leased to this worker any more.", queue)
        yield from self._hand_over_owed()

    def release(self, queue_name: str, task_ids: Iterable[UUID] | None) -> Flow[None]:
        yield from self._hand_over_owed()
        queue, store = valid_queue_name(queue_name), self._impatient()
        unanswered = self._unanswered.pop(queue, None)
        tokens = [unanswered] if unanswered else []
        for claim in self._claims_of(queue, task_ids):
            self._claims.drop(claim)  # first: if the store is not told, the lease must run out
            tokens.append(claim.token)
        for token in tokens:
            yield from store.release(queue, token)

    def progress(self, queue_name: str, said: Mapping[UUID, Progress]) -> Flow[None]:
        """Of tasks that are held here; of others there is nothing to say."""
        queue, store = valid_queue_name(queue_name), self._impatient()
        notes = {ids.to_bytes(task_id): progress.pack(word) for task_id, word in said.items()}
        for claim, group in self._claims.group(queue, list(notes)).items():
            if claim:
                yield from store.progress(queue, claim.token, [(i, notes[i]) for i in group])

    def attempt(self, queue_name: str, task_id: UUID) -> int:
        held = self._claims.held_task(valid_queue_name(queue_name), ids.to_bytes(task_id))
        return known_header(held).attempt + 1 if held else 1

    def suspects(self, queue_name: str, task_ids: Iterable[UUID]) -> bool:
        queue = valid_queue_name(queue_name)
        return any(claim.suspects for claim in self._claims_of(queue, task_ids))

    def _claims_of(self, queue: str, task_ids: Iterable[UUID] | None) -> list[Claim]:
        if task_ids is None:
            return self._claims.held(queue)
        return [claim for claim in self._claims.group(queue, ids.all_to_bytes(task_ids)) if claim]

    def concerns(self) -> Flow[list[str]]:
        return self._store.concerns()

    def farewell(self, queue_name: str, worker: str) -> Flow[None]:
        yield from self._impatient().farewell(valid_queue_name(queue_name), worker)
        yield from self._hand_over_owed()  # if that brought the news that there is some
