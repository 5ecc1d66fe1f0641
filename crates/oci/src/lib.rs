//! Digests, references, platforms, manifests, indexes and image configs: pure, no I/O.
