//! From Dockerfile to images: plan, cache keys, scheduler, instructions, contexts, exporters.
