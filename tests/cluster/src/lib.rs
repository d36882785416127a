//! Real broker processes on loopback: kills, stops, restarts.
