//! From the name a client reports to a canonical model and the row that prices it. Nothing is guessed: a name that leads to no row is
//! a model of unknown price.

use crate::card::PriceCard;
use crate::table::PriceTable;

/// What a reported model name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The vendor's name of the model, without provider, region and context suffix: `claude-opus-4-8` for
    /// `bedrock/us.anthropic.claude-opus-4-8-v1:0`. The reported name where that cannot be told.
    pub canonical_model: String,
    /// Name of the price table's row; `None` when the price is unknown.
    pub price_key: Option<String>,
    pub(crate) cards: Vec<PriceCard>,
}

/// Providers as clients name them, with the prefix of their rows.
const ROW_PREFIXES: [(&str, &[&str]); 7] = [
    ("anthropic", &[""]),
    ("openai", &[""]),
    ("bedrock", &["", "anthropic.", "bedrock/"]),
    ("vertex", &["vertex_ai/"]),
    ("vertex_ai", &["vertex_ai/"]),
    ("gemini", &["gemini/", ""]),
    ("azure", &["azure/", "azure_ai/"]),
];

impl PriceTable {
    pub(crate) fn resolve_anew(&self, reported: &str, provider: Option<&str>) -> Resolved {
        let aliased = self.overrides.alias(reported).unwrap_or(reported);
        let name = without_context_suffix(last_of_arn(aliased.trim()));
        let dashed = dashed(name);
        let mut candidates = self.candidates(name, provider);
        if dashed != name {
            candidates.extend(self.candidates(&dashed, provider));
        }
        let row = candidates.into_iter().find_map(|key| self.row(&key).map(|cards| (key, cards)));
        let canonical_model = canonical(&dashed);
        let (price_key, cards) = row.map_or((None, Vec::new()), |(key, cards)| (Some(key), cards));
        Resolved { canonical_model, price_key, cards }
    }

    /// Row names that mean exactly this model at this provider, the most telling first.
    fn candidates(&self, name: &str, provider: Option<&str>) -> Vec<String> {
        let mut bases = vec![name.to_owned()];
        for prefix in ["bedrock/converse/", "bedrock/", "anthropic/", "openai/"] {
            if let Some(rest) = name.strip_prefix(prefix) {
                bases.push(rest.to_owned());
            }
        }
        if name.contains('@') && !name.contains('/') {
            bases.push(format!("vertex_ai/{name}"));
        }
        let prefixes = provider.and_then(|provider| {
            let provider = provider.to_ascii_lowercase();
            ROW_PREFIXES.iter().find(|(known, _)| *known == provider).map(|(_, prefixes)| *prefixes)
        });
        let mut names: Vec<String> = Vec::new();
        if let Some(prefixes) = prefixes.filter(|_| !name.contains('/')) {
            names.extend(prefixes.iter().map(|prefix| format!("{prefix}{name}")));
        }
        names.extend(bases);
        // A version or a date the table does not name is the same model by its vendor's own rule.
        let variants: Vec<String> = names.iter().flat_map(|name| [bedrock_unversioned(name), undated(name)]).flatten().collect();
        names.extend(variants);
        names
    }
}

/// `arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-x` names the profile at its end; an application profile's id
/// there leads to nothing and needs an alias.
fn last_of_arn(name: &str) -> &str {
    if name.starts_with("arn:") { name.rsplit('/').next().unwrap_or(name) } else { name }
}

/// Drops `[1m]`: Claude Code's word for a long context, which the token counts tell.
fn without_context_suffix(name: &str) -> &str {
    match name.split_once('[') {
        Some((base, suffix)) if suffix.ends_with(']') && !base.is_empty() => base,
        _ => name,
    }
}

/// `…-v1:0` or `…:0` removed.
fn bedrock_unversioned(name: &str) -> Option<String> {
    let base = name.rsplit_once(':').filter(|(_, minor)| is_digits(minor)).map_or(name, |(base, _)| base);
    let base = base.rsplit_once("-v").filter(|(_, major)| is_digits(major)).map_or(base, |(base, _)| base);
    (base.len() < name.len()).then(|| base.to_owned())
}

/// GitHub and others write `claude-opus-4.6` for the vendor's `claude-opus-4-6`.
fn dashed(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.starts_with("claude-") { name.replace(last, &last.replace('.', "-")) } else { name.to_owned() }
}

/// `…-20260101` or `…@20260101` removed.
fn undated(name: &str) -> Option<String> {
    let (base, date) = name.rsplit_once(['-', '@'])?;
    (date.len() == 8 && is_digits(date)).then(|| base.to_owned())
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The vendor's name of a model whose provider's name for it is known to be built from it.
fn canonical(name: &str) -> String {
    let (provider, last) = name.rsplit_once('/').unwrap_or(("", name));
    let vendors = ["", "bedrock", "vertex_ai", "anthropic", "openai", "azure", "azure_ai", "gemini", "openrouter"];
    if !vendors.contains(&provider.split('/').next().unwrap_or("")) {
        return name.to_owned();
    }
    let model = match last.split_once("anthropic.") {
        Some((region, model)) if region.is_empty() || region.ends_with('.') => model,
        _ => last,
    };
    if !model.starts_with("claude-") {
        return last.to_owned();
    }
    let model = bedrock_unversioned(model).unwrap_or_else(|| model.to_owned());
    model.strip_suffix("@default").unwrap_or(&model).replace('@', "-")
}
