/// A path that parses is written back as it was read.
pub(crate) fn body(data: &[u8]) {
    use format_spec::path;
    let Ok(text) = std::str::from_utf8(data) else { return };
    for line in text.lines() {
        if let Some(path) = path::DataPath::parse(line) {
            assert_eq!(path.to_string(), line);
        }
        if let Some(number) = path::parse_wal_name(line) {
            assert_eq!(path::wal_name(number), line);
        }
        if let Some((id, kind)) = path::parse_part_name(line) {
            assert_eq!(path::part_name(id, kind), line);
        }
        if let Ok(id) = line.parse::<format_spec::PointId>() {
            assert_eq!(id.to_string(), line);
        }
    }
}
