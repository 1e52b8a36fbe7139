"""JSON in and out, and the HTTP answer to each way in which a task can go wrong."""

import json
import logging

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from task_helpers.exceptions import PerformTaskError, SerializationError, TaskExpired

logger = logging.getLogger(__name__)

ERRORS = (ValidationError, SerializationError, PerformTaskError)


# A CSRF token protects users whose browser sends their session cookie along. These views read no
# cookie and know no user: a forged request could do nothing that its sender cannot do directly.
# Views of your own that do know the user keep Django's protection.
@method_decorator(csrf_exempt, name="dispatch")
class ApiView(View):
    """
    A view whose errors are JSON too, with handlers of either kind: def or async def. What cannot be
    done now, or was not done in time, is answered by the middleware.
    """

    def dispatch(self, request, *args, **kwargs):
        try:
            response = super().dispatch(request, *args, **kwargs)
        except ERRORS as error:
            return _answer(error)
        return _awaited(response) if self.view_is_async else response


async def _awaited(response):
    try:
        return await response
    except ERRORS as error:
        return _answer(error)


def validated(form_class, request):
    """The cleaned data of the JSON object in the body. Raises `ValidationError`."""
    form = form_class(_json_object(request.body))
    if not form.is_valid():
        raise ValidationError(form.errors.as_data())
    return form.cleaned_data


def _json_object(body):
    """Forms read text: numbers stay as they were written, and what is neither counts as missing."""
    try:
        data = json.loads(body, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise ValidationError({NON_FIELD_ERRORS: "The body must be a JSON object."})
    return {name: value for name, value in data.items() if isinstance(value, str)}


def _answer(error):
    match error:
        case ValidationError():
            return _invalid(error.message_dict)
        case SerializationError():
            return _invalid({NON_FIELD_ERRORS: [str(error)]})
        case TaskExpired():  # for the middleware, unlike the other ends of a task
            raise error
    return _failed(error)


def _invalid(errors):
    return JsonResponse({"errors": errors}, status=400)


def _failed(error):
    """Only the log says why: the text of an exception may hold what is not for everybody."""
    logger.error("A task failed: %s", error)
    answer = {"error": "The task failed.", "task_id": error.task_id}
    return JsonResponse(answer, status=502)
