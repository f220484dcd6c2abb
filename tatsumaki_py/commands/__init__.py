"""The commands beside that which serves an application."""
