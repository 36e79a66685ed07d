"""Requests of users: completed to checked runs, with estimates of their cost."""
