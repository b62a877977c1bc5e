//! When to flush a buffer, and how much: state machines without a clock
