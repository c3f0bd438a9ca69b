//! Evidence of what code runs, verified offline.
