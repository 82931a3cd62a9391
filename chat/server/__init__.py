"""The processes: the supervisor, the workers it starts, and the embedded Valkey."""
