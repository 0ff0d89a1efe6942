/// What the parser accepts can be walked to the end without a panic.
pub(crate) fn body(data: &[u8]) {
    use format_spec::wal_ops::{Op, OpsBuf, OpsRef};

    let Ok(ops) = OpsRef::parse(data) else {
        assert!(OpsBuf::new(data).is_err());
        return;
    };
    let mut count = 0;
    for op in ops.iter() {
        count += 1;
        assert_eq!(op.ids().iter().len(), op.ids().len());
        match op {
            Op::Upsert(upsert) => {
                for i in 0..upsert.len() {
                    assert!(format_spec::ValueRef::new(upsert.payload(i)).is_ok());
                    let rows = upsert.vectors().filter_map(|block| block.row(i));
                    rows.for_each(|row| assert!(!row.is_empty()));
                }
                for block in upsert.vectors() {
                    let present = (0..upsert.len()).filter(|&i| block.row(i).is_some()).count();
                    assert_eq!(present, block.present());
                    assert!(block.row(upsert.len()).is_none());
                }
            }
            Op::Delete(delete) => (0..delete.len()).for_each(|i| drop(delete.id(i).to_string())),
            Op::Patch(patch) => {
                for i in 0..patch.len() {
                    assert!(format_spec::value::validate(patch.payload(i)).is_ok());
                }
            }
        }
    }
    assert_eq!(count, ops.len());
}
