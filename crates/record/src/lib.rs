//! The tagged reading that travels through Forebay: its value, quality, keys and sequence types
