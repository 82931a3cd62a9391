"""Processes and the event loop: forking, thread pools, heartbeats, cooperation, limits."""
