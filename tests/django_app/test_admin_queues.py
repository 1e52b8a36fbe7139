"""The admin's page of queues, over a real Redis."""

from __future__ import annotations

import copy
import re
import socket
from collections.abc import Iterator
from html import unescape
from typing import Any

import django
import pytest
import redis
from django.contrib import admin
from django.contrib.auth.models import AbstractUser, Permission, User
from django.core.management import call_command
from django.test import Client
from django.urls import path, reverse

from django_task_helpers import couriers
from django_task_helpers.admin import QueueAdmin
from django_task_helpers.admin.overview import human_age
from django_task_helpers.models import Queue
from tests.support.waiting import Stopwatch

pytestmark = pytest.mark.django_db

PAGE = "/admin/django_task_helpers/queue/"
REDIS = "task_helpers.couriers.redis.RedisClientWorkerTaskCourier"


class OtherSite(admin.AdminSite):
    site_header = "The other site"


other_site = OtherSite(name="other")
other_site.register(Queue, QueueAdmin)
urlpatterns = [path("admin/", admin.site.urls), path("other/", other_site.urls)]


# --- Given


@pytest.fixture
def dead_url() -> Iterator[str]:
    """The URL of a Redis that refuses connections."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"redis://127.0.0.1:{reserved.getsockname()[1]}/0"


@pytest.fixture
def silent_url() -> Iterator[str]:
    """The URL of a Redis that takes connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    """Every test makes a user, and a password is slow to hash by design."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def configure(settings: Any, redis_url: str, prefix: str) -> Iterator[Any]:
    """Sets TASK_HELPERS: the courier "default" on the test's Redis, others by their URLs."""

    def set_queues(queues: dict[str, str], **urls: str) -> None:
        settings.ROOT_URLCONF = __name__
        settings.TASK_HELPERS = {
            "COURIERS": {
                alias: {"BACKEND": REDIS, "LOCATION": url, "OPTIONS": {"prefix": prefix}}
                for alias, url in {"default": redis_url, **urls}.items()
            },
            "QUEUES": {name: {"COURIER": alias} for name, alias in queues.items()},
        }

    yield set_queues
    couriers.close_all()


def log_in(client: Client, *codenames: str, is_staff: bool = True) -> AbstractUser:
    user = User.objects.create_user("olga", password="x", is_staff=is_staff)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return user


def fill(queue: str, connection: redis.Redis, prefix: str) -> None:
    """Puts 1 task among the dead, 2 into a worker's hands, 3 in line, 4 on a later date."""
    courier = couriers["default"]
    spoilt = courier.add_task_to_queue(queue, None)
    connection.hset(f"{prefix}:{{{queue}}}:m", spoilt.bytes, b"no envelope")
    assert courier.get_tasks(queue) == []
    courier.bulk_add_tasks_to_queue(queue, ["running"] * 2)
    assert len(courier.get_tasks(queue)) == 2
    courier.renew_leases(queue, "worker-a")
    courier.bulk_add_tasks_to_queue(queue, ["waiting"] * 3)
    courier.bulk_add_tasks_to_queue(queue, ["delayed"] * 4, delay=3600)


# --- When


def table(html: str) -> dict[str, list[str]]:
    """The texts of the cells behind the name of each queue."""
    body = html.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = (re.findall(r"<t[hd].*?</t[hd]>", row, re.S) for row in body.split("</tr>")[:-1])
    texts = ([text_of(cell) for cell in cells] for cells in rows)
    return {name: cells for name, *cells in texts}


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def problems(html: str) -> list[str]:
    return [text_of(note) for note in re.findall(r'<p class="errornote">.*?</p>', html, re.S)]


def get_page(client: Client, address: str = PAGE) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


# --- Then: numbers


def test_a_row_has_the_numbers_of_its_queue(
    admin_client: Client, configure: Any, redis_connection: redis.Redis, prefix: str
) -> None:
    # given one queue with tasks in every state, and an empty one
    configure({"mail": "default", "idle": "default"})
    fill("mail", redis_connection, prefix)
    # when the page is read
    rows = table(get_page(admin_client))
    # then each row says what is in its queue: courier, waiting, oldest, running, delayed, dead,
    # and what became of others: done, failed, expired, cancelled, drain rate
    now = ["default", "3", "0 s", "2", "4", "1"]
    assert rows["mail"] == [*now, "0", "1", "0", "0", "–", "1 worker-a"]
    assert rows["idle"] == ["default", "0", "–", *"000", *"0000", "–", "none"]


def test_a_row_says_how_fast_a_backlog_is_worked_off(admin_client: Client, configure: Any) -> None:
    # given a worker that has more to do than it takes
    configure({"mail": "default"})
    courier = couriers["default"]
    courier.bulk_add_tasks_to_queue("mail", range(401))
    for _ in range(40):
        courier.bulk_return_task_results("mail", courier.get_tasks("mail", 10))
    # then the row says what it has done, and how many of these a second
    *_, done, failed, expired, cancelled, rate, _ = table(get_page(admin_client))["mail"]
    assert (done, failed, expired, cancelled) == ("400", "0", "0", "0")
    assert re.fullmatch(r"[\d,.]+/s", rate)


def test_queues_of_worker_classes_are_known_too(admin_client: Client, configure: Any) -> None:
    # given no queue in the settings, and the class BulkSaveWorker in shop/workers.py
    configure({})
    assert "bulk_data_saving" in table(get_page(admin_client))


def test_waiting_tasks_without_a_worker_stand_out(admin_client: Client, configure: Any) -> None:
    configure({"mail": "default"})
    couriers["default"].add_task_to_queue("mail", 1)
    assert '<td class="workers alarm">' in get_page(admin_client)


def test_without_any_queue_the_page_says_what_to_do(
    admin_client: Client, configure: Any, settings: Any
) -> None:
    configure({})
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "shop"]
    html = get_page(admin_client, "/other/django_task_helpers/queue/")
    assert "<table" not in html.partition('id="content-main"')[2]
    assert "No queues are known yet" in html


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (3.9, "3 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (7_300, "2 h"),
        (86_400 * 4 + 1, "4 d"),
    ],
)
def test_ages_are_for_people(seconds: float, text: str) -> None:
    assert human_age(seconds) == text


def test_a_row_costs_the_same_however_long_its_queue_is(
    admin_client: Client, configure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a queue with one task, and a note of everything that is sent to Redis
    configure({"mail": "default"})
    courier = couriers["default"]
    courier.add_task_to_queue("mail", 0)
    get_page(admin_client)  # asks for Redis' clock, which the next ones know
    sent: list[Any] = []
    perform = courier._perform
    monkeypatch.setattr(
        courier, "_perform", lambda effect: (sent.append(effect), perform(effect))[1]
    )
    get_page(admin_client)
    short = names(sent)
    # when the queue is a thousand times as long
    courier.bulk_add_tasks_to_queue("mail", range(1_000))
    sent.clear()
    get_page(admin_client)
    # then no more is asked
    assert names(sent) == short


def names(sent: list[Any]) -> list[Any]:
    return [command[0] for effect in sent for command in effect.commands]


# --- Then: rights


def test_who_is_not_logged_in_is_sent_to_the_login(client: Client, configure: Any) -> None:
    configure({"mail": "default"})
    response = client.get(PAGE)
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


def test_who_is_no_staff_is_sent_to_the_login(client: Client, configure: Any) -> None:
    configure({"mail": "default"})
    log_in(client, "view_queue", is_staff=False)
    assert client.get(PAGE).status_code == 302


@pytest.mark.parametrize("codenames", [(), ("change_queue", "delete_queue"), ("view_product",)])
def test_staff_without_the_permission_may_not_see_it(
    client: Client, configure: Any, codenames: tuple[str, ...]
) -> None:
    configure({"mail": "default"})
    log_in(client, *codenames)
    assert client.get(PAGE).status_code == 403
    assert PAGE not in client.get("/admin/").content.decode()


def test_staff_with_the_permission_see_it_and_no_buttons(client: Client, configure: Any) -> None:
    # given somebody with view_queue, or with everything
    configure({"mail": "default"})
    log_in(client, "view_queue", "change_queue", "delete_queue")
    # when the index and the page are read, then the page is offered and nothing else
    assert f'href="{PAGE}"' in client.get("/admin/").content.decode()
    html = get_page(client)
    assert "mail" in table(html)
    assert "addlink" not in html
    assert "deletelink" not in html


@pytest.mark.parametrize("address", ["add/", "mail/change/", "mail/delete/", "mail/history/"])
def test_there_are_no_forms(admin_client: Client, configure: Any, address: str) -> None:
    configure({"mail": "default"})
    assert admin_client.get(PAGE + address).status_code == 404


def test_the_page_is_only_read(admin_client: Client, configure: Any) -> None:
    configure({"mail": "default"})
    assert admin_client.post(PAGE, {"action": "delete_selected"}).status_code == 405


# --- Then: when something is broken


def test_a_dead_redis_is_a_page_that_says_so(
    admin_client: Client, configure: Any, dead_url: str
) -> None:
    # given two queues behind a Redis that is away, and one behind a Redis that is there
    configure({"a": "lost", "b": "default", "c": "lost"}, lost=dead_url)
    couriers["default"].add_task_to_queue("b", 1)
    # when the page is read
    watch = Stopwatch()
    html = get_page(admin_client)
    # then it comes soon, names courier and address once, and the other queue has its numbers
    assert watch.seconds < 1.8
    [problem] = problems(html)
    assert problem.startswith("Courier “lost” gives no numbers: Redis at 127.0.0.1:")
    rows = table(html)
    assert rows["a"] == rows["c"] == ["lost", "unknown"]
    assert rows["b"][1] == "1"


def test_a_silent_redis_is_given_up_soon(
    admin_client: Client, configure: Any, silent_url: str
) -> None:
    configure({"a": "lost", "b": "lost", "c": "default"}, lost=silent_url)
    watch = Stopwatch()
    html = get_page(admin_client)
    assert watch.seconds < 2
    assert len(problems(html)) == 1
    assert table(html)["c"][1] == "0"


def test_an_error_of_one_queue_is_told_of_that_queue(
    admin_client: Client, configure: Any, redis_connection: redis.Redis, prefix: str
) -> None:
    # given a queue whose key holds something else
    configure({"bad": "default", "good": "default"})
    redis_connection.set(f"{prefix}:{{bad}}:l", "not ours")
    html = get_page(admin_client)
    [problem] = problems(html)
    assert problem.startswith("Queue “bad” of courier “default” could not be read: ")
    rows = table(html)
    assert rows["bad"] == ["default", "unknown"]
    assert rows["good"][1] == "0"


def test_broken_settings_are_told_and_the_other_queues_shown(
    admin_client: Client, configure: Any, settings: Any
) -> None:
    # given a queue whose worker cannot be imported, as on a host that lacks what it needs
    configure({"mail": "default"})
    queues = settings.TASK_HELPERS["QUEUES"] | {"models": {"WORKER": "missing.Worker"}}
    settings.TASK_HELPERS = settings.TASK_HELPERS | {"QUEUES": queues}
    html = get_page(admin_client)
    [problem] = problems(html)
    assert problem.startswith("Not all queues can be shown: ")
    assert "missing" in problem
    assert table(html).keys() == {"mail", "models"}


def test_an_unusable_courier_is_told(admin_client: Client, configure: Any) -> None:
    configure({"mail": "default", "lost": "odd"}, odd="nonsense://")
    html = get_page(admin_client)
    [problem] = problems(html)
    assert problem.startswith("Courier “odd” gives no numbers: ")
    assert table(html)["mail"][1] == "0"


# --- Then: what is sent to the browser


def test_names_are_escaped(admin_client: Client, configure: Any) -> None:
    # given a worker and an error that contain markup
    evil = "<script>alert(1)</script>"
    configure({"mail": "default", "lost": "odd"}, odd=f"redis://{evil}:x/0")
    couriers["default"].renew_leases("mail", evil)
    html = get_page(admin_client)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_nothing_is_inline(admin_client: Client, configure: Any, dead_url: str) -> None:
    """So that the strictest Content-Security-Policy lets the page work."""
    configure({"mail": "default", "lost": "lost"}, lost=dead_url)
    html = get_page(admin_client)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html, re.I)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", html))


@pytest.mark.skipif(django.VERSION < (6, 0), reason="Django has nonces since 6.0")
def test_the_style_sheet_carries_the_nonce_of_the_policy(
    admin_client: Client, configure: Any, settings: Any
) -> None:
    configure({"mail": "default"})
    settings.SECURE_CSP = {"style-src": ["<CSP_NONCE_SENTINEL>"]}
    settings.MIDDLEWARE = [
        "django.middleware.csp.ContentSecurityPolicyMiddleware",
        *settings.MIDDLEWARE,
    ]
    templates = copy.deepcopy(settings.TEMPLATES)
    templates[0]["OPTIONS"]["context_processors"].append("django.template.context_processors.csp")
    settings.TEMPLATES = templates
    response = admin_client.get(PAGE)
    [nonce] = re.findall("'nonce-(.*)'", response["Content-Security-Policy"])
    assert f'queues.css" nonce="{nonce}"' in response.content.decode()


def test_the_table_is_accessible(admin_client: Client, configure: Any) -> None:
    configure({"mail": "default"})
    html = get_page(admin_client).partition('id="content-main"')[2]
    assert "<caption" in html
    assert len(re.findall(r'<th scope="col"', html)) == 13
    assert '<th scope="row">mail</th>' in html


def test_a_site_of_ones_own_shows_the_page_in_its_own_frame(
    admin_client: Client, configure: Any
) -> None:
    configure({"mail": "default"})
    html = get_page(admin_client, "/other/django_task_helpers/queue/")
    assert "The other site" in html
    assert 'href="/other/"' in html
    assert 'href="/admin/' not in html
    assert reverse("admin:django_task_helpers_queue_changelist", current_app="other") in html


# --- Then: the model without a table


def test_the_model_has_permissions_and_its_migration_is_complete() -> None:
    codenames = Permission.objects.filter(content_type__model="queue").values_list("codename")
    assert {name for (name,) in codenames} == {"view_queue", "change_queue", "delete_queue"}
    call_command("makemigrations", "django_task_helpers", check=True, dry_run=True, verbosity=0)


@pytest.mark.parametrize("use_base_manager", [False, True])
def test_a_dump_of_the_database_passes_it_by(
    use_base_manager: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("dumpdata", "django_task_helpers", use_base_manager=use_base_manager)
    assert capsys.readouterr().out.strip() == "[]"
