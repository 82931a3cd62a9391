"""The supervisor and the processes that it starts: the workers and the embedded Valkey."""
