//! Content on disk: blobs, snapshots, layers, cache records, image names.
