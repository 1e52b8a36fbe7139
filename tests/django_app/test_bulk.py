"""The ready workers: rows created, changed and read for many callers at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import connection
from django.db.models import Value
from django.db.models.functions import Upper
from django.test.utils import CaptureQueriesContext, isolate_apps

from django_task_helpers import courier as django_courier
from django_task_helpers.bulk import BulkCreateWorker, BulkGetWorker, BulkUpdateWorker
from django_task_helpers.workers import build_worker
from shop.models import Product
from task_helpers.couriers.memory import MemoryClientWorkerTaskCourier
from task_helpers.couriers.redis import RedisClientWorkerTaskCourier
from task_helpers.testing import run_queue

Q = "rows"

pytestmark = pytest.mark.django_db


class SaveGroups(BulkCreateWorker):
    """Names are unique, and not empty."""

    queue_name = Q
    model = Group
    fields = ("id", "name")


class SaveUsers(BulkCreateWorker):
    queue_name = Q
    model = User
    fields = ("username", "first_name", "email")
    unique_fields = ("username",)
    validate = False


class ChangeGroups(BulkUpdateWorker):
    queue_name = Q
    model = Group
    fields = ("id", "name")


class ChangeProducts(BulkUpdateWorker):
    queue_name = Q
    model = Product
    fields = ("pk", "name", "price")


class GetGroups(BulkGetWorker):
    queue_name = Q
    model = Group
    fields = ("id", "name")


@pytest.fixture
def courier() -> MemoryClientWorkerTaskCourier:
    return MemoryClientWorkerTaskCourier()


Results = Callable[..., list[Any]]


@pytest.fixture
def results_of(courier: Any) -> Results:
    """Performs tasks in one batch; how they ended."""

    def perform(kind: Any, tasks_data: list[Any], **fields: Any) -> list[Any]:
        task_ids = courier.bulk_add_tasks_to_queue(Q, tasks_data)
        run_queue(courier, kind, **fields)
        return courier.bulk_wait_for_task_results(Q, task_ids, timeout=0, return_exceptions=True)

    return perform


def statements(queries: CaptureQueriesContext, verb: str) -> int:
    return sum(query["sql"].startswith(verb) for query in queries)


def groups(count: int) -> list[dict[str, Any]]:
    return [{"name": f"group {number}"} for number in range(count)]


# --- Creating


def test_each_caller_gets_its_own_row_of_one_insert(results_of: Results) -> None:
    with CaptureQueriesContext(connection) as queries:
        results = results_of(SaveGroups, groups(50))
    assert statements(queries, "INSERT") == 1
    assert results == list(Group.objects.order_by("pk").values("id", "name"))
    assert [row["name"] for row in results] == [data["name"] for data in groups(50)]


def test_what_validation_refuses_fails_alone_and_costs_no_query(results_of: Results) -> None:
    with CaptureQueriesContext(connection) as queries:
        first, blank, odd, wrong, last = results_of(
            SaveGroups, [{"name": "a"}, {"name": ""}, {"colour": "red"}, 5, {"name": "b"}]
        )
    assert (first["name"], last["name"]) == ("a", "b")
    assert blank.exception_type == "ValidationError"
    assert blank.message == "{'name': ['This field cannot be blank.']}"
    assert (odd.exception_type, wrong.exception_type) == ("TypeError", "TypeError")
    assert "colour" in odd.message
    assert statements(queries, "INSERT") == 1
    assert statements(queries, "SELECT") == 0


def test_a_batch_without_a_valid_row_asks_the_database_nothing(results_of: Results) -> None:
    with CaptureQueriesContext(connection) as queries:
        [blank] = results_of(SaveGroups, [{"name": ""}])
    assert blank.exception_type == "ValidationError"
    assert len(queries) == 0


def test_validation_can_be_left_out_or_be_another(results_of: Results) -> None:
    class Strict(SaveGroups):
        def clean(self, instance: Any, exclude: Any) -> None:
            instance.full_clean(exclude)
            if instance.name == "staff":
                raise ValidationError("reserved")

    assert results_of(SaveGroups, [{"name": ""}], validate=False)[0]["name"] == ""
    twice, staff = results_of(Strict, [{"name": ""}, {"name": "staff"}])
    assert "cannot be blank" in twice.message
    assert staff.message == "['reserved']"


@pytest.mark.django_db(transaction=True)
def test_three_bad_rows_of_500_fail_alone(redis_connection: Any, prefix: str) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    # given 500 callers, three of whom want what a row of the table has already
    data = groups(500)
    bad = set(random.Random(seed).sample(range(500), 3))
    Group.objects.bulk_create(Group(**data[number]) for number in bad)
    courier = RedisClientWorkerTaskCourier(redis_connection, prefix=prefix)
    task_ids = courier.bulk_add_tasks_to_queue(Q, data)
    # when a worker saves them in one batch
    with CaptureQueriesContext(connection) as queries:
        run_queue(courier, SaveGroups, max_tasks_per_iteration=500)
    # then 497 have their rows, and three their own errors
    results = courier.bulk_wait_for_task_results(Q, task_ids, timeout=0, return_exceptions=True)
    errors = {number: results[number] for number in bad}
    assert {error.exception_type for error in errors.values()} == {"IntegrityError"}
    assert [errors[number].task_id for number in bad] == [task_ids[number] for number in bad]
    rows = {row["name"]: row for row in Group.objects.values("id", "name")}
    assert len(rows) == 500
    for number in set(range(500)) - bad:
        assert results[number] == rows[f"group {number}"]
    # and it took fewer statements than two for each halving and bad row
    assert statements(queries, "INSERT") <= 54


@pytest.mark.django_db(transaction=True)
def test_a_row_that_is_refused_at_the_commit_fails_alone(results_of: Results) -> None:
    # given a foreign key to nothing, which databases notice when the transaction ends
    class SavePermissions(BulkCreateWorker):
        queue_name = Q
        model = Permission
        fields = ("codename", "content_type")

    content_type = ContentType.objects.create(app_label="shop", model="shelf")
    data = [
        {"codename": "a", "name": "A", "content_type_id": content_type.pk},
        {"codename": "b", "name": "B", "content_type_id": 10**6},
        {"codename": "c", "name": "C", "content_type_id": content_type.pk},
    ]
    # when the rows are saved
    first, refused, last = results_of(SavePermissions, data)
    # then
    assert first == {"codename": "a", "content_type": content_type.pk}
    assert last == {"codename": "c", "content_type": content_type.pk}
    assert refused.exception_type == "IntegrityError"
    assert set(Permission.objects.filter(codename__in="abc").values_list("codename")) == {
        ("a",),
        ("c",),
    }


def test_a_result_that_cannot_be_made_takes_its_row_along(results_of: Results) -> None:
    class Shy(SaveGroups):
        def result(self, instance: Any) -> Any:
            return {"length": 6 // len(instance.name)}

    one, none, three = results_of(
        Shy, [{"name": "abc"}, {"name": ""}, {"name": "ab"}], validate=False
    )
    assert (one, three) == ({"length": 2}, {"length": 3})
    assert none.exception_type == "ZeroDivisionError"
    assert set(Group.objects.values_list("name", flat=True)) == {"abc", "ab"}


def test_without_fields_a_result_shows_all_columns(results_of: Results) -> None:
    class SaveProducts(BulkCreateWorker):
        queue_name = Q
        model = Product

    [row] = results_of(SaveProducts, [{"name": "tomato", "price": "12.45"}])
    assert row == Product.objects.values().get()


def test_values_are_shown_as_they_are_read_back(results_of: Results) -> None:
    # given a key, a price and a time as texts
    content_type = ContentType.objects.create(app_label="shop", model="shelf")
    [permission] = results_of(
        BulkCreateWorker,
        [{"codename": "a", "name": "A", "content_type_id": str(content_type.pk)}],
        queue_name=Q,
        model=Permission,
    )
    [product] = results_of(
        BulkCreateWorker,
        [{"name": "leek", "price": "2.50"}],
        queue_name=Q,
        model=Product,
        validate=False,
    )
    [user] = results_of(
        SaveUsers,
        [{"username": "ann", "last_login": "2026-11-01T12:00:00Z"}],
        unique_fields=None,
        fields=["username", "last_login"],
    )
    # when they are saved, then each caller has the values of its row, and not the texts
    assert permission == Permission.objects.filter(codename="a").values().get()
    assert type(permission["content_type_id"]) is int
    assert repr(product["price"]) == "Decimal('2.50')"
    assert user == User.objects.values("username", "last_login").get()


def test_a_row_with_an_expression_is_shown_by_who_knows_it(results_of: Results) -> None:
    # given a row whose name the database makes, and a result that looks at it
    class Shouting(SaveGroups):
        def instance(self, task_data: Any) -> Any:
            return Group(name=Upper(Value(task_data)))

        def result(self, instance: Any) -> Any:
            return type(super().result(instance)["name"]).__name__

    # when it is saved, then the expression is no value that could not be read
    assert results_of(Shouting, ["leek"], validate=False) == ["Upper"]
    assert Group.objects.get().name == "LEEK"


@pytest.mark.parametrize("given", [datetime(2026, 11, 1, 12), "2026-11-01 12:00"], ids=str)
@pytest.mark.filterwarnings("ignore:DateTimeField .* received a naive datetime")
def test_a_time_without_a_zone_finds_its_row(results_of: Results, given: Any) -> None:
    # given a key that the database keeps with a zone
    [row] = results_of(
        SaveUsers,
        [{"username": "ann", "last_login": given}],
        unique_fields=["username", "last_login"],
        fields=["username", "last_login"],
    )
    # when it was given without one, then its row is found
    assert row == User.objects.values("username", "last_login").get()


def test_a_model_may_be_named_by_its_label(results_of: Results) -> None:
    [row] = results_of(BulkCreateWorker, groups(1), queue_name=Q, model="auth.Group")
    assert row == Group.objects.values().get()


def test_a_worker_may_be_settings_alone(on_memory: Any) -> None:
    # given a queue whose worker is one of ours, with the model in its options
    options = {"model": "auth.Group", "fields": ["name"]}
    worker = "django_task_helpers.bulk.BulkCreateWorker"
    on_memory({Q: {"WORKER": worker, "OPTIONS": options}})
    task_id = django_courier.add_task_to_queue(Q, {"name": "a"})
    # when it is run as the command runs it
    build_worker(Q, burst=True).perform()
    # then it saves
    assert django_courier.get_task_result(Q, task_id) == {"name": "a"}


# --- Creating what is there already


def test_updated_conflicts_give_the_row_as_it_is_afterwards(results_of: Results) -> None:
    # given a user, and tasks of whom several mean the same one
    User.objects.create(username="ann", first_name="Ann", email="old@ann")
    data = [
        {"username": "ann", "first_name": "A.", "email": "new@ann"},
        {"username": "bob", "first_name": "Bob", "email": "1@bob"},
        {"username": "bob", "first_name": "B.", "email": "2@bob"},
        {"username": "cleo", "first_name": "Cleo", "email": "1@cleo"},
        {"username": "bob", "first_name": "b", "email": "3@bob"},
    ]
    # when they are saved in one batch, updating only the email
    with CaptureQueriesContext(connection) as queries:
        results = results_of(SaveUsers, data, update_conflicts=True, update_fields=["email"])
    # then they were saved as if in their order, and each caller has the row that is there
    ann = {"username": "ann", "first_name": "Ann", "email": "new@ann"}
    bob = {"username": "bob", "first_name": "Bob", "email": "3@bob"}
    cleo = {"username": "cleo", "first_name": "Cleo", "email": "1@cleo"}
    assert results == [ann, bob, bob, cleo, bob]
    assert list(User.objects.order_by("pk").values(*ann)) == [ann, bob, cleo]
    # and no INSERT had a user twice
    assert statements(queries, "INSERT") == 3


def test_ignored_conflicts_give_the_row_that_was_there(results_of: Results) -> None:
    User.objects.create(username="ann", email="old@ann")
    results = results_of(
        SaveUsers,
        [
            {"username": name, "email": f"{n}@{name}"}
            for n, name in enumerate(["ann", "bob", "bob"])
        ],
        ignore_conflicts=True,
    )
    assert [row["email"] for row in results] == ["old@ann", "1@bob", "1@bob"]


@pytest.mark.parametrize("conflicts", ["update_conflicts", "ignore_conflicts"])
def test_workers_save_the_same_rows_in_the_same_order(results_of: Results, conflicts: str) -> None:
    # given that PostgreSQL locks the rows of an INSERT one after the other
    saved = []

    class Noting(SaveUsers):
        update_fields = ("email",)

        def save(self, instances: Any) -> None:
            saved.append([user.username for user in instances])
            super().save(instances)

    # when tasks come in any order, then rows are saved in the order of their keys
    data = [{"username": name} for name in "cabb"]
    results = results_of(Noting, data, **{conflicts: True})
    assert "".join(saved[0]) in ("abc", "abbc")
    assert [row["username"] for row in results] == ["c", "a", "b", "b"]


def test_a_row_that_could_not_be_read_back_is_not_saved(results_of: Results) -> None:
    results = results_of(
        SaveUsers,
        [{"username": "ann"}, {"username": "bob", "last_login": "2026-11-01T12:00:00Z"}],
        unique_fields=["username", "last_login"],
    )
    assert "username and last_login must not be None" in results[0].message
    assert results[1]["username"] == "bob"
    assert [user.username for user in User.objects.all()] == ["bob"]


def test_a_row_lost_to_another_conflict_says_so(results_of: Results) -> None:
    content_type = ContentType.objects.create(app_label="shop", model="shelf")
    [lost, found] = results_of(
        BulkCreateWorker,
        [
            {"id": content_type.pk, "app_label": "shop", "model": "box"},
            {"app_label": "shop", "model": "shelf"},
        ],
        queue_name=Q,
        model=ContentType,
        unique_fields=["app_label", "model"],
        ignore_conflicts=True,
    )
    assert lost.exception_type == "IntegrityError"
    assert "no row with its app_label and model: it conflicts with another one" in lost.message
    assert found["id"] == content_type.pk


# --- How they are set up


@pytest.mark.parametrize(
    ("kind", "fields", "complaint"),
    [
        (BulkCreateWorker, {}, "set model of BulkCreateWorker"),
        (
            BulkCreateWorker,
            {"model": "shop.Shelf"},
            "model of BulkCreateWorker: App 'shop' doesn't",
        ),
        (BulkCreateWorker, {"model": "shelf"}, "model of BulkCreateWorker"),
        (SaveGroups, {"fields": ["colour"]}, "auth.Group has no column 'colour'"),
        (SaveGroups, {"fields": ["permissions"]}, "auth.Group has no column 'permissions'"),
        (SaveGroups, {"using": "replica"}, "there is no database 'replica'"),
        (SaveGroups, {"unique_fields": ["colour"]}, "no column 'colour'"),
        (SaveGroups, {"ignore_conflicts": True}, "need unique_fields"),
        (SaveUsers, {"update_conflicts": True}, "needs update_fields"),
        (SaveUsers, {"update_conflicts": True, "ignore_conflicts": True}, "choose one"),
        (GetGroups, {"lookup_field": "colour"}, "no column 'colour'"),
        (SaveGroups, {"on_batch_error": "halve"}, "on_batch_error must be one of"),
    ],
    ids=str,
)
def test_what_cannot_work_is_said_before_it_starts(
    courier: Any, kind: Any, fields: Any, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        kind(courier, **{"queue_name": Q, "burst": True, **fields}).perform()


def test_a_database_that_returns_no_keys_is_said_at_the_start(
    courier: Any, results_of: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a database like MySQL
    features = type(connection.features)
    monkeypatch.setattr(features, "can_return_rows_from_bulk_insert", False)
    # when a worker starts that could not answer, then it says what to do
    with pytest.raises(ImproperlyConfigured, match="returns no keys from a bulk insert: give"):
        SaveGroups(courier, burst=True).perform()
    # but not where the rows can be read back
    [row] = results_of(SaveGroups, groups(1), unique_fields=["name"])
    assert row == Group.objects.values().get()


@isolate_apps("shop")
def test_a_model_with_rows_in_several_tables_is_refused_at_the_start() -> None:
    # given a model that extends another one
    class Crate(Product):
        class Meta:
            app_label = "shop"

    class SaveCrates(BulkCreateWorker):
        queue_name = Q
        model = Crate

    class SaveThemOneByOne(SaveCrates):
        def save(self, instances: Any) -> None:
            for instance in instances:
                instance.save()

    # when a worker is to fill its two tables by one INSERT, then it says so at the start
    with pytest.raises(ImproperlyConfigured, match=r"shop\.Crate has rows in several tables"):
        SaveCrates(django_courier, burst=True).perform()
    # but not where it has a way of its own
    SaveThemOneByOne(django_courier).setup()


@isolate_apps("shop")
def test_a_proxy_of_a_model_has_rows_in_one_table(results_of: Results) -> None:
    class Vegetable(Product):
        class Meta:
            app_label = "shop"
            proxy = True

    [row] = results_of(
        BulkCreateWorker, [{"name": "leek", "price": 1}], queue_name=Q, model=Vegetable
    )
    assert row == Product.objects.values().get()


# --- Changing


@pytest.fixture
def abc() -> list[int]:
    """The ids of the groups a, b and c."""
    Group.objects.bulk_create(Group(name=name) for name in "abc")
    return list(Group.objects.order_by("name").values_list("pk", flat=True))


def names(ids: list[int]) -> list[str]:
    return [Group.objects.get(pk=pk).name for pk in ids]


def test_many_rows_are_changed_by_two_statements(results_of: Results, abc: list[int]) -> None:
    with CaptureQueriesContext(connection) as queries:
        results = results_of(ChangeGroups, [{"pk": pk, "name": f"group {pk}"} for pk in abc])
    assert results == [{"id": pk, "name": f"group {pk}"} for pk in abc]
    assert results == list(Group.objects.order_by("pk").values("id", "name"))
    assert (statements(queries, "SELECT"), statements(queries, "UPDATE")) == (1, 1)


def test_changes_of_one_row_are_made_in_their_order(results_of: Results, abc: list[int]) -> None:
    a = abc[0]
    data = [{"pk": a, "name": "first"}, {"pk": a, "name": "second"}, {"pk": str(a)}]
    assert results_of(ChangeGroups, data) == [{"id": a, "name": "second"}] * 3
    assert names(abc) == ["second", "b", "c"]


def test_changes_that_cannot_be_made_fail_alone(results_of: Results, abc: list[int]) -> None:
    a, b, _ = abc
    data = [
        {"pk": 0, "name": "nobody"},
        {"pk": a, "name": "A"},
        {"pk": a, "name": ""},
        {"pk": a, "colour": "red"},
        {"pk": a, "id": 7},
        {"pk": "?", "name": "x"},
        {"name": "x"},
        "x",
        {"pk": b, "name": "B"},
    ]
    results = results_of(ChangeGroups, data)
    assert [getattr(error, "exception_type", error) for error in results] == [
        "Group.DoesNotExist",
        {"id": a, "name": "A"},
        "ValidationError",
        "ValueError",
        "ValueError",
        "ValidationError",
        "ValueError",
        "ValueError",
        {"id": b, "name": "B"},
    ]
    assert results[0].message == "auth.Group 0 is not there"
    assert names(abc) == ["A", "B", "c"]


def test_a_change_that_the_database_refuses_fails_alone(
    results_of: Results, abc: list[int]
) -> None:
    a, b, _ = abc
    data = [{"pk": a, "name": "x"}, {"pk": b, "name": "c"}, {"pk": a, "name": "y"}]
    first, refused, last = results_of(ChangeGroups, data)
    assert refused.exception_type == "IntegrityError"
    assert (first["name"], last["name"]) == ("x", "y")
    assert names(abc) == ["y", "b", "c"]


def test_only_what_is_changed_is_validated(results_of: Results) -> None:
    # given a row with an old value that is not valid
    product = Product.objects.create(name="", price=1)
    # when another value is changed, then it is as valid as its field demands
    good, bad = results_of(
        ChangeProducts, [{"pk": product.pk, "price": "2.50"}, {"pk": product.pk, "price": -1}]
    )
    product.refresh_from_db()
    assert good == {"pk": product.pk, "name": "", "price": product.price}
    assert str(product.price) == "2.50"
    assert "price" in bad.message


def test_fields_with_auto_now_are_changed_too(results_of: Results, stamped: Any) -> None:
    # given a row that was changed a long time ago
    row = stamped.objects.create(name="a")
    stamped.objects.update(changed_at="2000-01-01T00:00:00Z")
    # when it is changed
    [result] = results_of(
        BulkUpdateWorker, [{"pk": str(row.pk), "name": "b"}], queue_name=Q, model=stamped
    )
    # then it says when
    row.refresh_from_db()
    assert row.changed_at.year > 2000
    assert result == {"id": row.pk, "name": "b", "changed_at": row.changed_at}


# --- Reading


def test_rows_that_many_want_are_read_once(results_of: Results, abc: list[int]) -> None:
    a, b, _ = abc
    with CaptureQueriesContext(connection) as queries:
        results = results_of(GetGroups, [a, b, a, str(a)])
    assert [row["name"] for row in results] == ["a", "b", "a", "a"]
    assert len(queries) == 1


def test_keys_without_a_row_fail_alone(results_of: Results, abc: list[int]) -> None:
    missing, a, odd, none = results_of(GetGroups, [0, abc[0], "?", None])
    assert (missing.exception_type, missing.message) == (
        "Group.DoesNotExist",
        "no row of auth.Group has this key",
    )
    assert a == {"id": abc[0], "name": "a"}
    assert odd.exception_type == "ValidationError"
    assert none.exception_type == "Group.DoesNotExist"


def test_rows_are_found_by_another_column(results_of: Results) -> None:
    Product.objects.bulk_create(Product(name=name, price=1) for name in ["leek", "beet", "beet"])
    leek, beet = results_of(
        BulkGetWorker, ["leek", "beet"], queue_name=Q, model=Product, lookup_field="name"
    )
    assert leek == Product.objects.values().get(name="leek")
    assert beet.exception_type == "Product.MultipleObjectsReturned"


def test_what_is_read_and_shown_can_be_another(results_of: Results) -> None:
    # given rows with foreign keys
    class GetPermissions(BulkGetWorker):
        queue_name = Q
        model = Permission
        lookup_field = "codename"

        def queryset(self) -> Any:
            return super().queryset().select_related("content_type").exclude(codename="c")

        def result(self, instance: Any) -> Any:
            return [instance.name, instance.content_type.model]

    content_type = ContentType.objects.create(app_label="shop", model="shelf")
    Permission.objects.bulk_create(
        Permission(codename=name, name=name.upper(), content_type=content_type) for name in "abc"
    )
    # when they are read
    with CaptureQueriesContext(connection) as queries:
        a, b, c = results_of(GetPermissions, ["a", "b", "c"])
    # then one query was enough
    assert (a, b) == (["A", "shelf"], ["B", "shelf"])
    assert c.exception_type == "Permission.DoesNotExist"
    assert len(queries) == 1
