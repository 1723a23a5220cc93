//! What every tool must do, as tests.
