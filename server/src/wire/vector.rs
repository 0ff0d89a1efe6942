//! Vectors in JSON: numbers straight into floats.
//!
//! Where the API takes a vector it also takes sparse vectors, multivectors and objects that a
//! model would turn into a vector. Those are recognised here, so that they are refused by name
//! and not as malformed.

use std::fmt;

use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::reader::FLOAT;

/// What a JSON value in the place of a vector is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// Numbers.
    Dense,
    /// Something that this version does not have.
    Unsupported(&'static str),
}

pub(crate) const MULTIVECTORS: &str = "multivectors";
pub(crate) const SPARSE: &str = "sparse vectors";
pub(crate) const INFERENCE: &str = "inference (documents, images and objects in place of vectors)";

/// Appends the numbers of a list to the floats it was given.
pub(crate) struct FloatsSeed<'a>(pub(crate) &'a mut Vec<f32>);

impl<'de> DeserializeSeed<'de> for FloatsSeed<'_> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FloatsSeed<'_> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vector: a list of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        while let Some(element) = items.next_element()? {
            match element {
                Element::Number(number) => self.0.push(number),
                Element::List => {
                    while items.next_element::<IgnoredAny>()?.is_some() {}
                    return Ok(Shape::Unsupported(MULTIVECTORS));
                }
            }
        }
        Ok(Shape::Dense)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Shape, A::Error> {
        let mut shape = INFERENCE;
        while let Some(key) = members.next_key::<String>()? {
            if matches!(key.as_str(), "indices" | "values") {
                shape = SPARSE;
            }
            members.next_value::<IgnoredAny>()?;
        }
        Ok(Shape::Unsupported(shape))
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Unsupported(INFERENCE))
    }
}

/// One item of a list that should be a vector.
enum Element {
    Number(f32),
    /// The list is a list of lists.
    List,
}

impl<'de> Deserialize<'de> for Element {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(FLOAT, ElementVisitor)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Element, D::Error> {
        deserializer.deserialize_any(self)
    }

    #[inline]
    fn visit_f32<E: de::Error>(self, value: f32) -> Result<Element, E> {
        Ok(Element::Number(value))
    }

    #[inline]
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Element, E> {
        to_f32(value).map(Element::Number)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Element, E> {
        // Rounds to the nearest float, as any other literal does.
        Ok(Element::Number(value as f32))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Element, E> {
        Ok(Element::Number(value as f32))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Element, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Element::List)
    }
}

/// The nearest 32-bit float; JSON has no NaN, and what would become infinite is refused.
#[inline]
fn to_f32<E: de::Error>(value: f64) -> Result<f32, E> {
    let nearest = value as f32;
    if nearest.is_finite() {
        return Ok(nearest);
    }
    Err(E::custom(format_args!(
        "number {value:e} is out of the range of a 32-bit float"
    )))
}

/// A 32-bit float on its own.
pub(crate) fn float<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    Option::<f64>::deserialize(deserializer)?
        .map(to_f32)
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Shape, Vec<f32>), serde_json::Error> {
        let mut floats = Vec::new();
        let mut reader = serde_json::Deserializer::from_str(text);
        let shape = FloatsSeed(&mut floats).deserialize(&mut reader)?;
        reader.end()?;
        Ok((shape, floats))
    }

    #[test]
    fn numbers_of_every_spelling_become_floats() {
        let (shape, floats) = read("[1, -2, 0.5, 1e-3, 18446744073709551615, 1e-60]").unwrap();
        assert_eq!(shape, Shape::Dense);
        assert_eq!(floats, [1.0, -2.0, 0.5, 1e-3, 1.844_674_4e19, 0.0]);
        assert_eq!(read("[]").unwrap(), (Shape::Dense, vec![]));
    }

    #[test]
    fn what_no_float_can_hold_is_an_error() {
        for text in [
            "[1e39]",
            "[-1e39]",
            "[1e999]",
            "[NaN]",
            "[Infinity]",
            "[null]",
            "7",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let error = read("[0, 1e39]").unwrap_err().to_string();
        assert!(
            error.contains("out of the range of a 32-bit float"),
            "{error}"
        );
    }

    #[test]
    fn other_kinds_of_vectors_are_recognised() {
        let what = |text: &str| match read(text).unwrap().0 {
            Shape::Unsupported(what) => what,
            Shape::Dense => "dense",
        };
        assert_eq!(what("[[1, 2], [3]]"), MULTIVECTORS);
        assert_eq!(what("{\"indices\": [1], \"values\": [2]}"), SPARSE);
        assert_eq!(what("{\"text\": \"hello\", \"model\": \"m\"}"), INFERENCE);
    }
}
