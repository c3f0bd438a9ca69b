//! Charges, budgets and log entries, durable.
