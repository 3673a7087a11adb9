"""Changes to a collection: taking documents in, sealing segments, merging them."""
