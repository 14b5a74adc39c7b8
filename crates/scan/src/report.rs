//! A report straight from transcripts.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use ducat_capture::{Form, Workspace, Workspaces};
use ducat_ledger::{Attributes, Holder, Key, Line, Request, RequestRollup, UnixMs, owner};
use ducat_prices::PriceTable;
use ducat_report::{Report, RequestRow};
use ducat_store::Pricer;

use crate::cache::{Cache, Stamp};
use crate::file::{FileFacts, FileRows, RequestSeen, SessionSeen, read_file};
use crate::homes::{Home, TranscriptFile, find_transcripts};
use crate::packing::Packing;
use crate::workspace::WorkspaceResolver;

/// Something that could not be read; the rest was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub path: PathBuf,
    pub reason: String,
}

impl Problem {
    pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self { path: path.to_owned(), reason: error.to_string() }
    }

    fn of_lines(path: &Path, rows: &FileRows) -> Option<Self> {
        let unreadable = rows.unreadable.as_ref()?;
        let form = rows.agent.map_or(Form::Lines, |agent| agent.form(&Packing::strip(path)));
        let first = format_args!("line {}", unreadable.first);
        Some(Self::unread(path, form, first, &unreadable.reason, unreadable.lines))
    }

    /// `first`: where the first of the lines is that could not be read; other forms have none.
    pub(crate) fn unread(path: &Path, form: Form, first: fmt::Arguments<'_>, reason: &str, count: u64) -> Self {
        let reason = match form {
            Form::Lines => format!("{first}: {reason}; {count} of its lines could not be read"),
            Form::Document => reason.to_owned(),
            Form::Database => format!("{count} of its rows could not be read: {reason}"),
        };
        Self { path: path.to_owned(), reason }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

#[derive(Clone, Debug, Default)]
pub struct ScanOptions {
    pub homes: Vec<Home>,
    /// Folders of which nothing is read.
    pub excluded: Vec<PathBuf>,
    /// Where to remember rows between reports.
    pub cache: Option<PathBuf>,
}

/// Everything that was read.
#[derive(Debug)]
pub struct Scanned {
    files: Vec<ScannedFile>,
    excluded: Vec<PathBuf>,
    /// Files and folders that could not be read, and lines within files.
    pub problems: Vec<Problem>,
    births: HashMap<Key, UnixMs>,
}

#[derive(Debug)]
struct ScannedFile {
    file: TranscriptFile,
    rows: FileRows,
    lines: Option<Vec<Line>>,
    stamp: Option<Stamp>,
}

/// Reads all transcripts below the homes on two threads; `progress` hears how many of how many files are done.
pub fn scan(options: &ScanOptions, progress: &(dyn Fn(usize, usize) + Sync)) -> Scanned {
    let mut problems = Vec::new();
    let found = find_transcripts(&options.homes, &mut problems);
    let mut cache = Cache::open(options.cache.as_deref());
    let mut files: Vec<(TranscriptFile, Option<ScannedFile>)> = found.into_iter().map(|file| (file, None)).collect();
    for (file, scanned) in &mut files {
        if let Some(stamp) = options.cache.is_some().then(|| Stamp::of(file)).flatten()
            && let Some(rows) = cache.take(&stamp)
        {
            *scanned = Some(ScannedFile { file: file.clone(), rows, lines: None, stamp: Some(stamp) });
        }
    }
    let anew = read_missing(&mut files, options, &mut problems, progress);
    let mut files: Vec<ScannedFile> = files.into_iter().filter_map(|(_, scanned)| scanned).collect();
    if share_requests(&files) || anew {
        remember_lines(&mut files, &cache);
        if files.iter().any(|file| file.lines.is_none()) {
            // Half a cache: rows without their lines.
            return scan(&ScanOptions { cache: None, ..options.clone() }, progress);
        }
    }
    problems.extend(files.iter().filter_map(|file| Problem::of_lines(&file.file.path, &file.rows)));
    let keeps = files.iter().filter(|file| !file.rows.has_excluded);
    if anew {
        cache.keep(keeps.filter_map(|file| Some((file.stamp.as_ref()?, &file.rows, file.lines.as_deref()?))));
    }
    let births = births(&files);
    Scanned { files, excluded: options.excluded.clone(), problems, births }
}

/// In bytes; a larger file takes longer than a look may.
const LARGEST_LOOKED_AT: u64 = 64 << 20;

/// Files with lines that cannot be read, of the latest files first and as far as reading comes until `end`; and how many files it came to.
pub fn unreadable_lines(mut files: Vec<TranscriptFile>, end: Instant) -> (Vec<Problem>, usize) {
    files.retain(|file| file.size <= LARGEST_LOOKED_AT);
    files.sort_by_key(|file| std::cmp::Reverse(file.modified_ns));
    let mut workspaces = WorkspaceResolver::new(Vec::new());
    let mut problems = Vec::new();
    let mut read = 0;
    for file in &files {
        if Instant::now() >= end {
            break;
        }
        read += 1;
        match read_file(file, &mut workspaces) {
            Ok(facts) => problems.extend(Problem::of_lines(&file.path, &facts.rows)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => problems.push(Problem::unreadable(&file.path, &error)),
        }
    }
    (problems, read)
}

/// Reads the files that the cache did not have, the largest first; true when there were any.
fn read_missing(
    files: &mut [(TranscriptFile, Option<ScannedFile>)],
    options: &ScanOptions,
    problems: &mut Vec<Problem>,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> bool {
    let mut missing: Vec<_> = files.iter_mut().filter(|(_, scanned)| scanned.is_none()).collect();
    missing.sort_by_key(|(file, _)| std::cmp::Reverse(file.size));
    let total = missing.len();
    let slots: Vec<_> = missing.into_iter().map(Mutex::new).collect();
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let work = || {
        let mut workspaces = WorkspaceResolver::new(options.excluded.clone());
        while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut slot = slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let (file, scanned) = &mut **slot;
            // Stamped before reading: what is appended meanwhile makes the stamp old, and the file is read again.
            let stamp = Stamp::of(file);
            match read_file(file, &mut workspaces) {
                Ok(FileFacts { rows, lines }) => {
                    *scanned = Some(ScannedFile { file: file.clone(), rows, lines: Some(lines), stamp })
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Problem::unreadable(&file.path, &error));
                }
            }
            progress(next.load(Ordering::Relaxed).min(total), total);
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(2, usize::from).min(total).min(8);
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    problems.extend(found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
    total > 0
}

/// Whether two sessions hold the same request.
fn share_requests(files: &[ScannedFile]) -> bool {
    let mut holder: HashMap<[u8; 16], [u8; 16]> = HashMap::new();
    let mut rows = files.iter().flat_map(|file| file.rows.rows.iter().map(|row| (&file.rows, row)));
    rows.any(|(rows, row)| {
        let session = rows.session_of(row).map(|session| session.key);
        session.is_some_and(|session| *holder.entry(row.key).or_insert(session) != session)
    })
}

fn remember_lines(files: &mut [ScannedFile], cache: &Cache) {
    if files.iter().all(|file| file.lines.is_some()) {
        return;
    }
    let mut known = cache.lines();
    for file in files.iter_mut().filter(|file| file.lines.is_none()) {
        file.lines = file.stamp.as_ref().and_then(|stamp| known.remove(stamp));
    }
}

/// When each session wrote its first line that no other session holds, or was opened.
fn births(files: &[ScannedFile]) -> HashMap<Key, UnixMs> {
    let lines = || files.iter().flat_map(|file| file.lines.iter().flatten());
    let mut first_holder: HashMap<[u8; 16], Key> = HashMap::new();
    let mut shared: HashSet<[u8; 16]> = HashSet::new();
    for line in lines() {
        if *first_holder.entry(line.uuid).or_insert(line.session) != line.session {
            shared.insert(line.uuid);
        }
    }
    let mut births: HashMap<Key, UnixMs> = HashMap::new();
    let mut born = |session: Key, at: UnixMs| {
        births.entry(session).and_modify(|birth| *birth = at.min(*birth)).or_insert(at);
    };
    for line in lines().filter(|line| !shared.contains(&line.uuid)) {
        born(line.session, line.at);
    }
    for session in files.iter().flat_map(|file| &file.rows.sessions) {
        if let Some(at) = session.opened_at {
            born(Key(session.key), at);
        }
    }
    births
}

impl Scanned {
    /// The files that were read.
    pub fn transcripts(&self) -> impl Iterator<Item = &TranscriptFile> {
        self.files.iter().map(|file| &file.file)
    }

    /// Adds every request once, under its owner.
    pub fn add_to(&self, report: &mut Report, prices: &PriceTable) {
        self.for_each(prices, &mut |row| report.add(row));
    }

    /// Tells every request once, under its owner.
    pub fn for_each(&self, prices: &PriceTable, each: &mut dyn FnMut(&RequestRow<'_>)) {
        let mut workspaces = WorkspaceResolver::new(self.excluded.clone());
        let mut rows: Vec<(&FileRows, &RequestSeen)> =
            self.files.iter().flat_map(|file| file.rows.rows.iter().map(|row| (&file.rows, row))).collect();
        rows.sort_by_key(|(_, row)| row.key);
        let sessions: HashMap<Key, &SessionSeen> =
            self.files.iter().flat_map(|file| &file.rows.sessions).map(|session| (Key(session.key), session)).collect();
        // A sum counts where nobody told of single requests of its session or, without one, of its agent: as in the ledger.
        let mut sums = Vec::new();
        let has_sums = rows.iter().any(|(_, row)| row.is_sum);
        let (mut sessions_told, mut agents_told) = (HashSet::new(), HashSet::new());
        for copies in rows.chunk_by(|(_, one), (_, other)| one.key == other.key) {
            let mut request: Option<Request> = None;
            for (file, row) in copies {
                let workspace = file.text(row.cwd).map_or_else(Workspace::default, |cwd| workspaces.resolve(cwd));
                if workspace.excluded {
                    continue;
                }
                let copy = file.to_request(row, &workspace);
                match &mut request {
                    Some(request) => {
                        request.join(&copy);
                    }
                    None => request = Some(copy),
                }
            }
            let Some(request) = request else { continue };
            if request.is_sum.or_default() {
                sums.push(request);
                continue;
            }
            let owner = self.owner_of(&request);
            if has_sums && request.covers_sums() {
                sessions_told.extend(owner.map(|owner| owner.session));
                if !agents_told.contains(&request.agent) {
                    agents_told.insert(request.agent.clone());
                }
            }
            tell_request(&request, owner, &sessions, prices, each);
        }
        for sum in &sums {
            let owner = self.owner_of(sum);
            let is_covered =
                owner.map_or_else(|| agents_told.contains(&sum.agent), |owner| sessions_told.contains(&owner.session));
            // Of estimates a sum tells nothing that could stand for requests.
            if !is_covered && !sum.estimated.or_default() {
                tell_request(sum, owner, &sessions, prices, each);
            }
        }
    }

    fn owner_of<'r>(&self, request: &'r Request) -> Option<&'r Holder> {
        owner(&request.holders, request.started_at.get().copied(), |session| self.births.get(session).copied())
    }
}

fn tell_request(
    request: &Request,
    owner: Option<&Holder>,
    sessions: &HashMap<Key, &SessionSeen>,
    prices: &PriceTable,
    each: &mut dyn FnMut(&RequestRow<'_>),
) {
    let priced = prices.price(request);
    each(&RequestRow {
        started_at: request.started_at.get().copied(),
        session: owner.and_then(|owner| sessions.get(&owner.session)).map_or("", |session| &session.id),
        agent: &request.agent,
        model: &priced.model,
        project: owner.and_then(|owner| owner.project.as_deref()),
        branch: owner.and_then(|owner| owner.branch.as_deref()),
        user: None,
        team: None,
        host: None,
        billing: request.billing.get().copied(),
        attributes: Attributes::of(request),
        sums: RequestRollup::of(request, priced.cost),
    });
}

#[cfg(test)]
mod tests {
    use ducat_capture::Agent;

    use super::*;

    /// What a report has of one file of a session with these requests, each told by its key.
    fn told(rows: Vec<RequestSeen>) -> Vec<RequestRollup> {
        let sessions = vec![SessionSeen { key: [9; 16], id: "s".to_owned(), opened_at: None }];
        let strings = vec![String::new(), "claude-opus-4-8".to_owned()];
        let rows = FileRows { agent: Some(Agent::CopilotCli), strings, sessions, rows, ..FileRows::default() };
        let file = TranscriptFile { path: "f".into(), identity: (0, 0), size: 0, modified_ns: 0, agent: None };
        let files = vec![ScannedFile { file, rows, lines: None, stamp: None }];
        let scanned = Scanned { files, excluded: Vec::new(), problems: Vec::new(), births: HashMap::new() };
        let mut told = Vec::new();
        scanned.for_each(&PriceTable::embedded(), &mut |row| told.push(row.sums));
        told
    }

    fn seen(key: u8, session: Option<u32>) -> RequestSeen {
        RequestSeen { key: [key; 16], session, model: 1, counts: [7, 0, 0, 0, 0, 0, 0, 0], told: 1, ..RequestSeen::default() }
    }

    fn sum(key: u8, session: Option<u32>) -> RequestSeen {
        RequestSeen { is_sum: true, ..seen(key, session) }
    }

    #[test]
    fn a_sum_counts_where_nobody_told_of_single_requests() {
        let counted = |rows| {
            told(rows).iter().fold((0, 0, 0), |(requests, sums, input), row| {
                (requests + row.requests, sums + row.sums, input + row.input_tokens)
            })
        };
        assert_eq!(counted(vec![sum(1, Some(0))]), (0, 1, 7));
        assert_eq!(counted(vec![sum(1, Some(0)), seen(2, Some(0))]), (1, 0, 7), "of the session's requests one is told");
        assert_eq!(counted(vec![sum(1, Some(0)), seen(2, None)]), (1, 1, 14), "another's says nothing of them");
        assert_eq!(counted(vec![sum(1, None), seen(2, Some(0))]), (1, 0, 7), "without a session the agent's decide");
        let estimated = RequestSeen { estimated: true, ..sum(1, Some(0)) };
        assert_eq!(counted(vec![estimated]), (0, 0, 0));
    }

    #[test]
    fn estimates_stand_apart_and_what_nobody_counted_is_unpriced() {
        let estimate = told(vec![RequestSeen { estimated: true, ..seen(1, Some(0)) }]);
        assert_eq!((estimate[0].requests, estimate[0].input_tokens, estimate[0].estimated_tokens), (0, 0, 7));
        let untold = told(vec![RequestSeen { told: 0, counts: [0; 8], ..seen(1, Some(0)) }]);
        assert_eq!((untold[0].requests, untold[0].unpriced_requests, untold[0].cost_nano), (1, 1, 0));
        let nothing = told(vec![RequestSeen { counts: [0; 8], ..seen(1, Some(0)) }]);
        assert_eq!(nothing[0].unpriced_requests, 0, "a count of 0 was told");
    }
}
