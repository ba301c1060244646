//! Kubernetes' quantities, such as 500m and 1Gi.

use crate::domain::cel::failure::{Failure, quoted};

/// An amount, compared by its size.
#[derive(Clone, Debug)]
pub(crate) struct Quantity {
    /// In billionths.
    pub nano: i128,
    /// Whether Kubernetes treats it as an integer, which depends on how it was written: `1.0` is not one. `None`: it is a sum of both.
    pub whole: Option<bool>,
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

/// Billionths in one.
pub(crate) const NANO: i128 = 1_000_000_000;
/// Digits that Kubernetes counts in whole numbers of 64 bits.
const DIGITS: i32 = 18;

/// The parts of a quantity's text.
pub(crate) struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    /// The digits of both parts, without leading zeros.
    pub digits: String,
    suffix: Suffix,
}

/// The factor of the digits.
#[derive(Clone, Copy)]
pub(crate) enum Suffix {
    /// Times 2 to the power of it.
    Binary(u32),
    /// Times 10 to the power of it.
    Decimal(i64),
}

/// `None` if it is not a quantity. A text without digits is not one either.
pub(crate) fn parts(text: &str) -> Option<Parts<'_>> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if text.is_empty() {
        return None;
    }
    let end = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = rest.split_at(end(rest));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(behind) => behind.split_at(end(behind)),
        None => ("", rest),
    };
    let digits = format!("{}{fraction}", whole.trim_start_matches('0'));
    let digits = if whole.is_empty() && fraction.is_empty() {
        String::new()
    } else {
        format!("{digits}0")[..digits.len().max(1)].to_owned()
    };
    Some(Parts {
        negative,
        whole,
        fraction,
        digits,
        suffix: suffix(rest)?,
    })
}

fn suffix(text: &str) -> Option<Suffix> {
    Some(match text {
        "" => Suffix::Decimal(0),
        "n" => Suffix::Decimal(-9),
        "u" => Suffix::Decimal(-6),
        "m" => Suffix::Decimal(-3),
        "k" => Suffix::Decimal(3),
        "M" => Suffix::Decimal(6),
        "G" => Suffix::Decimal(9),
        "T" => Suffix::Decimal(12),
        "P" => Suffix::Decimal(15),
        "E" => Suffix::Decimal(18),
        "Ki" => Suffix::Binary(10),
        "Mi" => Suffix::Binary(20),
        "Gi" => Suffix::Binary(30),
        "Ti" => Suffix::Binary(40),
        "Pi" => Suffix::Binary(50),
        "Ei" => Suffix::Binary(60),
        _ => Suffix::Decimal(text.strip_prefix(['e', 'E'])?.parse().ok()?),
    })
}

impl Quantity {
    /// # Errors
    /// It is not a quantity, or it is too large or too exact.
    pub(crate) fn read(text: &str) -> Result<Self, Failure> {
        let parts = parts(text).filter(|parts| !parts.digits.is_empty());
        let Some(parts) = parts else {
            return Failure::told(format!(
                "{} is not a quantity: write it like 500m or 1Gi",
                quoted(text)
            ));
        };
        let too = || Failure::Told(format!("the quantity {} is too large or too exact", quoted(text)));
        let number: i128 = parts.digits.parse().map_err(|_| too())?;
        let behind = i32::try_from(parts.fraction.len()).map_err(|_| too())?;
        let scaled = |number: i128, exponent: i32| -> Option<i128> {
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent >= 0 {
                number.checked_mul(power)
            } else {
                (number % power == 0).then_some(number / power)
            }
        };
        let (nano, whole) = match parts.suffix {
            Suffix::Decimal(exponent) => {
                let exponent = i32::try_from(exponent)
                    .ok()
                    .and_then(|exponent| exponent.checked_sub(behind));
                let exponent = exponent.ok_or_else(too)?;
                let counted = (parts.whole.trim_start_matches('0').len() + parts.fraction.len()) as i32;
                let nano = exponent
                    .checked_add(9)
                    .and_then(|exponent| scaled(number, exponent));
                (nano, exponent >= 0 && counted <= DIGITS)
            }
            Suffix::Binary(bits) => {
                let counted = parts.whole.trim_start_matches('0').len() as i32;
                let exact = 15 - counted - (bits as i32 * 3 / 10) > 0;
                let number = number.checked_mul(1 << bits);
                let nano = number.and_then(|number| scaled(number, 9 - behind));
                (nano, parts.fraction.is_empty() && exact)
            }
        };
        let nano = nano.ok_or_else(too)?;
        // Beyond that, Kubernetes uses the largest quantity that it supports.
        if nano / NANO > i128::from(i64::MAX) {
            return Err(too());
        }
        Ok(Self {
            nano: if parts.negative { -nano } else { nano },
            whole: Some(whole),
        })
    }

    /// # Errors
    /// It is a sum of integers and other quantities.
    pub(crate) fn is_whole(&self) -> Result<bool, Failure> {
        self.whole.map_or_else(
            || Failure::told("whether a sum is an integer cannot be determined"),
            Ok,
        )
    }
}
