//! The numerical tools underneath: integrals, roots, small matrices and seeded draws.
//!
//! *Invariant:* nothing here allocates without a bound or loops without one; every limit is a named constant.
//!
//! Reading order: [`quadrature`], [`root`], [`linear`], [`draws`].

pub mod draws;
pub mod linear;
pub mod quadrature;
pub mod root;

pub use draws::Draws;
pub use linear::{Cholesky, Matrix};
pub use quadrature::{Rule, gauss_legendre, integrate};
pub use root::{find_root, minimum};
