//! One shared history per key, transactions, extractors and subscribers that pull
