//! The read side: filters, plans, execution over a snapshot.
