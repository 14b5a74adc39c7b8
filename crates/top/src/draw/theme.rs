//! Colours, of states alone, and none where none are wanted.

use std::env;

use ratatui_core::style::{Color, Modifier, Style};

/// What a piece of text says by its look; each says it in words too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    /// Heads of tables, units, keys.
    Dim,
    /// The answer.
    Strong,
    Good,
    Warning,
    Bad,
}

#[derive(Clone, Copy)]
pub struct Theme {
    pub has_color: bool,
}

impl Theme {
    /// Colours unless `NO_COLOR` is set.
    pub fn of_environment() -> Self {
        Self { has_color: env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    /// The terminal's own colours, which its user chose to be read.
    pub fn style(self, tone: Tone) -> Style {
        let color = |color| if self.has_color { Style::new().fg(color) } else { Style::new() };
        match tone {
            Tone::Plain => Style::new(),
            Tone::Dim => Style::new().add_modifier(Modifier::DIM),
            Tone::Strong => Style::new().add_modifier(Modifier::BOLD),
            Tone::Good => color(Color::Green),
            Tone::Warning => color(Color::Yellow),
            Tone::Bad => color(Color::Red).add_modifier(Modifier::BOLD),
        }
    }
}
