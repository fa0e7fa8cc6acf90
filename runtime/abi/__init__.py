"""The ABI: all that generated modules may import. One module per version; see `v1`."""
