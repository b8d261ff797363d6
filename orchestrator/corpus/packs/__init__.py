"""One epoch as a stream of packs: order, windows, cutting, packing, masks. Pure."""
