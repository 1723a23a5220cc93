//! Fields of JSON lines.

use pipe::column::write_integer;

/// Appends `"name": [1, 2]`.
pub fn write_list(name: &str, numbers: &[u32], line: &mut Vec<u8>) {
    line.push(b'"');
    line.extend(name.bytes());
    line.extend(b"\": [");
    for (place, &number) in numbers.iter().enumerate() {
        if place > 0 {
            line.extend(b", ");
        }
        write_integer(u64::from(number), line);
    }
    line.push(b']');
}

/// Appends `"name": "text"`.
pub fn write_text(name: &str, text: &str, line: &mut Vec<u8>) {
    line.push(b'"');
    line.extend(name.bytes());
    line.extend(b"\": ");
    line.extend(serde_json::to_string(text).expect("any text is JSON").bytes());
}
