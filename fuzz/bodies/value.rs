/// The owned tree, the borrowed views and the validator agree, and decoding is canonical.
pub(crate) fn body(data: &[u8]) {
    use format_spec::{DecodeError, Value, ValueKind, ValueRef, value};

    fn walk(value: ValueRef<'_>) -> Result<usize, DecodeError> {
        let mut nodes = 1;
        match value.kind()? {
            ValueKind::Array(array) => {
                for item in array.iter() {
                    nodes += walk(item?)?;
                }
            }
            ValueKind::Object(object) => {
                for member in object.iter() {
                    let (key, value) = member?;
                    assert!(object.get(key)?.is_some());
                    nodes += walk(value)?;
                }
            }
            ValueKind::Null
            | ValueKind::Bool(_)
            | ValueKind::Int(_)
            | ValueKind::Uint(_)
            | ValueKind::Float(_)
            | ValueKind::Text(_) => {}
        }
        Ok(nodes)
    }

    let decoded = Value::decode(data);
    assert_eq!(decoded.is_ok(), value::validate(data).is_ok());
    if let Ok(decoded) = &decoded {
        assert_eq!(decoded.to_bytes(), data);
        assert!(ValueRef::new(data).is_ok_and(|view| walk(view).is_ok()));
    } else if let Ok(view) = ValueRef::new(data) {
        // Deep nesting is refused by the decoder only; small inputs cannot exhaust the stack here.
        if data.len() < 4096 {
            let _ = walk(view);
        }
    }
}
