//! What is done (being written).
