//! Times whole processes in turns, each fed the same standard input: what `scripts/bench-hook` measures with. Python's or hyperfine's own
//! cost of starting a process would be most of what is measured.
//!
//! Usage: time_commands RUNS INPUT_FILE COMMAND [ARG] , COMMAND …; prints `median_us p99_us COMMAND` a line.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Instant;

fn main() {
    let mut args = std::env::args().skip(1);
    let runs: usize = args.next().and_then(|runs| runs.parse().ok()).expect("how many runs");
    let input = args.next().expect("the input file");
    let words: Vec<String> = args.collect();
    let commands: Vec<&[String]> = words.split(|word| word == ",").collect();
    let mut times = vec![Vec::with_capacity(runs); commands.len()];
    for run in 0..runs + 10 {
        for (command, times) in commands.iter().zip(&mut times) {
            let begun = Instant::now();
            let input = File::open(&input).unwrap();
            let status = Command::new(&command[0]).args(&command[1..]).stdin(input).stdout(Stdio::null()).status().unwrap();
            let took = begun.elapsed().as_micros();
            assert!(status.success(), "{command:?}");
            // The first few warm the caches.
            if run >= 10 {
                times.push(took);
            }
        }
    }
    for (command, times) in commands.iter().zip(&mut times) {
        times.sort_unstable();
        println!("{} {} {}", times[runs / 2], times[runs * 99 / 100], command.join(" "));
    }
}
