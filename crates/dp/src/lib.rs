//! Exact noise, sensitivities and accounting.
