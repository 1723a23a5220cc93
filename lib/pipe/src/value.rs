//! The value that a flag was given, and what it can be read as.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::path::PathBuf;

/// The value that a flag was given.
#[derive(Debug)]
pub struct Value(pub OsString);

/// What [`Value::number`] reads: whole numbers of any size, and floats.
pub trait Number: Sized + PartialOrd + Default {
    /// The number that a text says.
    ///
    /// # Errors
    /// What was expected, with the range.
    fn read(text: &str) -> Result<Self, String>;
}

impl Value {
    /// The value as text.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn text(&self) -> Result<&str, String> {
        self.0.to_str().ok_or_else(|| "expected UTF-8 text".to_string())
    }

    /// The value as a number. A whole number may be written `1000`, `1e3`, `1.5K`, `2M`, `3G`, `4T`: powers of 1000.
    ///
    /// # Errors
    /// It is no such number, or is out of the range of `T`, which the message says.
    pub fn number<T: Number>(&self) -> Result<T, String> {
        T::read(self.text()?)
    }

    /// The value as a number above zero.
    ///
    /// # Errors
    /// As [`Value::number`], and where it is 0 or less.
    pub fn positive<T: Number>(&self) -> Result<T, String> {
        match self.number::<T>()? {
            number if number > T::default() => Ok(number),
            _ => Err("expected a number above zero".to_string()),
        }
    }

    /// The value as a whole number of a range, both ends included.
    ///
    /// # Errors
    /// It is something else; the message says the range.
    pub fn within<T: Number + Display>(&self, least: T, most: T) -> Result<T, String> {
        let number = self.number::<T>().ok().filter(|number| (&least..=&most).contains(&number));
        number.ok_or_else(|| format!("expected a whole number from {least} to {most}"))
    }

    /// The value as a finite number of 0 or more.
    ///
    /// # Errors
    /// It is something else.
    pub fn not_negative(&self) -> Result<f64, String> {
        match self.number::<f64>()? {
            number if number >= 0.0 && number.is_finite() => Ok(number),
            _ => Err("expected 0 or more".to_string()),
        }
    }

    /// The value as a share of a whole, from 0 to 1.
    ///
    /// # Errors
    /// It is something else.
    pub fn share(&self) -> Result<f64, String> {
        match self.number::<f64>()? {
            share if (0.0..=1.0).contains(&share) => Ok(share),
            _ => Err("expected a number from 0 to 1".to_string()),
        }
    }

    /// The value as a number of bytes: `4096`, `512M`, `1.5G`, `64KiB` (K, M, G and T are powers of 1024), `64KB` (of
    /// 1000).
    ///
    /// # Errors
    /// It is something else, or 2^64 or more.
    pub fn bytes(&self) -> Result<u64, String> {
        let text = self.text()?;
        let (number, letter, base) = if let Some(rest) = text.strip_suffix("iB") {
            unit(rest).map(|(number, power)| (number, power, 1024))
        } else if let Some(rest) = text.strip_suffix('B') {
            Some(unit(rest).map_or((rest, 0, 1), |(number, power)| (number, power, 1000)))
        } else {
            Some(unit(text).map_or((text, 0, 1), |(number, power)| (number, power, 1024)))
        }
        .unwrap_or(("", 0, 1));
        let bytes = whole(number, i128::pow(base, letter)).and_then(|bytes| u64::try_from(bytes).ok());
        bytes.ok_or_else(|| "expected a number of bytes below 2^64, such as 65536, 512M or 4G".to_string())
    }

    /// The value as one of a few words.
    ///
    /// # Errors
    /// It is none of them; the message lists them.
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, String> {
        let found = choices.iter().find(|(word, _)| OsStr::new(word) == self.0);
        found.map(|&(_, choice)| choice).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            format!("expected {}", words.join(" or "))
        })
    }

    /// The value as the name of a file.
    ///
    /// # Errors
    /// It is empty.
    pub fn path(&self) -> Result<PathBuf, String> {
        if self.0.is_empty() { Err("expected a file name".to_string()) } else { Ok(PathBuf::from(&self.0)) }
    }
}

macro_rules! whole_numbers {
    ($($type:ident: $range:literal),+) => { $(
        impl Number for $type {
            fn read(text: &str) -> Result<$type, String> {
                let (number, power) = unit(text).unwrap_or((text, 0));
                let number = whole(number, 1000_i128.pow(power)).and_then(|number| number.try_into().ok());
                number.ok_or_else(|| concat!("expected a whole number from ", $range).to_string())
            }
        }
    )+ };
}

whole_numbers!(
    u8: "0 to 255", u16: "0 to 65535", u32: "0 to 4294967295", u64: "0 to 2^64 - 1", usize: "0 to 2^64 - 1",
    i32: "-2147483648 to 2147483647", i64: "-2^63 to 2^63 - 1"
);

macro_rules! floats {
    ($($type:ident),+) => { $(
        impl Number for $type {
            fn read(text: &str) -> Result<$type, String> {
                text.parse().map_err(|_| "expected a number".to_string())
            }
        }
    )+ };
}

floats!(f32, f64);

/// A number and the power that its last letter stands for; `None` where the last letter is none of K, M, G and T.
fn unit(text: &str) -> Option<(&str, u32)> {
    let letters = [('k', 1), ('K', 1), ('M', 2), ('G', 3), ('T', 4)];
    letters.iter().find_map(|&(letter, power)| text.strip_suffix(letter).map(|number| (number, power)))
}

/// `times` times a decimal such as `12`, `1.5` or `2e6`, where that is a whole number.
fn whole(text: &str, times: i128) -> Option<i128> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (units, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{units}{fraction}");
    if units.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse::<i128>().ok()?.checked_mul(times)?;
    let power = exponent.parse::<i32>().ok()?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let scale = 10_i128.checked_pow(power.unsigned_abs())?;
    let number = if power >= 0 { number.checked_mul(scale)? } else { exactly(number, scale)? };
    Some(if negative { -number } else { number })
}

fn exactly(number: i128, divisor: i128) -> Option<i128> {
    (number % divisor == 0).then_some(number / divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Value(text.into())
    }

    #[test]
    fn whole_numbers_take_powers_of_a_thousand() {
        let cases = [("0", 0), ("17", 17), ("1e6", 1_000_000), ("1.5K", 1500), ("2k", 2000), ("3M", 3_000_000)];
        for (text, number) in
            cases.into_iter().chain([("4G", 4_000_000_000), ("1.25e2", 125), ("18T", 18_000_000_000_000)])
        {
            assert_eq!(value(text).number::<u64>(), Ok(number), "{text}");
        }
        for wrong in [
            "",
            "-1",
            "1.5",
            "e6",
            "1e",
            "M",
            ".5K",
            "1e-1",
            "1e99",
            "18446744073709551616",
            "0x10",
            "1 ",
            "1KiB",
            "+1",
        ] {
            assert_eq!(
                value(wrong).number::<u64>(),
                Err("expected a whole number from 0 to 2^64 - 1".into()),
                "{wrong}"
            );
        }
        assert_eq!(value("-2").number::<i64>(), Ok(-2));
        assert_eq!(value("70000").number::<u16>(), Err("expected a whole number from 0 to 65535".into()));
    }

    #[test]
    fn a_range_has_both_its_ends() {
        for (text, number) in [("1", 1), ("1K", 1000), ("1024", 1024)] {
            assert_eq!(value(text).within(1, 1024), Ok(number));
        }
        for wrong in ["0", "1025", "-1", "x", "18446744073709551615", "18446744073709551616"] {
            assert_eq!(value(wrong).within(1, 1024), Err::<usize, _>("expected a whole number from 1 to 1024".into()));
        }
    }

    #[test]
    fn bytes_take_powers_of_1024() {
        for (text, bytes) in
            [("512", 512), ("512B", 512), ("64K", 65_536), ("64KiB", 65_536), ("64KB", 64_000), ("1.5G", 3 << 29)]
        {
            assert_eq!(value(text).bytes(), Ok(bytes), "{text}");
        }
        assert_eq!(value("1e6").bytes(), Ok(1_000_000));
        for wrong in ["", "B", "iB", "K", "1iB", "-1M", "1.3", "17000000T", "64kb"] {
            assert!(value(wrong).bytes().is_err(), "{wrong}");
        }
    }
}
