"""Other stacks that do the same small job, to be compared with the chat."""
