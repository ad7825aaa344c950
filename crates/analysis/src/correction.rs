//! The corrections for many comparisons, by the names they are asked for with.

use stats::multiplicity::Procedure;

use crate::spec::Correction;

/// The adjusted p-values, in the order given.
pub(crate) fn corrected(p_values: &[f64], correction: Correction) -> Vec<f64> {
    let procedure = match correction {
        Correction::Holm => Procedure::Holm,
        Correction::Hochberg => Procedure::Hochberg,
        Correction::Hommel => Procedure::Hommel,
        Correction::Bonferroni => Procedure::Bonferroni,
        Correction::Sidak => Procedure::Sidak,
        Correction::Bh => Procedure::BenjaminiHochberg,
        Correction::By => Procedure::BenjaminiYekutieli,
        Correction::None => return p_values.to_vec(),
    };
    procedure.adjust(p_values)
}
