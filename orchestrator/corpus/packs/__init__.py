"""One epoch as a stream of packs: mixture, order, windows, cuts, masks; its loader, its audit."""
