"""`manage.py runworker` as a process of its own, on a real Redis, and the signals it gets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from task_helpers.couriers.redis import RedisClientWorkerTaskCourier
from task_helpers.tasks import TaskStatus
from tests.support.servers import RedisServer
from tests.support.waiting import Stopwatch, in_thread, wait_until

ROOT = Path(__file__).resolve().parents[2]
PATHS = [ROOT, ROOT / "testproject", Path(__file__).parent / "site"]
PATIENCE = 20

AT_ONCE = 2
"""Seconds. The promise is less than one; a busy machine also takes its time to end a process."""


QUEUES = ["gated", "gated_async"]


class Worker:
    """A process `manage.py runworker ...`, its output and its gate (see `site/factory`)."""

    def __init__(
        self,
        connection: redis.Redis,
        prefix: str,
        *arguments: str,
        url: str,
        app: str = "",
        path: Path = ROOT,
    ) -> None:
        environment = {
            "DJANGO_SETTINGS_MODULE": "site_settings",
            "PYTHONPATH": os.pathsep.join(map(str, [*PATHS, path])),
            "REDIS_URL": url,
            "TASK_PREFIX": prefix,
            "ONE_MORE_APP": app,
        }
        self._connection, self._prefix = connection, prefix
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "testproject/manage.py"), *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait_for_line(self, text: str) -> str:
        assert self.process.stdout
        for line in self.process.stdout:
            if text in line:
                return line
        raise AssertionError(f"the process ended without the line {text!r}")

    def wait_until_taken(self, tasks: int) -> None:
        try:
            wait_until(lambda: self._number("begun") >= tasks, PATIENCE)
        except AssertionError as error:
            os.killpg(self.process.pid, signal.SIGKILL)
            assert self.process.stdout
            error.add_note(f"{self._number('begun')} were begun; {self.process.stdout.read()}")
            raise

    def wait_until_told(self) -> None:
        """To stop, in the middle of a batch."""
        wait_until(lambda: self._number("told"), PATIENCE)

    def open_gate(self) -> None:
        self._connection.set(self._key("open"), 1)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self) -> tuple[int, str]:
        """Its exit code and what it printed that was not read yet."""
        printed, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, printed

    def kill(self) -> None:
        """Also what it started itself: the reloader's child."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def _number(self, name: str) -> int:
        return int(self._connection.get(self._key(name)) or 0)

    def _key(self, name: str) -> str:
        return f"{self._prefix}:gate:{name}"


@pytest.fixture
def start(
    redis_connection: redis.Redis, redis_url: str, prefix: str
) -> Iterator[Callable[..., Worker]]:
    started: list[Worker] = []

    def start_worker(*arguments: str, **others: Any) -> Worker:
        others = {"url": redis_url, **others}
        started.append(Worker(redis_connection, prefix, *arguments, **others))
        return started[-1]

    yield start_worker
    for worker in started:
        worker.kill()


@pytest.fixture
def courier(redis_connection: redis.Redis, prefix: str) -> Iterator[Any]:
    made = RedisClientWorkerTaskCourier(redis_connection, prefix=prefix)
    yield made
    made.close()


@pytest.mark.parametrize("command", ["runworker", "runtaskworker"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_ends_within_a_second(start, courier, command: str, number: int) -> None:
    # given a worker that waits for tasks
    worker = start(command, "gated")
    worker.wait_for_line("on queue gated starts")
    wait_until(lambda: courier.get_queue_stats("gated").workers, PATIENCE)
    # when it is asked to end
    worker.signal(number)
    stopwatch = Stopwatch()
    code, printed = worker.wait()
    # then it does, at once and cleanly
    assert stopwatch.seconds < AT_ONCE
    assert code == 0, printed
    assert f"stopped ({signal.Signals(number).name}): 0 tasks" in printed
    assert courier.get_queue_stats("gated").workers == []


@pytest.mark.parametrize("queue", QUEUES)
def test_a_signal_in_the_middle_of_a_batch_lets_it_finish(start, courier, queue: str) -> None:
    # given a worker in the middle of a batch
    task_ids = courier.bulk_add_tasks_to_queue(queue, range(3))
    worker = start("runworker", queue)
    worker.wait_until_taken(3)
    # when it is asked to end, and then the batch can
    worker.signal()
    worker.wait_until_told()
    later_id = courier.add_task_to_queue(queue, 4)
    worker.open_gate()
    code, printed = worker.wait()
    # then the batch has its results, and a later task was not taken
    assert code == 0, printed
    assert "stopped (SIGTERM): 3 tasks in 1 batch," in printed
    results = courier.bulk_wait_for_task_results(queue, task_ids, timeout=0)
    assert results[0] != worker.process.pid, "a child does it"
    assert results == [results[0]] * 3
    assert courier.get_task_status(queue, later_id) == TaskStatus.WAITING


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("alone", [True, False])
def test_what_a_signal_does_is_said_at_once(start, courier, alone: bool, number: int) -> None:
    # given a worker in the middle of a batch, in the command's process or under its supervisor
    courier.add_task_to_queue("gated", 1)
    worker = start("runworker", "gated", *(["--iterations", "9"] if alone else []))
    worker.wait_until_taken(1)
    # when it is asked to end
    worker.signal(number)
    # then it says what it waits for, before that comes
    name = signal.Signals(number).name
    line = worker.wait_for_line(f"{name}: ")
    assert "stops after the batch at hand" in line
    assert "a second one (Ctrl-C, SIGTERM) gives it back and stops now" in line
    worker.open_gate()
    code, printed = worker.wait()
    # and in the end it names the signal that came
    assert code == 0
    assert f"stopped ({name}): 1 task in 1 batch" in printed


@pytest.mark.parametrize("queue", QUEUES)
def test_a_second_signal_gives_the_batch_back(start, courier, queue: str) -> None:
    # given a worker in the middle of a batch that does not end, asked to end
    task_ids = courier.bulk_add_tasks_to_queue(queue, range(3))
    worker = start("runworker", queue)
    worker.wait_until_taken(3)
    worker.signal()
    worker.wait_until_told()
    # when it is asked again
    worker.signal(signal.SIGINT)
    stopwatch = Stopwatch()
    code, printed = worker.wait()
    # then it leaves now and says so
    assert stopwatch.seconds < AT_ONCE
    assert code == 128 + signal.SIGINT, printed
    assert "stopped (SIGINT in the middle of a batch, which goes back to the queue)" in printed
    assert "Traceback" not in printed
    # and the tasks can be taken at once
    assert {task_id for task_id, _ in courier.get_tasks(queue)} == set(task_ids)


def test_errors_are_one_line_and_exit_code_1(start) -> None:
    worker = start("runworker", "gate")
    code, printed = worker.wait()
    assert code == 1
    [line] = printed.splitlines()
    assert "there is no queue 'gate': did you mean 'gated'? known: bulk_data_saving, gated" in line


def test_a_store_that_is_away_at_the_start_is_waited_for_and_named(start, tmp_path) -> None:
    # given no Redis
    with RedisServer(tmp_path) as server:
        away = f"redis://127.0.0.1:{server.port}/0"
    # when a worker starts
    worker = start("runworker", "gated", url=away)
    code, printed = worker.wait()
    # then it says that it waits, and in the end that it gives up
    waiting, gave_up = [line for line in printed.splitlines() if "is it running" in line]
    assert "Waiting for the store: " in waiting
    assert gave_up.startswith("CommandError: ")
    assert code == 1


def test_reload_waits_for_code_that_can_be_loaded(start, tmp_path: Path) -> None:
    # given a worker under the reloader
    module = tmp_path / "changing" / "workers.py"
    module.parent.mkdir()
    (module.parent / "__init__.py").touch()
    half = "from task_helpers.workers.classic import *\n\n\nclass Worker(ClassicWorker):\n"
    whole = f"{half}    queue_name = 'changing'\n"
    module.write_text(whole)
    worker = start("runworker", "changing", "--reload", path=tmp_path, app="changing")
    worker.wait_for_line("on queue changing starts")
    # when a half of the module is saved
    said = in_thread(worker.wait_for_line, "cannot be imported: IndentationError: expected an")
    module.write_text(half)
    wait_until(lambda: save_again(module) or said.done(), PATIENCE)
    # then the error is said, and that the next change is waited for
    assert "changing.workers: " in said.result()
    in_thread(worker.wait_for_line, "waiting for the code to change").result(PATIENCE)
    # and when the rest is saved, the worker starts again
    said = in_thread(worker.wait_for_line, "on queue changing starts")
    module.write_text(whole)
    said.result(PATIENCE)
    # and ends when it is asked to
    worker.signal(signal.SIGTERM)
    assert worker.wait()[0] == 0


def save_again(module: Path) -> None:
    """The reloader says not when it begins to watch."""
    os.utime(module)


def test_reload_finishes_the_batch_when_it_is_asked_to_end(start, courier) -> None:
    # given a worker under the reloader, in the middle of a batch
    [task_id] = courier.bulk_add_tasks_to_queue("gated", [1])
    worker = start("runworker", "gated", "--reload")
    pid = int(worker.wait_for_line("on queue gated starts").partition("pid ")[2].partition(".")[0])
    worker.wait_until_taken(1)
    # when the process with the worker is asked to end
    os.kill(pid, signal.SIGTERM)
    worker.wait_until_told()
    worker.open_gate()
    code, printed = worker.wait()
    # then the task has its result
    assert code == 0, printed
    assert courier.wait_for_task_result("gated", task_id, timeout=0) == pid


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["to the reloader", "Ctrl-C"])
def test_the_reloader_lets_the_batch_finish_when_it_is_asked_to_end(
    start, courier, send: Callable[[int, int], None]
) -> None:
    # given a worker under the reloader, in the middle of a batch
    task_id = courier.add_task_to_queue("gated", 1)
    worker = start("runworker", "gated", "--reload")
    worker.wait_until_taken(1)
    # when the reloader is asked to end, or the terminal asks both processes
    send(worker.process.pid, signal.SIGTERM if send is os.kill else signal.SIGINT)
    worker.wait_until_told()
    worker.open_gate()
    code, printed = worker.wait()
    # then the task has its result
    assert code == 0, printed
    assert courier.check_for_done("gated", task_id), printed


@pytest.mark.parametrize("worn", [("--max-iterations", "1"), ("--max-rss", "1")])
def test_a_worn_process_is_replaced_between_batches(start, courier, worn: tuple[str, str]) -> None:
    # given a worker whose processes may do one batch each
    worker = start("runworker", "gated", "--batch-size", "1", *worn)
    worker.open_gate()
    # when three batches are to be done
    pids = [courier.call("gated", number, timeout=PATIENCE) for number in range(3)]
    # then three processes do them, and the command goes on
    assert len(set(pids)) == 3
    assert worker.process.poll() is None


def test_several_processes_share_the_work_of_one_command(start, courier) -> None:
    # given two processes, and two tasks that do not end
    worker = start("runworker", "gated", "--batch-size", "1", "--processes", "2")
    task_ids = courier.bulk_add_tasks_to_queue("gated", range(2))
    worker.wait_until_taken(2)
    # when they may
    worker.open_gate()
    # then each process did one
    assert len(set(courier.bulk_wait_for_task_results("gated", task_ids, timeout=PATIENCE))) == 2
    # and a stop ends both
    worker.signal()
    assert worker.wait()[0] == 0


@pytest.mark.parametrize("queue", QUEUES)
def test_a_child_that_somebody_stops_is_replaced(start, courier, queue: str) -> None:
    # given a worker, one of whose processes says who it is
    worker = start("runworker", queue, "--batch-size", "1")
    worker.open_gate()
    first = courier.call(queue, 1, timeout=PATIENCE)
    # when that process is told to end, by somebody who is not its supervisor
    os.kill(first, signal.SIGTERM)
    wait_until(lambda: not Path(f"/proc/{first}").exists(), PATIENCE)
    # then another one goes on
    assert courier.call(queue, 2, timeout=PATIENCE) != first
    assert worker.process.poll() is None


@pytest.mark.parametrize("queue", QUEUES)
def test_the_batch_of_a_killed_child_is_performed_again_at_once(start, courier, queue: str) -> None:
    # given a worker in the middle of a batch
    task_ids = courier.bulk_add_tasks_to_queue(queue, range(3))
    worker = start("runworker", queue)
    line = worker.wait_for_line(f"on queue {queue} starts")
    worker.wait_until_taken(3)
    # when its process is killed
    killed = int(line.partition("pid ")[2].partition(".")[0])
    os.kill(killed, signal.SIGKILL)
    # then another one performs the batch, long before its lease runs out
    stopwatch = Stopwatch()
    worker.open_gate()
    pids = courier.bulk_wait_for_task_results(queue, task_ids, timeout=PATIENCE)
    assert killed not in pids
    assert stopwatch.seconds < 15
    # and the dead one is listed no more
    [name] = wait_until(lambda: courier.get_queue_stats(queue).workers)
    assert f":{killed}:" not in name


def test_an_error_after_a_batch_is_no_failure_to_start(start, courier) -> None:
    # given a worker whose process dies of an error after each batch
    worker = start("runworker", "once")
    # when three batches are to be done
    pids = [courier.call("once", number, timeout=PATIENCE) for number in range(3)]
    # then three processes do them, and the command goes on
    assert len(set(pids)) == 3
    assert worker.process.poll() is None
