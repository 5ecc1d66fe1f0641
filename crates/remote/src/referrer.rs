//! referrer
