"""A fake SMTP server whose conversations, and the cases that use it, are data."""
