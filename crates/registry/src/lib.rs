//! Registry server over a storage trait.
