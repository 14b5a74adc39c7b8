//! Frames of every size, as text.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui_core::backend::TestBackend;
use ratatui_core::style::Color;
use ratatui_core::terminal::Terminal;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{Theme, draw};
use crate::detail::Detail;
use crate::event::Event;
use crate::server::{Server, Unanswered};
use crate::snapshot::Snapshot;
use crate::stand_in::{Answers, StandIn};
use crate::state::{State, Wish};
use crate::text;

const NOW: &str = "2026-11-25T14:03:30Z";

fn state(answers: Answers) -> State {
    let server = StandIn::start(answers);
    let now: Timestamp = NOW.parse().unwrap();
    let snapshot = Snapshot::ask(&Server::new(&server.url(), None, None).unwrap(), &TimeZone::UTC, now).unwrap();
    let mut state = State::new("http://localhost:9090", TimeZone::UTC, now);
    state.take_figures(Ok(snapshot));
    state
}

fn busy() -> State {
    let mut state = state(Answers::busy());
    for data in [
        r#"{"kind":"turn","at":"2026-11-25T14:02:58Z","session":"24a274a3-1111","project":"/w/ducat","ended":false}"#,
        r#"{"kind":"request","at":"2026-11-25T14:03:09Z","session":"24a274a3-1111","project":"/w/ducat","model":"claude-opus-5","cost_usd":0.081}"#,
        r#"{"kind":"tool_call","at":"2026-11-25T14:03:11Z","session":"24a274a3-1111","project":"/w/ducat","name":"Bash","target":"cargo test","outcome":"ok","duration_ms":1200}"#,
        r#"{"kind":"tool_call","at":"2026-11-25T14:03:12Z","session":"5218aaaa","project":"website","name":"Read","target":"/w/a.rs","outcome":"error","duration_ms":3}"#,
    ] {
        state.take_event(Event::parse(data, state.now).unwrap());
    }
    state
}

fn frame(state: &State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(state, Theme { has_color: false }, true, frame.buffer_mut())).unwrap();
    text(terminal.backend().buffer())
}

fn key(state: &mut State, code: KeyCode) -> Option<Wish> {
    state.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn same(got: &str, expected: &str) {
    assert_eq!(got.trim_end(), expected.trim_matches('\n').trim_end(), "\n{got}");
}

#[test]
fn eighty_columns() {
    let state = busy();
    same(
        &frame(&state, 80, 24),
        "
   $38.12 today     $6.10/h  5h  62% →15:00  7d  91%!   2 live  ▁▁▁▁▁▁▁▁▂▃█▁▅▁▆
 on a plan: costs are at list price
  SESSION   PROJECT     MODEL       TURNS       COST       $/H  LAST
● 24a274a3  ducat       opus-5         82      $6.98     $4.20  Bash cargo test
● 5218aaaa  website     sonnet-5       82      $1.90     $1.90  ✗ Read a.rs
  [2Jevil   日本語]0;x  gpt-x          82    unknown     $0.00  24 Nov









 TOOL          CALLS   ERR       P50       P95   EVENTS
 Bash            412    3%     1.1 s     9.8 s   14:03:12  ✗  Read a.rs error 3…
 mcp__brows…       7   29%         –     9.8 s   14:03:11  ✓  Bash cargo test 1…
                                                 14:03:09     opus-5 $0.0810
                                                 14:02:58     prompt



 q quit  ? help  s sort: last   / filter  Enter open
",
    );
}

#[test]
fn wide_shows_more() {
    let frame = frame(&busy(), 140, 40);
    for part in [
        "  5h  62% →15:00  7d  91%! out Thu 18:00 →Fri 15:00   2 live  ▁▁▁",
        "  SESSION   PROJECT      AGENT         MODEL       STARTED  REQUESTS   TOOLS   ERR  TURNS       COST       $/H      AT  LAST",
        "● 24a274a3  ducat        claude-code   opus-5        13:02       412   1,300     3     82      $6.98     $4.20   14:03  Bash cargo test",
        "      P50       P95       P99   EVENTS",
        "14:03:12  ✗  Read a.rs error 3 ms                        website",
    ] {
        assert!(frame.contains(part), "{part}\n{frame}");
    }
    assert_eq!(frame.lines().count(), 40);
}

#[test]
fn narrow_drops_columns_in_their_order() {
    same(
        &frame(&busy(), 60, 20),
        "
   $38.12 today     $6.10/h  5h  62%  7d  91%!   2 live
 on a plan: costs are at list price
  SESSION   PROJECT          COST       $/H  LAST
● 24a274a3  ducat           $6.98     $4.20  Bash cargo test
● 5218aaaa  website         $1.90     $1.90  ✗ Read a.rs
  [2Jevil   日本語]0;x    unknown     $0.00  24 Nov







 TOOL              CALLS   ERR       P50       P95       P99
 Bash                412    3%     1.1 s     9.8 s   1 m 1 s
 mcp__browser__…       7   29%         –     9.8 s   1 m 1 s



 q quit  ? help  s sort: last   / filter  Enter open
",
    );
    same(
        &frame(&busy(), 40, 10),
        "
   $38.12 today     $6.10/h   2 live
 on a plan: costs are at list price
  SESSION   PROJECT                 COST
● 24a274a3  ducat                  $6.98
● 5218aaaa  website                $1.90
  [2Jevil   日本語]0;x           unknown



 q quit  ? help  s sort: last   / filte…
",
    );
}

#[test]
fn too_small_is_said() {
    same(&frame(&busy(), 30, 8), "ducat top needs 40x10;\nthis is 30x8.");
    for (width, height) in [(1, 1), (39, 50), (200, 9), (10, 3), (40, 10), (1000, 1000)] {
        assert_eq!(frame(&busy(), width, height).lines().count(), usize::from(height));
    }
}

/// A call is told of as it begins, as it ends, and when a transcript tells of it again.
#[test]
fn what_is_told_again_is_shown_once_and_where_it_was() {
    let mut state = busy();
    let mut tell = |at: &str, id: &str, outcome: Option<&str>| {
        let event = serde_json::json!({ "kind": "tool_call", "at": at, "session": "5218aaaa", "tool_call": id, "name": id, "outcome": outcome });
        state.take_event(Event::parse(&event.to_string(), state.now).unwrap());
        (
            state.events.iter().map(|event| event.what.clone()).collect::<Vec<_>>(),
            state.heard["5218aaaa"].what.clone(),
            frame(&state, 80, 24),
        )
    };
    let (_, last, shown) = tell("2026-11-25T14:03:20Z", "Grep", None);
    assert!(last == "Grep" && shown.contains("14:03:20     Grep running"), "{shown}");
    tell("2026-11-25T14:03:21Z", "Glob", Some("ok"));
    let (events, last, shown) = tell("2026-11-25T14:03:20Z", "Grep", Some("error"));
    assert_eq!((events[..3].join(" "), events.len(), last.as_str()), ("Glob Grep Read a.rs".to_owned(), 6, "Glob"));
    assert!(shown.contains("14:03:20  ✗  Grep error"), "{shown}");
    assert_eq!(tell("2026-11-25T14:00:00Z", "Task", Some("ok")).0.last().unwrap(), "Task");
}

#[test]
fn a_session_that_is_open() {
    let mut state = busy();
    assert_eq!(key(&mut state, KeyCode::Enter), Some(Wish::Open("24a274a3-1111".to_owned())));
    let told = serde_json::json!({
        "agent": "claude-code", "version": "2.1.219", "cwd": "/w/ducat", "turns": [{ "started_at": "2026-11-25T14:00:00Z" }], "incidents": [],
        "requests": [{ "model": "claude-opus-5", "started_at": "2026-11-25T14:00:02Z", "input_tokens": 12, "output_tokens": 900,
            "cache_read_tokens": 88_000, "cache_write_5m_tokens": 1200, "cost_nano_usd": "81000000" }],
        "tool_calls": [{ "name": "Bash", "target": "cargo test", "started_at": "2026-11-25T14:00:09Z", "outcome": "error", "duration_ms": 1200 }],
    });
    state.take_detail(Ok(Detail::of("24a274a3-1111", &told)));
    // Of another session, that was open before.
    state.take_detail(Ok(Detail::of("5218aaaa", &told)));
    same(
        &frame(&state, 80, 16),
        "
 session 24a274a3-1111
 claude-code 2.1.219 · /w/ducat
 $0.0810 · 1 turn · 1 request · 1 tool call · 0 incidents

 MODEL                REQUESTS    INPUT   OUTPUT  CACHE READ  WRITTEN       COST
 opus-5                      1       12      900      88.0 k   1.20 k    $0.0810

 TIME         WHAT
 14:00:09  ✗  Bash cargo test                                        error 1.2 s
 14:00:02     opus-5                                                     $0.0810
 14:00:00     prompt




 q quit  Esc back  j k move
",
    );
    for _ in 0..9 {
        key(&mut state, KeyCode::Down);
    }
    assert!(frame(&state, 40, 10).contains("14:00:00     prompt"));
}

/// Whatever the size, and wherever one is.
#[test]
fn no_size_is_overdrawn() {
    let mut state = busy();
    for code in [KeyCode::Null, KeyCode::Char('?'), KeyCode::Esc, KeyCode::Enter] {
        key(&mut state, code);
        for width in (1..160).step_by(7) {
            for height in 1..30 {
                let frame = frame(&state, width, height);
                assert!(frame.lines().all(|line| crate::plain::width(line) <= usize::from(width)), "{width}x{height}\n{frame}");
            }
        }
    }
}

#[test]
fn nothing_heard_is_not_nothing_spent() {
    let quiet = frame(&state(Answers::older()), 80, 24);
    for part in [
        "    $0.00 today   0 live",
        "nothing heard yet",
        "an older server: no $/h, no tools",
        "No sessions yet",
        "nothing heard since 14:03",
    ] {
        assert!(quiet.contains(part), "{part}\n{quiet}");
    }
    assert!(!quiet.contains("/h ") && !quiet.contains("P95"), "{quiet}");
    let answers = Answers::busy();
    let totals = serde_json::json!({ "requests": 0, "cost_nano_usd": "0", "unpriced_requests": 0 });
    answers.set("report?by=billing", 200, serde_json::json!({ "rows": [], "totals": totals }));
    let mut yesterday = state(answers);
    yesterday.now = "2026-11-26T09:00:00Z".parse().unwrap();
    assert!(frame(&yesterday, 80, 24).contains(" nothing heard since 25 Nov 14:03\n"));
}

#[test]
fn unknown_cost_is_no_zero() {
    let answers = Answers::busy();
    let totals =
        |nano| serde_json::json!({ "rows": [], "totals": { "requests": 3, "cost_nano_usd": nano, "unpriced_requests": 2 } });
    answers.set("report?by=billing", 200, totals(serde_json::Value::Null));
    let frame_of = |answers: Answers| frame(&state(answers), 80, 24);
    let all = frame_of(answers.clone());
    assert!(all.starts_with("  unknown today") && all.contains(" 2 requests of unknown price today"), "{all}");
    answers.set("report?by=billing", 200, totals("4210000000".into()));
    assert!(frame_of(answers).starts_with("  $4.21+? today"));
}

#[test]
fn a_lost_server_keeps_its_last_figures() {
    let mut state = busy();
    state.take_figures(Err(Unanswered::Away { url: "u".to_owned(), why: "refused".to_owned() }));
    state.now = "2026-11-25T14:09:00Z".parse().unwrap();
    let lost = frame(&state, 80, 24);
    assert!(lost.contains(" not connected since 14:03; these are the last figures\n") && lost.contains("$38.12 today"), "{lost}");
}

#[test]
fn keys_sort_filter_move_and_open() {
    let mut state = busy();
    let first = |state: &State| state.sessions().first().map(|session| session.session.clone()).unwrap();
    key(&mut state, KeyCode::Char('j'));
    assert_eq!(state.selected.as_deref(), Some("5218aaaa"));
    for _ in 0..9 {
        key(&mut state, KeyCode::Down);
    }
    assert!(state.selected.as_deref().unwrap().contains("evil"));
    key(&mut state, KeyCode::Char('s'));
    assert_eq!((state.sort.name(), first(&state).as_str()), ("cost ", "24a274a3-1111"));
    for letter in "/WEB".chars() {
        key(&mut state, KeyCode::Char(letter));
    }
    assert!(frame(&state, 80, 24).contains(" /WEB_  Enter keep"));
    assert_eq!((key(&mut state, KeyCode::Enter), first(&state).as_str()), (None, "5218aaaa"));
    let filtered = frame(&state, 80, 24);
    assert!(filtered.contains("/ filter: WEB") && !filtered.contains("24a274a3"), "{filtered}");
    // What is not shown is not opened.
    assert_eq!(key(&mut state, KeyCode::Enter), Some(Wish::Open("5218aaaa".to_owned())));
    assert!(frame(&state, 80, 24).contains("asking"));
    assert_eq!(key(&mut state, KeyCode::Esc), Some(Wish::Close));
    key(&mut state, KeyCode::Esc);
    assert_eq!(state.sessions().len(), 3);
    assert_eq!(key(&mut state, KeyCode::Char('q')), Some(Wish::Quit));
    for letter in "/q\u{1b}?".chars() {
        assert_eq!(key(&mut state, KeyCode::Char(letter)), None);
    }
    assert_eq!(state.filter, "q?");
    assert!(frame(&state, 80, 24).contains("No session matches \"q?\""));
    assert_eq!(state.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Wish::Quit));
}

#[test]
fn colours_are_of_states_and_can_be_left_out() {
    let state = busy();
    let styles = |has_color| {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(&state, Theme { has_color }, true, frame.buffer_mut())).unwrap();
        terminal.backend().buffer().content().iter().map(|cell| (cell.fg, cell.bg)).collect::<Vec<_>>()
    };
    assert!(styles(false).iter().all(|style| *style == (Color::Reset, Color::Reset)));
    assert!(styles(true).iter().any(|style| style.0 == Color::Green));
    assert!(styles(true).iter().all(|style| style.1 == Color::Reset));
}

/// No byte of a foreign name but letters reaches the terminal.
#[test]
fn hostile_names_in_every_view() {
    let mut state = busy();
    let hostile = "\u{1b}]0;x\u{7}\u{202e}\u{9b}31m\r\n\u{200d}";
    let event = serde_json::json!({ "kind": "tool_call", "session": hostile, "project": hostile, "name": hostile, "target": hostile, "outcome": hostile });
    state.take_event(Event::parse(&event.to_string(), state.now).unwrap());
    state.lost = Some(Unanswered::Unknown(hostile.to_owned()));
    for _ in 0..3 {
        let frame = frame(&state, 140, 40);
        let is_fine = |letter: char| {
            letter == '\n' || (!letter.is_control() && !matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'))
        };
        assert!(frame.chars().all(is_fine), "{frame:?}");
        key(&mut state, KeyCode::Char('j'));
        state.snapshot = if state.snapshot.is_some() { None } else { state.snapshot };
    }
}
