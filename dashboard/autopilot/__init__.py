"""The Autopilot page."""
