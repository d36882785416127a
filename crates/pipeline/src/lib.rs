//! What every consuming service shares: consumer loop, batching, back-pressure, dead letters.
