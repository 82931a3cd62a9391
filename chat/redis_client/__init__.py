"""Redis, Valkey and their clusters from the event loop, and their pub/sub channels."""
