"""A web chat in which every page is HTML, rendered by Flask and kept live by htmx and Redis."""
