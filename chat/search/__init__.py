"""The full-text index of messages, its process and its query language."""
