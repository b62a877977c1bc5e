//! REST, WebSocket and the live page over a running pipeline
