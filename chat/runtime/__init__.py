"""Work beside the event loop: thread pools, child processes, giving way."""
