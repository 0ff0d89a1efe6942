include!("parts.rs");
include!("same_sections.rs");

/// Takes the bytes as the sections of a graph part.
pub(crate) fn body(data: &[u8]) {
    use format_spec::graph::NOT_IN_GRAPH;
    use format_spec::{GraphBuilder, GraphLayout};

    let (bytes, layout) = part(PartKind::Graph, data);
    let Ok(opened) = GraphLayout::open(&layout, &bytes) else {
        return;
    };
    let view = opened.view(&bytes);
    let level = |row| view.level(row).unwrap_or(NOT_IN_GRAPH);
    let levels: Vec<u8> = (0..view.len()).map(level).collect();
    let mut again = GraphBuilder::new(writer(PartKind::Graph), *view.head(), levels.clone())
        .expect("head was accepted");
    for row in 0..view.len() {
        assert!(
            view.base(row)
                .iter()
                .all(|&next| level(next) != NOT_IN_GRAPH)
        );
        again.base(view.base(row)).expect("at most m0");
    }
    for (row, &top) in (0..)
        .zip(&levels)
        .filter(|(_, level)| **level != NOT_IN_GRAPH)
    {
        for layer in 1..=top {
            let list = view.neighbours(layer, row);
            assert!(
                list.iter()
                    .all(|&next| level(next) >= layer && level(next) != NOT_IN_GRAPH)
            );
            again.upper(list).expect("at most m");
        }
    }
    let (built, _) = again.finish().expect("memory does not fail");
    same_sections(PartKind::Graph, (&bytes, &layout), &built);
    let stale = opened.view(data);
    let _ = (
        stale.base(0),
        stale.neighbours(1, 0),
        stale.neighbours(9, u32::MAX),
    );
}
