"""Where bytes live: the catalogue, segment files, locks."""
