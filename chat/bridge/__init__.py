"""Flask and Flask-Sock on Hypercorn. Nothing in this package knows of the chat."""
