"""What can be done in the chat, whoever asks for it."""
