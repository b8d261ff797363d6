"""A prepared corpus on disk: Arrow shards and their manifest, written, read, verified, cached."""
