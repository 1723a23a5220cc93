//! Decimal numbers with 18 places: what a column says, added exactly.
//!
//! kmeans-assign prints a distance as the shortest decimal that tells its 32-bit float, nine digits at the most, so the
//! decimals from 1e-9 on are held as they stand, and so are those of 64-bit floats from 0.1 on. Sums of whole numbers
//! come out the same in any order and any tree, and print as what they are.

use std::fmt;

/// Places behind the point.
const PLACES: i32 = 18;

/// 1 in units of the last place.
const ONE: i128 = 10_i128.pow(PLACES as u32);

/// Numbers and sums are below this: 38 digits, which 128 bits hold.
const END: u128 = 10_u128.pow(38);

/// A number in units of 10^-18.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Decimal(i128);

impl Decimal {
    /// Reads `-12.5`, `.5`, `1e-3`: to the nearest of 18 places, halves to even; digits behind the 38th only decide
    /// between halves. `None`: not a number, or not below 10^20.
    pub fn parse(text: &[u8]) -> Option<Decimal> {
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let end = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (digits, exponent) = match end {
            Some(end) => (&unsigned[..end], exponent(&unsigned[end + 1..])?),
            None => (unsigned, 0),
        };
        let units = units(digits, exponent)?;
        let units = i128::try_from(units).ok()?;
        Some(Decimal(if negative { -units } else { units }))
    }

    /// Both together; `None` unless that is below 10^20.
    pub fn plus(self, other: Decimal) -> Option<Decimal> {
        let sum = self.0.checked_add(other.0)?;
        (sum.unsigned_abs() < END).then_some(Decimal(sum))
    }

    /// This divided by a number that is not 0, to the nearest of 18 places, halves to even.
    pub fn over(self, count: u64) -> Decimal {
        let quotient = rounded(self.0.unsigned_abs(), u128::from(count), false) as i128;
        Decimal(if self.0 < 0 { -quotient } else { quotient })
    }

    /// The nearest 64-bit float, or the one beside it.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / ONE as f64
    }
}

impl From<u64> for Decimal {
    fn from(number: u64) -> Decimal {
        Decimal(i128::from(number) * ONE)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (whole, places) = (self.0.unsigned_abs() / ONE as u128, self.0.unsigned_abs() % ONE as u128);
        let sign = if self.0 < 0 { "-" } else { "" };
        let places = format!("{places:018}");
        match places.trim_end_matches('0') {
            "" => write!(f, "{sign}{whole}"),
            places => write!(f, "{sign}{whole}.{places}"),
        }
    }
}

fn exponent(text: &[u8]) -> Option<i32> {
    let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    let digits = digits.iter().try_fold(0_i32, |number, byte| {
        byte.is_ascii_digit().then(|| number.saturating_mul(10).saturating_add(i32::from(byte - b'0')))
    });
    let size = digits.filter(|_| text.last().is_some_and(u8::is_ascii_digit))?.min(1 << 20);
    Some(if text[0] == b'-' { -size } else { size })
}

/// The units of the last place in `digits` times ten to the `exponent`.
fn units(digits: &[u8], exponent: i32) -> Option<u128> {
    // The value is `number` times ten to the `scale`, and a little more where `more`.
    let (mut number, mut scale, mut more) = (0_u128, exponent, false);
    let (mut any, mut behind) = (false, false);
    for byte in digits {
        match byte {
            b'.' if !behind => {
                behind = true;
                continue;
            }
            b'0'..=b'9' => any = true,
            _ => return None,
        }
        if number < END / 10 {
            number = number * 10 + u128::from(byte - b'0');
            scale -= i32::from(behind);
        } else {
            more |= *byte != b'0';
            scale += i32::from(!behind);
        }
    }
    let units = match scale + PLACES {
        _ if number == 0 => Some(0),
        up @ 0.. => 10_u128.checked_pow(up as u32).and_then(|factor| number.checked_mul(factor)),
        down => Some(10_u128.checked_pow(down.unsigned_abs()).map_or(0, |divisor| rounded(number, divisor, more))),
    };
    units.filter(|&units| any && units < END)
}

/// The quotient to the nearest, halves to even; `more`: the dividend is a little larger than it looks.
fn rounded(dividend: u128, divisor: u128, more: bool) -> u128 {
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    let up = match rest.cmp(&(divisor - rest)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => more || quotient % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    quotient + u128::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        Decimal::parse(text.as_bytes()).map(|number| number.to_string())
    }

    #[test]
    fn numbers_are_read_as_they_stand() {
        for (text, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("12", "12"),
            ("0.18580435", "0.18580435"),
            ("-1.50", "-1.5"),
            ("+.5", "0.5"),
            ("5.", "5"),
            ("1.858043500000000000e-01", "0.18580435"),
            ("12E+2", "1200"),
            ("0e999999999999", "0"),
            ("1e-99", "0"),
            ("1e-999999999999", "0"),
            ("0.0000000000000000005", "0"),
            ("0.0000000000000000015", "0.000000000000000002"),
            ("0.00000000000000000050000000000000000000000000000000000001", "0.000000000000000001"),
            ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
            ("00000000000000000000000000000000000000000000000000000.25", "0.25"),
            ("0.50000000000000000000000000000000000000000000000000000000", "0.5"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", ".", "-", "nan", "inf", "1e", "1e+", "e1", "1.2.3", "0x1", "1 ", "1_0", "1e1.5", "1e20"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn floats_of_32_bits_read_back() {
        let mut bits = 0x2f00_0000_u32;
        while bits < 0x6000_0000 {
            let float = f32::from_bits(bits);
            let decimal = Decimal::parse(format!("{float}").as_bytes()).unwrap();
            assert_eq!(decimal.to_string(), format!("{float}"));
            assert_eq!(decimal.to_f64() as f32, float);
            bits += 1_234_567;
        }
    }

    #[test]
    fn sums_and_means_are_exact() {
        let tenth = Decimal::parse(b"0.1").unwrap();
        let sum = (0..10).try_fold(Decimal::default(), |sum, _| sum.plus(tenth)).unwrap();
        assert_eq!((sum.to_string(), sum.over(3).to_string()), ("1".to_string(), "0.333333333333333333".to_string()));
        let two_thirds = Decimal::parse(b"-2").unwrap().over(3);
        assert_eq!(two_thirds.to_string(), "-0.666666666666666667");
        let half = Decimal::parse(b"5e19").unwrap();
        let most = Decimal::parse(b"99999999999999999999").unwrap();
        assert_eq!(most.plus(most), None);
        assert_eq!((half.plus(half), half.over(u64::MAX).to_string()), (None, "2.710505431213761085".to_string()));
    }
}
