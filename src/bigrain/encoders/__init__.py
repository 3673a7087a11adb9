"""From text to representations."""
