//! Buffers, merges, batches and delivers updates; the façade of the layers, and the program
