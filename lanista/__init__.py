"""lanista."""
