//! Figures for people.

/// `812`, `41.2 k`, `1.23 M`, `88.1 M`, `1.20 G`: three significant digits from a thousand on.
pub fn tokens(count: u64) -> String {
    if count < 1000 {
        return count.to_string();
    }
    let mut value = count as f64;
    let mut unit = "";
    for next in ["k", "M", "G", "T", "P", "E"] {
        value /= 1000.0;
        unit = next;
        if value < 999.5 {
            break;
        }
    }
    let decimals = match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

/// `1,452`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A field of comma-separated values: RFC 4180 quoting; a leading `=`, `+`, `-`, `@`, tab or carriage return is quoted with an apostrophe
/// so that no spreadsheet runs it.
pub fn csv_field(field: &str) -> String {
    let field = if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.00 k"),
            (41_230, "41.2 k"),
            (310_400, "310 k"),
            (999_499, "999 k"),
            (999_500, "1.00 M"),
            (1_106_062_802, "1.11 G"),
            (u64::MAX, "18.4 E"),
        ] {
            assert_eq!(tokens(value), text);
        }
        assert_eq!(count(1_452), "1,452");
    }

    #[test]
    fn fields_of_csv_are_quoted_and_never_run() {
        for (field, text) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("=1+1", "'=1+1"),
            ("@x,y", "\"'@x,y\""),
            ("\t=1", "'\t=1"),
            ("two\nlines", "\"two\nlines\""),
        ] {
            assert_eq!(csv_field(field), text);
        }
    }
}
