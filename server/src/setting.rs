//! Setting: the text of one setting, read as what it stands for.
//!
//! # Invariants
//! - What cannot be read says what was expected; which setting it was, the caller says.

use std::time::Duration;

/// A number.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("expected a number ({})", std::any::type_name::<T>()))
}

/// A number, put in its place.
pub(crate) fn put<T: std::str::FromStr>(field: &mut T, text: &str) -> Result<(), String> {
    *field = number(text)?;
    Ok(())
}

/// A number other than nought.
pub(crate) fn positive<T: std::str::FromStr + Default + PartialEq>(
    text: &str,
) -> Result<T, String> {
    let value: T = number(text)?;
    if value == T::default() {
        return Err("expected 1 or more".to_owned());
    }
    Ok(value)
}

/// Seconds, put in their place.
pub(crate) fn seconds(field: &mut Duration, text: &str) -> Result<(), String> {
    // A day is more than any of these can mean, and keeps sums of times from overflowing.
    let value: u64 = positive(text)?;
    if value > 86_400 {
        return Err("expected at most 86400 seconds".to_owned());
    }
    *field = Duration::from_secs(value);
    Ok(())
}

/// Yes or no.
pub(crate) fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// An empty key means none, as in Qdrant.
pub(crate) fn no_authentication(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    Err(
        "this version has no authentication, and will not start as if it had: \
         put a proxy in front and remove the setting"
            .to_owned(),
    )
}

/// Refuses what this version does not have.
pub(crate) fn absent(text: &str, what: &str) -> Result<(), String> {
    if flag(text)? {
        return Err(format!("this version does not have {what}"));
    }
    Ok(())
}
