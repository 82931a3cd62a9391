"""The chat's own pages without its server: the same Flask application over plain redis-py, to be
run by gunicorn in threads. It serves only pages, no websockets. Started by make bench with the
chat's own environment variables:

    gunicorn --worker-class gthread --threads 8 tests.bench.peers.gunicorn_app:app
"""

import redis

from chat.app import create_app
from chat.config import Settings
from chat.store import Store

settings = Settings.from_env()
app = create_app(settings, Store(redis.Redis.from_url(settings.redis_url, decode_responses=True)))
