"""Everything that can be done in the chat, for pages, the API and the command line alike."""
