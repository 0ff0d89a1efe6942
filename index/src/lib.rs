//! Graphs and field indexes over dense rows.
