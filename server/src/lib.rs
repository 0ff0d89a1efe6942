//! The HTTP face of Cairn.
