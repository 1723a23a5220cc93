//! How a filter meets the world.
