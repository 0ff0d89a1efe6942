/// Every byte is a tag or is not; strides follow from any dimension without overflow.
pub(crate) fn body(data: &[u8]) {
    use format_spec::{Codec, Element, FieldType, HnswSettings, Metric, PartKind, VectorSchema};

    for &byte in data {
        assert!(Metric::from_tag(byte).is_none_or(|metric| metric.tag() == byte));
        assert!(Element::from_tag(byte).is_none_or(|element| element.tag() == byte));
        assert!(FieldType::from_tag(byte).is_none_or(|field_type| field_type.tag() == byte));
        assert!(PartKind::from_tag(byte).is_none_or(|kind| {
            kind.tag() == byte && PartKind::from_extension(kind.extension()) == Some(kind)
        }));
    }
    if let Some((dim, [tag, ..])) = data.split_first_chunk::<4>()
        && let Some(element) = Element::from_tag(*tag)
    {
        let dim = u32::from_le_bytes(*dim);
        let (metric, hnsw) = (Metric::Dot, HnswSettings::default());
        let codec = Codec::Auto;
        let vector = VectorSchema { name: String::new(), dim, metric, element, hnsw, codec };
        assert_eq!(vector.stride() as u64, u64::from(dim) * element.size() as u64);
    }
}
