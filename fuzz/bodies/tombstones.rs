include!("parts.rs");
include!("same_sections.rs");

/// Takes the bytes as the sections of a tombstones part.
pub(crate) fn body(data: &[u8]) {
    use format_spec::{TombstonesBuilder, TombstonesLayout};

    let (bytes, layout) = part(PartKind::Tombstones, data);
    let Ok(opened) = TombstonesLayout::open(&layout, &bytes) else {
        return;
    };
    let view = opened.view(&bytes);
    assert!(view.dead().iter().take(1000).all(|row| view.is_dead(row)));
    let dead = view.dead().to_words();
    let builder = TombstonesBuilder {
        rows: view.len(),
        exact_for: view.exact_for(),
        dead: &dead,
    };
    let (built, _) = builder
        .finish(writer(PartKind::Tombstones))
        .expect("memory does not fail");
    same_sections(PartKind::Tombstones, (&bytes, &layout), &built);
    let stale = opened.view(data);
    let _ = (stale.is_dead(0), stale.dead().iter().take(1000).count());
}
