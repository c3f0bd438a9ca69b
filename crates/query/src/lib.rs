//! SQL to checked plan to bounded plan to a noisy answer.
