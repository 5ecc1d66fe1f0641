//! Shared by tests: temporary homes, image and tar builders, our registry in-process, a scripted HTTP server.
