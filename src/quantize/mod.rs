//! A float network becomes an int8 one.

pub mod report;
