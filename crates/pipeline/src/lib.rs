//! Source to data service and ring to flush policy to sink, on tokio
