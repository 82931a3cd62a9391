"""Chat: a web chat whose every screen is HTML rendered by Flask, kept live by htmx and Redis."""
