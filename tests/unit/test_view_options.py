"""Which views accept files, and which ones are for visitors."""

import redis
from werkzeug.routing import Rule

from chat.app import create_app
from chat.config import Settings
from chat.store import Store
from chat.web import view_options
from chat.web.auth import FOR_VISITORS, require_person
from chat.web.upload_limits import MAX_FORM_BYTES, limit_size


def test_only_views_that_say_so_accept_files():
    app = create_app(Settings(secret_key="x" * 32), Store(redis.Redis(port=1)))
    with app.app_context():
        declared = {name: view_options.file_limit(name) for name in app.view_functions}
    limits = {endpoint: limit for endpoint, limit in declared.items() if limit}
    assert set(limits) == {"messages.post", "profiles.edit", "api.post_file"}
    assert all(limit.max_bytes > MAX_FORM_BYTES for limit in limits.values())
    refusals = {name for name, view in app.view_functions.items() if hasattr(view, "refusal")}
    assert refusals == {f"messages.{name}" for name in ("post", "edit", "edit_page", "delete")}
    for endpoint in app.view_functions:
        with app.test_request_context(method="POST", content_type="multipart/form-data") as context:
            context.request.url_rule = Rule("/", endpoint=endpoint)
            limit_size(context.request)
            size = context.request.max_content_length
            assert size == MAX_FORM_BYTES or limits[endpoint].is_body


def test_every_other_view_requires_a_person():
    """The names of those that do not are names of views or blueprints that exist."""
    app = create_app(Settings(secret_key="x" * 32), Store(redis.Redis(port=1)))
    assert {*app.view_functions, *app.blueprints} >= FOR_VISITORS
    for endpoint in app.view_functions:
        with app.test_request_context(f"/?{endpoint}") as context:
            context.request.url_rule = Rule("/", endpoint=endpoint)
            answer = require_person(context.request)
        is_free = endpoint in FOR_VISITORS or endpoint.rpartition(".")[0] in FOR_VISITORS
        assert (answer is None) == is_free
        assert is_free or answer.location.startswith("/sign-in?next=")
