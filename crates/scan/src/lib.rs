//! Ducat.
