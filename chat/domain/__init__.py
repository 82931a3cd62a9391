"""Rules and value types that need neither storage nor network."""
