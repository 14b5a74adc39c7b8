//! Server-sent events as they come in pieces.

/// Bytes of one event; a larger one is left out.
const LARGEST: usize = 1 << 16;

/// One event: its name (`message` where it has none) and its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerEvent {
    pub name: String,
    pub data: String,
}

/// Takes bytes however they are cut, and gives whole events.
#[derive(Default)]
pub struct Parser {
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed right after it ends no other line.
    was_return: bool,
    name: String,
    data: Option<String>,
    /// The event at hand is too large.
    is_large: bool,
}

impl Parser {
    pub fn take(&mut self, bytes: &[u8]) -> Vec<ServerEvent> {
        let mut events = Vec::new();
        for byte in bytes {
            let was_return = std::mem::replace(&mut self.was_return, *byte == b'\r');
            match byte {
                b'\n' if was_return => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ if self.line.len() >= LARGEST => self.is_large = true,
                _ => self.line.push(*byte),
            }
        }
        events
    }

    fn end_line(&mut self) -> Option<ServerEvent> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), self.data.take());
            let is_large = std::mem::take(&mut self.is_large);
            let name = if name.is_empty() { "message".to_owned() } else { name };
            return data.filter(|_| !is_large).map(|data| ServerEvent { name, data });
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) if data.len() + value.len() < LARGEST => {
                    data.push('\n');
                    data.push_str(value);
                }
                Some(_) => self.is_large = true,
                None => self.data = Some(value.to_owned()),
            },
            // Comments keep the connection open; ids and retries are not used.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> ServerEvent {
        ServerEvent { name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn however_it_is_cut() {
        let stream = "event: hello\ndata: {}\n\n: still here\n\ndata: {\"kind\":\"turn\"}\n\nid: 7\ndata: one\r\ndata:two\r\n\r\nevent: missed\rdata: 日本\r\r";
        let whole = [
            event("hello", "{}"),
            event("message", "{\"kind\":\"turn\"}"),
            event("message", "one\ntwo"),
            event("missed", "日本"),
        ];
        for size in 1..=stream.len() {
            let mut parser = Parser::default();
            let events: Vec<ServerEvent> = stream.as_bytes().chunks(size).flat_map(|piece| parser.take(piece)).collect();
            assert_eq!(events, whole, "in pieces of {size}");
        }
    }

    #[test]
    fn large_and_hostile() {
        let mut parser = Parser::default();
        // A line without end takes no more memory than an event may have.
        for _ in 0..64 {
            assert!(parser.take(&[b'x'; 1 << 16]).is_empty());
        }
        assert!(parser.line.len() <= LARGEST);
        assert!(parser.take(b"\n\n").is_empty());
        // Nor do lines without end of one event.
        let line = format!("data: {}\n", "y".repeat(1000));
        for _ in 0..10_000 {
            assert!(parser.take(line.as_bytes()).is_empty());
        }
        assert!(parser.data.as_ref().unwrap().len() <= LARGEST);
        assert_eq!(parser.take(b"\ndata: after\n\n"), [event("message", "after")]);
        assert_eq!(
            parser.take(b"data: \xff\xfe\n\nnonsense\n\n\n\ndata\n\n"),
            [event("message", "\u{fffd}\u{fffd}"), event("message", "")]
        );
        assert!(parser.take(b"event: alone\n\n").is_empty());
    }
}
