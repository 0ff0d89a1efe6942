//! The bytes Cairn writes: every file format, with its normative text.
