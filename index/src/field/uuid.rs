//! UUIDs in payloads: texts, however they are spelt.

use uuid::Uuid;

/// The UUID that a text is, with or without hyphens, braces or `urn:uuid:`.
#[must_use]
pub fn parse(text: &str) -> Option<u128> {
    Uuid::try_parse(text).ok().map(|uuid| uuid.as_u128())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_the_same_uuid() {
        for text in [
            "550e8400-e29b-41d4-a716-446655440000",
            "550E8400E29B41D4A716446655440000",
            "{550e8400-e29b-41d4-a716-446655440000}",
            "urn:uuid:550e8400-e29b-41d4-a716-446655440000",
        ] {
            assert_eq!(parse(text), Some(0x550e_8400_e29b_41d4_a716_4466_5544_0000));
        }
        assert_eq!(parse("550e8400"), None);
    }
}
