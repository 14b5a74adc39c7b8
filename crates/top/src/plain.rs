//! Foreign text made fit for a terminal, and cut to its columns.

use unicode_width::UnicodeWidthChar;

/// Letters kept of any name: what no terminal shows need not be measured.
const LONGEST: usize = 400;

/// The text in one line, blanks as one, without what a terminal would obey or could not place: control characters, among them those of escape sequences, marks
/// that turn the direction of writing, joiners, and more than two marks upon one letter.
pub fn plain(text: &str) -> String {
    let mut kept = String::new();
    let mut marks = 0;
    for letter in text.chars().take(LONGEST) {
        let is_blank = letter.is_whitespace();
        if is_blank && (kept.is_empty() || kept.ends_with(' ')) {
            continue;
        }
        let letter = if is_blank { ' ' } else { letter };
        match letter.width() {
            None => continue,
            Some(0) if is_invisible(letter) || kept.is_empty() || marks == 2 => continue,
            Some(0) => marks += 1,
            Some(_) if is_invisible(letter) => continue,
            Some(_) => marks = 0,
        }
        kept.push(letter);
    }
    kept.truncate(kept.trim_end().len());
    kept
}

/// Format characters: they have no look of their own and change that of others.
fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Columns that the text takes, [`plain`] as it is.
pub fn width(text: &str) -> usize {
    text.chars().map(|letter| letter.width().unwrap_or(0)).sum()
}

/// The text in at most so many columns, with `…` where it was cut.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let (mut kept, mut taken) = (String::new(), 0);
    for letter in text.chars() {
        taken += letter.width().unwrap_or(0);
        if taken >= columns {
            break;
        }
        kept.push(letter);
    }
    if columns > 0 {
        kept.push('…');
    }
    kept
}

/// Cut or filled up with blanks behind.
pub fn left(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let blanks = columns.saturating_sub(width(&text));
    text + &" ".repeat(blanks)
}

/// Cut or filled up with blanks before: for figures.
pub fn right(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    " ".repeat(columns.saturating_sub(width(&text))) + &text
}

/// The last part of a path of any system, which tells most.
pub fn place(path: &str) -> &str {
    path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_terminal_obeys_is_left() {
        for (hostile, shown) in [
            ("\x1b]0;owned\x07ducat\x1b[2J", "]0;ownedducat[2J"),
            ("a\r\nb\tc\u{85}d\u{2028}e", "a b c d e"),
            ("\u{9b}31mred", "31mred"),
            ("\u{202e}gnp.exe\u{202c}", "gnp.exe"),
            ("\u{2066}x\u{2069}\u{200f}\u{feff}\u{e0041}", "x"),
            ("👩\u{200d}💻", "👩💻"),
            ("\u{301}e\u{301}\u{302}\u{303}\u{304}x\u{305}", "e\u{301}\u{302}x\u{305}"),
            ("שלום 日本", "שלום 日本"),
        ] {
            assert_eq!(plain(hostile), shown, "{hostile:?}");
        }
        assert_eq!(plain(&"x".repeat(1 << 20)).len(), LONGEST);
    }

    #[test]
    fn columns_are_counted_as_a_terminal_does() {
        assert_eq!((cut("日本語", 6), cut("日本語", 5), cut("日本語", 4)), ("日本語".into(), "日本…".into(), "日…".into()));
        assert_eq!((cut("abc", 0), cut("abc", 1), cut("abc", 3)), (String::new(), "…".into(), "abc".into()));
        assert_eq!((left("日", 4), right("$1", 4)), ("日  ".to_owned(), "  $1".to_owned()));
        assert_eq!((place("/home/dev/proj/"), place("D:\\oh-my-posh"), place("")), ("proj", "oh-my-posh", ""));
    }
}
