//! Bounded intake rings and numbered histories
