//! What a request costs: the servers that are compared, the load that is put on them, and the table of goals.
//!
//! | module | what it is |
//! |---|---|
//! | [`handler`] | the one handler and the one answer of all servers |
//! | [`server`] | bare, with an empty layer, with the Redis commands by hand, behind the middleware on each store |
//! | [`load`] | the load generator: closed and open loop |
//! | [`measure`] | how figures come about: processes that are started, loaded and looked at from outside |
//! | [`goals`] | the table of goals |
//! | [`budget`] | the figures that must not grow |
//! | [`report`] | the plots, and the page that they stand on |
//! | [`commands`] | the commands of the Redis store, made by hand |

pub mod budget;
pub mod commands;
pub mod goals;
pub mod handler;
pub mod load;
pub mod measure;
pub mod report;
pub mod server;

/// Something that keeps a measurement from being made, said in a sentence.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What comes of something that may fail.
pub type Outcome<T = ()> = Result<T, Failure>;
