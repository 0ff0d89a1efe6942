/// Takes the bytes as a bitmap: what opens must encode to the same bytes.
pub(crate) fn body(data: &[u8]) {
    use format_spec::bitmap::{BitmapLayout, encode_bitmap};

    let Ok(opened) = BitmapLayout::open(data, 0..data.len() as u64, "bitmap") else {
        return;
    };
    let view = opened.view(data);
    let words = view.to_words();
    let count: u32 = words.iter().map(|word| word.count_ones()).sum();
    assert_eq!(view.count(), count);
    for row in view.iter().take(1000) {
        assert!(view.contains(row));
    }
    let mut again = Vec::new();
    encode_bitmap(view.len(), &words, &mut again);
    assert_eq!(again, data, "one set, one encoding");
    let stale = opened.view(&data[data.len() / 2..]);
    let _ = (stale.contains(0), stale.iter().take(1000).count());
}
