//! Other people's clients against three brokers.
