//! Semantics of the simulated disk: what is durable when, and what a crash may leave.
