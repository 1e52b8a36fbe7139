"""What says which row is whose: the columns that bulk workers read rows back by."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.db.models.functions import Lower, Now
from django.test.utils import isolate_apps

from django_task_helpers.bulk import BulkCreateWorker, BulkGetWorker, BulkUpdateWorker
from shop.models import Product
from task_helpers.couriers.memory import MemoryClientWorkerTaskCourier
from task_helpers.testing import run_queue

Q = "rows"
IGNORING = {"ignore_conflicts": True}
UPDATING = {"update_conflicts": True, "update_fields": ["note"]}

pytestmark = pytest.mark.django_db

Results = Callable[..., list[Any]]


@pytest.fixture
def results_of() -> Results:
    """Performs tasks in one batch; how they ended."""
    courier = MemoryClientWorkerTaskCourier()

    def perform(kind: Any, tasks_data: list[Any], **fields: Any) -> list[Any]:
        task_ids = courier.bulk_add_tasks_to_queue(Q, tasks_data)
        run_queue(courier, kind, queue_name=Q, **fields)
        return courier.bulk_wait_for_task_results(Q, task_ids, timeout=0, return_exceptions=True)

    return perform


def check(model: Any, unique_fields: list[str], **fields: Any) -> None:
    courier = MemoryClientWorkerTaskCourier()
    fields |= {"queue_name": Q, "model": model, "unique_fields": unique_fields}
    BulkCreateWorker(courier, **fields).check_fields()


@contextmanager
def table(model: Any) -> Iterator[None]:
    with connection.schema_editor() as editor:
        editor.create_model(model)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(model)


@pytest.fixture
def seat() -> Iterator[Any]:
    """A model that is unique in several ways, and in some that do not count."""
    with isolate_apps("shop"):

        class Seat(models.Model):
            hall, row, number, code = (models.CharField(max_length=9) for _ in range(4))
            email = models.CharField(max_length=9, unique=True)
            note = models.CharField(max_length=9)
            later = models.CharField(max_length=9)
            owner = models.OneToOneField(ContentType, models.CASCADE)

            class Meta:
                app_label = "shop"
                unique_together = (("hall", "row"),)
                constraints = (
                    models.UniqueConstraint(fields=["row", "number"], name="a"),
                    models.UniqueConstraint(
                        fields=["hall"], condition=models.Q(note="x"), name="b"
                    ),
                    models.UniqueConstraint(Lower("code"), name="c"),
                    models.UniqueConstraint(
                        fields=["later"], deferrable=models.Deferrable.DEFERRED, name="d"
                    ),
                )

            def __str__(self) -> str:
                return self.code

        yield Seat


UNIQUE = (["pk"], ["id"], ["email"], ["owner"], ["owner_id"], ["row", "hall"], ["row", "number"])


@pytest.mark.parametrize("conflicts", [IGNORING, UPDATING], ids=["ignore", "update"])
@pytest.mark.parametrize("names", UNIQUE, ids=str)
def test_conflicts_are_by_what_is_unique(seat: Any, names: list[str], conflicts: Any) -> None:
    check(seat, names, **conflicts)


@pytest.mark.parametrize("conflicts", [IGNORING, UPDATING], ids=["ignore", "update"])
@pytest.mark.parametrize(
    "names",
    [["note"], ["hall"], ["code"], ["later"], ["hall", "number"], ["email", "note"]],
    ids=str,
)
def test_conflicts_by_what_is_not_unique_are_refused_at_the_start(
    seat: Any, names: list[str], conflicts: Any
) -> None:
    # given columns in which two rows may be the same, or more than the database looks at
    # when a worker is to tell by these whether a row is there, then it says so at the start
    with pytest.raises(ValueError, match="unique_fields") as caught:
        check(seat, names, **conflicts)
    assert str(caught.value).startswith(f"{' and '.join(names)} of shop.Seat ")
    assert "\n" not in str(caught.value)


def test_rows_are_read_back_by_what_has_something_unique_in_it(seat: Any) -> None:
    check(seat, ["email", "note"])
    with pytest.raises(ValueError, match=r"note of shop\.Seat is not unique"):
        check(seat, ["note"])


def test_two_rows_of_a_batch_are_not_one_row_for_both_callers(results_of: Results) -> None:
    # given people of one team, which is not unique
    people = [{"username": name, "last_name": "t1"} for name in ("ann", "bob")]
    # when rows are to be read back by the team, then the worker does not start
    with pytest.raises(ValueError, match=r"last_name of auth\.User is not unique"):
        results_of(BulkCreateWorker, people, model=User, unique_fields=["last_name"], **IGNORING)
    assert User.objects.count() == 0


@isolate_apps("shop")
def test_what_is_unique_in_a_model_is_so_in_its_proxies_and_children() -> None:
    class Proxy(Permission):
        class Meta:
            app_label = "shop"
            proxy = True

    class Child(Permission):
        class Meta:
            app_label = "shop"

    for model in (Proxy, Child):
        check(model, ["content_type", "codename"], **IGNORING)
    check(Child, ["pk"], **IGNORING)


@isolate_apps("shop")
def test_what_an_abstract_model_had_does_not_count_where_it_is_replaced() -> None:
    class Named(models.Model):
        name = models.CharField(max_length=9)

        class Meta:
            app_label = "shop"
            abstract = True
            unique_together = (("name",),)

    class Kept(Named):  # noqa: DJ008
        class Meta(Named.Meta):
            pass

    class Replaced(Named):  # noqa: DJ008
        class Meta:
            app_label = "shop"

    check(Kept, ["name"], **IGNORING)
    with pytest.raises(ValueError, match="is not unique"):
        check(Replaced, ["name"], **IGNORING)


@isolate_apps("shop")
def test_a_key_of_several_columns_is_unique() -> None:
    class Place(models.Model):  # noqa: DJ008
        pk = models.CompositePrimaryKey("row", "number")
        row = models.IntegerField()
        number = models.IntegerField()

        class Meta:
            app_label = "shop"

    check(Place, ["row", "number"], **IGNORING)
    with pytest.raises(ValueError, match="is not unique"):
        check(Place, ["row"], **IGNORING)
    for kind in (BulkGetWorker, BulkUpdateWorker):
        with pytest.raises(ValueError, match=r"shop\.Place has no column 'pk'"):
            kind(MemoryClientWorkerTaskCourier(), queue_name=Q, model=Place).check_fields()


@pytest.mark.parametrize("given", [datetime(2026, 11, 1, 12), "2026-11-01 12:00"], ids=str)
@pytest.mark.filterwarnings("ignore:DateTimeField .* received a naive datetime")
def test_a_time_without_a_zone_is_the_key_of_its_row(results_of: Results, given: Any) -> None:
    User.objects.create(username="ann", last_login=given)
    [row] = results_of(
        BulkGetWorker, [given], model=User, lookup_field="last_login", fields=["username"]
    )
    assert row == {"username": "ann"}


def test_a_row_that_is_made_another_while_it_is_saved_is_read_back_as_that(
    results_of: Results,
) -> None:
    # given a worker that finds free names, and a name that is taken
    class FreeNames(BulkCreateWorker):
        model = User
        fields = ("username", "email")
        unique_fields = ("username",)
        validate = False

        def save(self, instances: Any) -> None:
            for instance in instances:
                while User.objects.filter(username=instance.username).exists():
                    instance.username += "2"
            super().save(instances)

    User.objects.create(username="ann", email="first@ann")
    # when somebody else wants it
    [row] = results_of(FreeNames, [{"username": "ann", "email": "second@ann"}])
    # then that caller does not get the row of the first one
    assert row == {"username": "ann2", "email": "second@ann"}


def test_a_row_that_is_not_found_again_is_not_saved_either(
    results_of: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a database that keeps prices with two places, and a column that is said to be unique
    monkeypatch.setitem(vars(Product._meta.get_field("price")), "unique", True)  # cached there
    data = [{"name": name, "price": price} for name, price in (("leek", "2.50"), ("beet", "2.555"))]
    # when rows are read back by the price
    leek, beet = results_of(
        BulkCreateWorker, data, model=Product, unique_fields=["price"], validate=False
    )
    # then what is said of the other row is true
    assert leek["name"] == "leek"
    assert beet.exception_type == "IntegrityError"
    assert [product.name for product in Product.objects.all()] == ["leek"]


# --- What the database makes


@pytest.fixture
def note(transactional_db: None) -> Iterator[Any]:
    """A model with a key of our making, and columns of the database's."""
    with isolate_apps("shop"):

        class Note(models.Model):
            id = models.UUIDField(primary_key=True, default=uuid.uuid4)
            text = models.CharField(max_length=9)
            code = models.CharField(max_length=9, db_default="none", unique=True)
            made_at = models.DateTimeField(db_default=Now())
            loud = models.GeneratedField(
                expression=models.functions.Upper("text"),
                output_field=models.CharField(max_length=9),
                db_persist=True,
            )

            class Meta:
                app_label = "shop"

            def __str__(self) -> str:
                return self.text

        with table(Note):
            yield Note


@pytest.fixture(params=[True, False], ids=["returning", "like MySQL"])
def returning(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    features = type(connection.features)
    for name in ("can_return_rows_from_bulk_insert", "can_return_columns_from_insert"):
        monkeypatch.setattr(features, name, request.param)


@pytest.mark.django_db(transaction=True)
def test_values_that_the_database_makes_are_shown(
    note: Any, returning: None, results_of: Results
) -> None:
    # given a database that may tell nothing of the rows that it saved
    data = [{"text": "a", "code": "1"}, {"text": "b", "code": "2"}]
    # when rows are saved whose columns it makes, then each caller has their values
    rows = results_of(BulkCreateWorker, data, model=note)
    assert [row["loud"] for row in rows] == ["A", "B"]
    assert rows == list(note.objects.order_by("text").values())


@pytest.mark.django_db(transaction=True)
def test_no_row_is_read_back_by_what_the_database_makes(
    note: Any, returning: None, results_of: Results
) -> None:
    made, given = results_of(
        BulkCreateWorker,
        [{"text": "a"}, {"text": "b", "code": "2"}],
        model=note,
        fields=["text"],
        unique_fields=["code"],
        **IGNORING,
    )
    assert "code must not be None or made by the database" in made.message
    assert given == {"text": "b"}
    assert note.objects.count() == 1


# --- How names are written


@pytest.mark.parametrize("name", ["fields", "update_fields", "unique_fields"])
def test_a_text_instead_of_names_is_refused(name: str) -> None:
    fields = {"queue_name": Q, "model": User, name: "email"}
    with pytest.raises(ValueError, match=rf"^{name} must be a list of names, such as \['email'\]"):
        BulkCreateWorker(MemoryClientWorkerTaskCourier(), **fields).check_fields()
    if name == "fields":
        with pytest.raises(ValueError, match=r"^fields must be a list of names"):
            BulkGetWorker(MemoryClientWorkerTaskCourier(), **fields).check_fields()


@pytest.mark.parametrize("model", [5, dict, None, User(), models.Model, AbstractUser], ids=repr)
def test_what_is_no_model_is_refused(model: Any) -> None:
    with pytest.raises(ValueError, match="of BulkGetWorker"):
        BulkGetWorker(MemoryClientWorkerTaskCourier(), queue_name=Q, model=model).check_fields()
