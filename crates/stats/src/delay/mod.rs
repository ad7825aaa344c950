//! Early answers, late outcomes, and opens that no person made.
//!
//! Reading order: [`maturity`](mod@maturity) (who is old enough to count), [`forecast`] (the final rate from partial
//! conversions and known delays), [`proxy`](mod@proxy) (the late effect from the early one, and when not to),
//! [`machine_opens`].

pub mod forecast;
pub mod machine_opens;
pub mod maturity;
pub mod proxy;

pub use forecast::{AgedCohort, DelayForecast, ForecastDifference, delay_forecast, delay_forecast_difference};
pub use machine_opens::{CorrectedOpens, CorrectedRate, MachineShare, correct_opens, machine_share};
pub use maturity::{Cohort, Maturity, maturity};
pub use proxy::{PastExperiment, Prediction, Proxy, proxy};
