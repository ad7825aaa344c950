//! The standard normal distribution.
//!
//! Tails by Cody's rational approximations ("Rational Chebyshev approximations for the error function", Mathematics of
//! Computation 23, 1969), the quantile by Wichura's ("Algorithm AS 241: the percentage points of the normal
//! distribution", Applied Statistics 37, 1988). Both are good to the last digits of a double.

use std::f64::consts::PI;

/// √(2π).
const ROOT_TWO_PI: f64 = 2.506_628_274_631_000_5;

/// ln √(2π).
pub(crate) const LN_ROOT_TWO_PI: f64 = 0.918_938_533_204_672_8;

/// Below, the middle of the distribution: the quartile.
const MIDDLE_MAX: f64 = 0.674_489_75;

/// From √32 on, Cody's approximation in 1/x².
const FAR_MIN: f64 = 5.656_854_249_492_38;

/// The density at `x`, e^(−x²/2) / √(2π). NaN gives NaN.
#[must_use]
pub fn normal_density(x: f64) -> f64 {
    exp_minus_half_square(x) / ROOT_TWO_PI
}

/// P(Z > x). Relative error below 1e-15 down to the smallest numbers. NaN gives NaN.
#[must_use]
pub fn normal_upper(x: f64) -> f64 {
    if x.abs() <= MIDDLE_MAX {
        0.5 - x * normal_middle(x * x)
    } else if x > 0.0 {
        // Beyond, the tail is zero; the cap keeps infinity away from products.
        let x = x.min(100.0);
        mills_beyond_middle(x) * exp_minus_half_square(x) / ROOT_TWO_PI
    } else {
        // NaN falls through to here and stays NaN.
        1.0 - if x.is_nan() { x } else { normal_upper(-x) }
    }
}

/// P(Z < x), which is P(Z > −x). NaN gives NaN.
#[must_use]
pub fn normal_lower(x: f64) -> f64 {
    normal_upper(-x)
}

/// ln P(Z > x), also where the tail itself is too small for a number. NaN gives NaN.
#[must_use]
pub fn normal_log_upper(x: f64) -> f64 {
    if x < -MIDDLE_MAX {
        (-normal_upper(-x)).ln_1p()
    } else if x <= MIDDLE_MAX {
        normal_upper(x).ln()
    } else {
        -0.5 * x * x - LN_ROOT_TWO_PI + mills_beyond_middle(x).ln()
    }
}

/// Mills' ratio P(Z > x) / density(x), about 1/x for large `x`; infinite below −38. NaN gives NaN.
#[must_use]
pub fn normal_mills(x: f64) -> f64 {
    if x > MIDDLE_MAX { mills_beyond_middle(x) } else { normal_upper(x) / normal_density(x) }
}

/// The x with P(Z > x) = `upper`: infinite at 0, minus infinite at 1, NaN outside and for NaN.
#[must_use]
pub fn normal_quantile_upper(upper: f64) -> f64 {
    -normal_quantile(upper)
}

/// The x with P(Z < x) = `lower`: minus infinite at 0, infinite at 1, NaN outside and for NaN.
#[must_use]
pub fn normal_quantile(lower: f64) -> f64 {
    let middle = lower - 0.5;
    if middle.abs() <= 0.425 {
        let r = 0.180_625 - middle * middle;
        return middle * polynomial(&QUANTILE_MIDDLE_TOP, r) / polynomial(&QUANTILE_MIDDLE_BOTTOM, r);
    }
    if !(0.0..=1.0).contains(&lower) {
        return f64::NAN;
    }
    let tail = if middle < 0.0 { lower } else { 1.0 - lower };
    if tail == 0.0 {
        return if middle < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let r = (-tail.ln()).sqrt();
    let x = if r <= 5.0 {
        polynomial(&QUANTILE_NEAR_TOP, r - 1.6) / polynomial(&QUANTILE_NEAR_BOTTOM, r - 1.6)
    } else {
        polynomial(&QUANTILE_FAR_TOP, r - 5.0) / polynomial(&QUANTILE_FAR_BOTTOM, r - 5.0)
    };
    if middle < 0.0 { -x } else { x }
}

/// e^(−x²/2), with x² as the sum of an exact square and a small rest: the rounding of x² alone would cost three digits
/// far out.
pub(crate) fn exp_minus_half_square(x: f64) -> f64 {
    if x.abs() > 40.0 {
        return 0.0;
    }
    let head = f64::from_bits(x.to_bits() & !0x7ff_ffff);
    let rest = 0.5 * (x - head) * (x + head);
    (-0.5 * head * head).exp() * (1.0 - rest * (1.0 - rest * (0.5 - rest / 6.0)))
}

/// (P(Z < x) − 1/2) / x for |x| up to [`MIDDLE_MAX`], from x².
pub(crate) fn normal_middle(square: f64) -> f64 {
    polynomial(&MIDDLE_TOP, square) / polynomial(&MIDDLE_BOTTOM, square)
}

/// Mills' ratio from [`MIDDLE_MAX`] on.
fn mills_beyond_middle(x: f64) -> f64 {
    if x < FAR_MIN {
        return ROOT_TWO_PI * polynomial(&NEAR_TOP, x) / polynomial(&NEAR_BOTTOM, x);
    }
    let inverse_square = 1.0 / (x * x);
    let rest = inverse_square * polynomial(&FAR_TOP, inverse_square) / polynomial(&FAR_BOTTOM, inverse_square);
    (1.0 - rest * (2.0 * PI).sqrt()) / x
}

/// Horner's rule; the constant comes first.
#[inline]
fn polynomial<const N: usize>(coefficients: &[f64; N], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

const MIDDLE_TOP: [f64; 5] =
    [18_154.981_253_343_56, 1_067.689_485_460_371, 161.028_231_068_555_88, 2.235_252_035_460_684, 0.065_682_337_918_207_45];
const MIDDLE_BOTTOM: [f64; 5] =
    [45_507.789_335_026_73, 10_260.932_208_618_978, 976.098_551_737_776_7, 47.202_581_904_688_24, 1.0];
const NEAR_TOP: [f64; 9] = [
    9_842.714_838_383_978,
    11_602.651_437_647_35,
    6_848.190_450_536_283,
    2_494.537_585_290_372_7,
    597.270_276_394_800_2,
    93.506_656_132_177_85,
    8.883_149_794_388_377,
    0.398_941_512_088_134_66,
    1.076_557_677_372_019_2e-8,
];
const NEAR_BOTTOM: [f64; 9] = [
    19_685.429_676_859_992,
    38_912.003_286_093_27,
    34_900.952_721_145_98,
    18_615.571_640_885_097,
    6_485.558_298_266_761,
    1_519.377_599_407_554_7,
    235.387_901_782_625,
    22.266_688_044_328_117,
    1.0,
];
const FAR_TOP: [f64; 6] = [
    2.911_287_495_116_879_3e-5,
    0.001_421_619_193_227_893_4,
    0.022_235_277_870_649_807,
    0.127_401_161_160_247_36,
    0.215_898_534_057_957,
    0.023_073_441_764_940_174,
];
const FAR_BOTTOM: [f64; 6] = [
    7.297_515_550_839_662e-5,
    0.003_782_396_332_027_582_4,
    0.065_988_137_868_928_56,
    0.468_238_212_480_865_1,
    1.284_260_096_144_911,
    1.0,
];
const QUANTILE_MIDDLE_TOP: [f64; 8] = [
    3.387_132_872_796_366_5,
    133.141_667_891_784_38,
    1_971.590_950_306_551_3,
    13_731.693_765_509_46,
    45_921.953_931_549_87,
    67_265.770_927_008_7,
    33_430.575_583_588_13,
    2_509.080_928_730_122_7,
];
const QUANTILE_MIDDLE_BOTTOM: [f64; 8] = [
    1.0,
    42.313_330_701_600_91,
    687.187_007_492_057_9,
    5_394.196_021_424_751,
    21_213.794_301_586_597,
    39_307.895_800_092_71,
    28_729.085_735_721_943,
    5_226.495_278_852_854,
];
const QUANTILE_NEAR_TOP: [f64; 8] = [
    1.423_437_110_749_683_5,
    4.630_337_846_156_546,
    5.769_497_221_460_691,
    3.647_848_324_763_204_5,
    1.270_458_252_452_368_4,
    0.241_780_725_177_450_6,
    0.022_723_844_989_269_184,
    7.745_450_142_783_414e-4,
];
const QUANTILE_NEAR_BOTTOM: [f64; 8] = [
    1.0,
    2.053_191_626_637_759,
    1.676_384_830_183_803_8,
    0.689_767_334_985_1,
    0.148_103_976_427_480_08,
    0.015_198_666_563_616_457,
    5.475_938_084_995_345e-4,
    1.050_750_071_644_416_9e-9,
];
const QUANTILE_FAR_TOP: [f64; 8] = [
    6.657_904_643_501_103,
    5.463_784_911_164_114,
    1.784_826_539_917_291_3,
    0.296_560_571_828_504_87,
    0.026_532_189_526_576_124,
    0.001_242_660_947_388_078_4,
    2.711_555_568_743_487_6e-5,
    2.010_334_399_292_288_1e-7,
];
const QUANTILE_FAR_BOTTOM: [f64; 8] = [
    1.0,
    0.599_832_206_555_887_9,
    0.136_929_880_922_735_8,
    0.014_875_361_290_850_615,
    7.868_691_311_456_133e-4,
    1.846_318_317_510_054_8e-5,
    1.421_511_758_316_446e-7,
    2.044_263_103_389_939_8e-15,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::kernel::near;

    #[test]
    fn the_tail_keeps_its_digits() {
        near(normal_upper(10.0), 7.619_853_024_160_527e-24, 1e-14);
        near(normal_upper(37.0), 5.725_571_222_524_576e-300, 1e-13);
        near(normal_upper(-1.0), 0.841_344_746_068_542_9, 1e-15);
        assert_eq!(normal_upper(f64::INFINITY), 0.0);
        assert_eq!(normal_upper(f64::NEG_INFINITY), 1.0);
        assert!(normal_upper(f64::NAN).is_nan());
        near(normal_log_upper(1e8), -5e15, 1e-13);
    }

    #[test]
    fn the_quantile_inverts_the_tail() {
        near(normal_quantile_upper(0.025), 1.959_963_984_540_054_2, 1e-15);
        near(normal_quantile_upper(0.975), -1.959_963_984_540_054_2, 1e-15);
        assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(normal_quantile(1.0), f64::INFINITY);
        assert!(normal_quantile(1.1).is_nan() && normal_quantile(f64::NAN).is_nan());
    }
}
