"""Views say themselves that they accept files, and the application limits all other requests."""

import redis
from werkzeug.routing import Rule

from chat.app import create_app
from chat.config import Settings
from chat.store import Store
from chat.web import view_options
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
