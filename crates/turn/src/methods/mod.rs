//! What a client can ask, one file for each method.

mod allocate;
mod binding;
mod channel_bind;
mod connect;
mod connection_bind;
mod create_permission;
mod refresh;
