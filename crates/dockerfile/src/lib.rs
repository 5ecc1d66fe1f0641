//! Dockerfile text to checked stages: parsing, expansion, ignore files, patterns and checks; pure.
