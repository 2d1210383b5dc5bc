"""One module a peer, each behind one of the two contracts in `benchmarks.peers.base`."""
