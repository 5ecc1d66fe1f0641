//! A content-addressed folder: ingest, verify, sync, rename, list.
