//! Concurrent keyed aggregation that is taken out whole and exactly
