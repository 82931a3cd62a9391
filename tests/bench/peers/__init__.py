"""Other people's stacks, each doing the same small job, to be measured beside the chat."""
