//! Certificates in PEM files and of peers, trusted roots, and the time for which a certificate is
//! valid. The server, which shows certificates, and the tools, which look at a server from outside,
//! read them in the same way.
#![forbid(unsafe_code)]

mod pem;
mod roots;
mod term;
mod validity;

pub use self::{
    pem::Pem,
    roots::{Roots, RootsError},
    term::Term,
    validity::Validity,
};
