//! Last good copies.
