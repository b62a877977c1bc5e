//! Bayesian trust per key.
