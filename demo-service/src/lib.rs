//! A payment service that cannot charge twice, the bank that judges it and the storm that attacks it.

pub mod bank;
mod extract;
pub mod problem;
pub mod storm;
